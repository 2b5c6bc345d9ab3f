//! Programs of the tree and of the checkout: compiled, or copied with a script in front.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_image::bases::debian::NetworkAccess;
use rave_image::guest_program;
use rave_process::Cmd;

use super::files::{copy, make_parent};
use super::outputs::Filler;
use super::payload::rewrite;
use super::scripts;

/// The part of make-initrd-ng that takes an RPATH apart.
const RPATHS: &str = ".flat_map(|p| p.split(\":\"))";

/// Where the tree's programs look for libraries: they follow an RPATH, which Debian's have not.
const LIBRARIES: [&str; 2] = ["/nix/lib/x86_64-linux-gnu", "/nix/lib/x86_64-linux-gnu/systemd"];

/// Debian leaves out the descriptions of systemd's interfaces; systemd prints them. The payload's compiler finds the payload's libraries, whose
/// descriptions for pkg-config name /usr.
const IN_STORE: &str = "set -e; mkdir \"$1\"\n\
    /nix/lib/systemd/systemd --bus-introspect=/org/freedesktop/systemd1 > \"$1/org.freedesktop.systemd1.Manager.xml\"\n\
    /nix/lib/systemd/systemd-logind --bus-introspect=/org/freedesktop/login1 > \"$1/org.freedesktop.login1.Manager.xml\"\n\
    printf '#!/nix/bash\\nexec /nix/bin/pkg-config --define-variable=prefix=/nix \"$@\"\\n' > \"$1/pkg-config\"\n\
    chmod 0755 \"$1/pkg-config\"\n\
    PATH=/nix/bin:$PATH PKG_CONFIG=\"$1/pkg-config\" exec cargo build --release --locked --target-dir \"$2\"";

impl Filler<'_> {
    /// A program of the tree, compiled by the host's cargo.
    pub(super) fn cargo(&self, folder: &str, place: &Utf8Path) -> anyhow::Result<()> {
        let name = Utf8Path::new(folder).file_name().context("a folder")?;
        let source = self.cache.join("cargo").join(name);
        self.source(folder, &source)?;
        let main = source.join("src/main.rs");
        let text = fs::read_to_string(&main)?;
        if text.contains(RPATHS) {
            fs::write(&main, text.replace(RPATHS, &format!("{RPATHS}.chain({LIBRARIES:?})")))?;
        }
        let target = self.cache.join("cargo/target");
        Cmd::new("cargo")
            .args(["build", "--release", "--locked", "--target-dir", target.as_str()])
            .current_dir(&source)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(&[], &self.cache.join("cargo")))
            .env_remove("CARGO_TARGET_DIR")
            .log_file(self.log)
            .run(&mut |_| ())?;
        let mut bytes = fs::read(target.join("release").join(name))?;
        rewrite::rewrite(&mut bytes, &[]);
        let program = place.join("bin").join(name);
        make_parent(&program)?;
        if name == "make-initrd-ng" {
            let own = place.join("libexec").join(name);
            make_parent(&own)?;
            write_program(&own, &bytes)?;
            return write_program(&program, scripts::make_initrd_ng(&self.payload.path).as_bytes());
        }
        write_program(&program, &bytes)
    }

    /// A program of the tree that needs headers and libraries of the payload: compiled inside the store, by the payload's compiler.
    pub(super) fn cargo_in_store(&self, folder: &str, place: &Utf8Path) -> anyhow::Result<()> {
        let name = Utf8Path::new(folder).file_name().context("a folder")?;
        let source = self.cache.join("cargo").join(name);
        self.source(folder, &source)?;
        let (interfaces, target) = (source.join("interfaces"), self.cache.join("cargo/target-in-store"));
        self.store
            .enter("sh", &["-c", IN_STORE, "sh", interfaces.as_str(), target.as_str()], "")
            .current_dir(&source)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(&[], &self.cache.join("cargo")))
            // What is generated of D-Bus interfaces takes minutes to optimise.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("SYSTEMD_DBUS_INTERFACE_DIR", interfaces.as_str())
            .env_remove("CARGO_TARGET_DIR")
            .run(&mut |_| ())?;
        let name = name.strip_suffix("-ng").unwrap_or(name);
        let program = place.join("bin").join(name);
        make_parent(&program)?;
        write_program(&program, &fs::read(target.join("release").join(name))?)
    }

    /// A package of Python of the tree, and the program that runs it.
    pub(super) fn python(&self, folder: &str, path: &str, place: &Utf8Path) -> anyhow::Result<()> {
        let module = Utf8Path::new(folder).file_name().context("a folder")?;
        let (name, package) = (module.replace('_', "-"), place.join("lib/python").join(module));
        self.source(folder, &package)?;
        let constants = package.join("constants.py");
        let text = fs::read_to_string(&constants)?;
        // As nixpkgs' package does, but for its manual and completions.
        let text = text.replace("@executable@", &name).replace("@withShellFiles@", "false");
        fs::write(&constants, text)?;
        let program = place.join("bin").join(&name);
        make_parent(&program)?;
        write_program(&program, script_of_python(&format!("{path}/lib/python"), module).as_bytes())
    }

    /// A copy of a folder of the tree that may be changed.
    fn source(&self, folder: &str, to: &Utf8Path) -> anyhow::Result<()> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        make_parent(to)?;
        copy(&self.nixpkgs.join(folder), to)?;
        Cmd::new("chmod").args(["--recursive", "u+w", to.as_str()]).output()?;
        Ok(())
    }

    /// A copy of this very program, which cargo may replace meanwhile, behind a script.
    pub(super) fn rave(&self, place: &Utf8Path) -> anyhow::Result<()> {
        let (own, new) = (self.cache.join("rave"), self.cache.join("rave.new"));
        fs::copy("/proc/self/exe", &new)?;
        fs::rename(&new, &own)?;
        let program = place.join("bin/rave");
        make_parent(&program)?;
        write_program(&program, scripts::rave(&self.payload.path, &own).as_bytes())
    }

    pub(super) fn rave_guest(&self, place: &Utf8Path) -> anyhow::Result<()> {
        let target = self.cache.parent().unwrap_or(self.cache).join("cargo");
        let argv = guest_program::argv(&target, NetworkAccess::Allowed);
        Cmd::new(argv[0].as_str())
            .args(&argv[1..])
            .current_dir(self.checkout)
            .env("CARGO_ENCODED_RUSTFLAGS", flags(&["-Ctarget-feature=+crt-static"], self.checkout))
            .log_file(self.log)
            .run(&mut |_| ())?;
        let program = place.join("bin/rave-guest");
        make_parent(&program)?;
        write_program(&program, &fs::read(target.join("x86_64-unknown-linux-gnu/guest/rave-guest"))?)
    }
}

/// The compiler's flags, and those that keep this host's folders out of the program, as on the Debian base.
fn flags(own: &[&str], source: &Utf8Path) -> String {
    let home = env::var("CARGO_HOME").ok().or_else(|| {
        let home = env::home_dir()?;
        Some(home.join(".cargo").to_str()?.to_owned())
    });
    let sources = home.map(|home| Utf8PathBuf::from(home).join("registry/src"));
    let folders = sources.and_then(|sources| sources.read_dir_utf8().ok());
    let crates = folders.into_iter().flatten().flatten().map(|entry| (entry.path().to_owned(), "crates"));
    let remap = |(from, to): (Utf8PathBuf, &str)| format!("--remap-path-prefix={from}={to}");
    let remaps = [(source.to_owned(), "source")].into_iter().chain(crates).map(remap);
    own.iter().map(ToString::to_string).chain(remaps).collect::<Vec<_>>().join("\x1f")
}

/// Runs `main` of a package.
fn script_of_python(folder: &str, module: &str) -> String {
    format!(
        "#!/nix/bin/python3\nimport sys\nsys.path.insert(0, \"{folder}\")\nfrom {module} import main\nsys.exit(main())\n"
    )
}

fn write_program(place: &Utf8Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(place, bytes)?;
    Ok(fs::set_permissions(place, fs::Permissions::from_mode(0o755))?)
}
