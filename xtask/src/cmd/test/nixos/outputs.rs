//! Outputs filled from the payload.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

use super::derivations::Filled;
use super::files::{copy, make_parent};
use super::own_store::OwnStore;
use super::payload::{Payload, rewrite};
use super::references;
use super::table::{By, Row};

/// Outputs that are documents.
const DOCUMENTS: [&str; 4] = ["man", "info", "doc", "devdoc"];

/// Hooks that look at what a builder has made and would refuse or change links into the payload.
const LEFT_OUT_HOOKS: [&str; 2] = ["-strip.sh", "-audit-tmpdir.sh"];

pub(super) struct Filler<'a> {
    pub(super) store: &'a OwnStore,
    pub(super) payload: &'a Payload,
    pub(super) checkout: &'a Utf8Path,
    pub(super) nixpkgs: &'a Utf8Path,
    pub(super) cache: &'a Utf8Path,
    pub(super) log: &'a Utf8Path,
}

impl Filler<'_> {
    /// Fills and registers what is not there yet.
    pub(super) fn fill(&self, wanted: &[Filled<'_>]) -> anyhow::Result<()> {
        let valid = self.store.valid()?;
        let mut paths = Vec::new();
        if !valid.contains(&self.payload.path) {
            paths.push((self.payload.path.clone(), Vec::new()));
        }
        for one in wanted {
            for (name, path, row) in &one.outputs {
                if valid.contains(*path) {
                    continue;
                }
                if let Err(error) = self.output(name, path, row, one) {
                    self.store.register(&paths)?;
                    return Err(error.context(format!("cannot fill {path} of {}", one.name)));
                }
                if row.by != By::Npm {
                    let references = references::of(&self.store.place(path)?)?;
                    paths.push(((*path).to_owned(), references.into_iter().collect()));
                }
            }
        }
        self.store.register(&paths)
    }

    fn output(&self, name: &str, path: &str, row: &Row, one: &Filled<'_>) -> anyhow::Result<()> {
        let place = self.store.place(path)?;
        if place.symlink_metadata().is_ok() {
            Cmd::new("rm").args(["--recursive", "--force", place.as_str()]).output()?;
        }
        let parent = place.parent().context("a path of the store")?;
        fs::create_dir_all(parent)?;
        if DOCUMENTS.contains(&name) {
            return Ok(fs::create_dir(&place)?);
        }
        match &row.by {
            By::File(file) => return Ok(symlink(self.first(file)?, &place)?),
            By::Stub(stub) => {
                let from = self.checkout.join("xtask/src/cmd/test/nixos/stubs").join(stub);
                copy(&from, &place)?;
            }
            By::Npm => return self.npm(path, one),
            _ => fs::create_dir(&place)?,
        }
        match &row.by {
            By::Debian(packages) => self.links(packages, &place)?,
            By::Systemd(packages) => {
                self.links(packages, &place)?;
                self.example(packages, path, &place)?;
            }
            By::Host(folder) => symlink(folder, place.join("bin"))?,
            By::Kernel => self.kernel(&place)?,
            By::Setup => {
                fs::write(place.join("setup"), self.setup(one)?)?;
            }
            By::Compiler => {
                self.links(&["gcc".into(), "g++".into(), "binutils".into(), "cpp".into()], &place)?;
                self.tools(path, &place)?;
                self.link("bin/cc", "bin/gcc", &place)?;
                self.link("bin/c++", "bin/g++", &place)?;
            }
            By::Binutils => {
                self.links(&["binutils".into()], &place)?;
                self.tools(path, &place)?;
                fs::write(
                    place.join("nix-support/setup-hook"),
                    format!("export NIX_BINTOOLS={path}\nexport NIX_BINTOOLS_FOR_TARGET={path}\n"),
                )?;
            }
            By::Cargo(folder) => self.cargo(folder, &place)?,
            By::CargoInStore(folder) => self.cargo_in_store(folder, &place)?,
            By::Python(folder) => self.python(folder, path, &place)?,
            By::Rave => self.rave(&place)?,
            By::RaveGuest => self.rave_guest(&place)?,
            By::File(_) | By::Stub(_) | By::Npm | By::Empty => {}
        }
        for (link, to) in &row.links {
            match to.strip_prefix("./") {
                Some(own) => {
                    make_parent(&place.join(link))?;
                    symlink(format!("{path}/{own}"), place.join(link))?;
                }
                None => self.link(link, to, &place)?,
            }
        }
        Ok(())
    }

    /// The first file of the payload whose place starts with this.
    fn first(&self, start: &str) -> anyhow::Result<String> {
        let mut all = self.payload.files.values().flatten();
        let (head, tail) = start.split_once('*').unwrap_or((start, ""));
        let found = all.find(|place| place.starts_with(head) && place.ends_with(tail));
        found
            .map(|place| format!("{}/{place}", self.payload.path))
            .with_context(|| format!("the payload has no {start}"))
    }

    fn link(&self, name: &str, to: &str, place: &Utf8Path) -> anyhow::Result<()> {
        let link = place.join(name);
        make_parent(&link)?;
        match link.symlink_metadata() {
            // Two packages' folder and link: the folder has more.
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => fs::remove_file(&link)?,
            Err(_) => {}
        }
        Ok(symlink(format!("{}/{to}", self.payload.path), &link)?)
    }

    /// Links to all files of packages, in nixpkgs' layout: one `bin`, one `lib`.
    fn links(&self, packages: &[String], place: &Utf8Path) -> anyhow::Result<()> {
        for package in packages {
            let Some(files) = self.payload.files.get(package) else {
                bail!("payload.lock has no {package}: RAVE_NIXOS_PAYLOAD=update renews it");
            };
            for file in files {
                if let Some(name) = in_output(file) {
                    self.link(&name, file, place)?;
                }
            }
        }
        if place.join("bin").is_dir() && !place.join("sbin").exists() {
            symlink("bin", place.join("sbin"))?;
        }
        Ok(())
    }

    /// Units and settings as systemd's own build has them for NixOS to choose from: copies.
    fn example(&self, packages: &[String], path: &str, place: &Utf8Path) -> anyhow::Result<()> {
        let tree = self.payload.layer.join(self.payload.path.trim_start_matches("/nix/"));
        for file in packages.iter().filter_map(|package| self.payload.files.get(package)).flatten() {
            let Some(name) = file.strip_prefix("vendor/lib/") else { continue };
            let to = place.join("example").join(name);
            make_parent(&to)?;
            own(&tree.join(file), &to, path)?;
            let hidden = place.join("lib").join(name);
            if hidden.symlink_metadata().is_ok() {
                fs::remove_file(hidden)?;
            }
        }
        let stubs = self.checkout.join("xtask/src/cmd/test/nixos/stubs/example/systemd/system");
        for entry in stubs.read_dir_utf8()? {
            let entry = entry?;
            let to = place.join("example/systemd/system").join(entry.file_name());
            if to.symlink_metadata().is_err() {
                copy(entry.path(), &to)?;
            }
        }
        Ok(())
    }

    fn kernel(&self, place: &Utf8Path) -> anyhow::Result<()> {
        let tree = self.payload.layer.join(self.payload.path.trim_start_matches("/nix/"));
        let mut folders = tree.join("lib/modules").read_dir_utf8()?;
        let version = folders.next().context("the payload has no kernel")??.file_name().to_owned();
        self.link("bzImage", &format!("lib/modules/{version}/vmlinuz"), place)?;
        // One link, into what nobody may write: nixpkgs writes the index of modules where it may.
        let folder = format!("lib/modules/{version}");
        self.link(&folder, &folder, place)
    }

    /// What nixpkgs' hooks read of a compiler.
    fn tools(&self, path: &str, place: &Utf8Path) -> anyhow::Result<()> {
        let support = place.join("nix-support");
        fs::create_dir(&support)?;
        fs::write(support.join("dynamic-linker"), rewrite::LOADER)?;
        fs::create_dir(support.join("libc"))?;
        symlink(format!("{}/lib/x86_64-linux-gnu", self.payload.path), support.join("libc/lib"))?;
        fs::write(support.join("orig-libc"), format!("{path}/nix-support/libc"))?;
        Ok(())
    }

    /// What nixpkgs' stdenv/generic/builder.sh writes, with the payload's programs on the search path.
    fn setup(&self, one: &Filled<'_>) -> anyhow::Result<String> {
        let of = |name: &str| one.environment.get(name).map(String::as_str).unwrap_or_default();
        let payload = &self.payload.path;
        let inputs = of("defaultNativeBuildInputs");
        let hooks: Vec<&str> = inputs
            .split_whitespace()
            .filter(|input| {
                Utf8Path::new(input).extension() == Some("sh")
                    && !LEFT_OUT_HOOKS.iter().any(|hook| input.ends_with(hook))
            })
            .collect();
        let compiler = if inputs.contains("-musl-") {
            format!("{payload}/bin/musl-gcc -static -isystem {payload}/kernel-headers")
        } else {
            format!("{payload}/bin/gcc")
        };
        Ok(format!(
            "export SHELL={payload}/bin/bash\ninitialPath=\"{payload}\"\ndefaultNativeBuildInputs=\"{}\"\n\
             defaultBuildInputs=\"\"\n{}\nexport PYTHONDONTWRITEBYTECODE=1 CC=\"{compiler}\" CXX={payload}/bin/g++ AR={payload}/bin/ar\n{}",
            hooks.join(" "),
            of("preHook"),
            self.store.text(of("setup"))?
        ))
    }

    /// A package of npm, packed by the host's npm as nix would.
    fn npm(&self, path: &str, one: &Filled<'_>) -> anyhow::Result<()> {
        let phase = one.environment.get("buildPhase").context("no buildPhase")?;
        let package = phase.split_whitespace().last().context("no package")?;
        let guard = tempfile::Builder::new().prefix("nixos-npm-").tempdir_in(self.cache)?;
        let folder = Utf8PathBuf::try_from(guard.path().to_owned())?;
        let npm_cache = self.cache.parent().unwrap_or(self.cache).join("npm");
        Cmd::new("npm")
            .args([
                "pack",
                "--ignore-scripts",
                "--cache",
                npm_cache.as_str(),
                "--pack-destination",
                folder.as_str(),
                package,
            ])
            .current_dir(&folder)
            .log_file(self.log)
            .run(&mut |_| ())?;
        let packed = folder.read_dir_utf8()?.next().context("npm packed nothing")??;
        let named = folder.join(&one.name);
        fs::rename(packed.path(), &named)?;
        let said = self.store.run("nix-store", &["--add-fixed", "sha512", named.as_str()])?;
        if said.trim() != path {
            bail!("{package} of the registry is another: {said}");
        }
        Ok(())
    }
}

/// Where a file of the payload lies in an output; none: it does not belong there.
fn in_output(place: &str) -> Option<String> {
    let place = place.strip_prefix("vendor/").unwrap_or(place);
    if place.starts_with("boot/") || place.starts_with("lib/modules/") {
        return None;
    }
    let flat = [("sbin/", "bin/"), ("lib/x86_64-linux-gnu/", "lib/")];
    let found = flat.iter().find_map(|(from, to)| Some(format!("{to}{}", place.strip_prefix(from)?)));
    Some(found.unwrap_or_else(|| place.to_owned()))
}

/// Copies a unit or setting, whose programs become those of this output.
fn own(from: &Utf8Path, to: &Utf8Path, path: &str) -> anyhow::Result<()> {
    match fs::read_to_string(from) {
        Ok(text) if !from.symlink_metadata()?.is_symlink() => {
            Ok(fs::write(to, text.replace("/nix/lib/systemd/", &format!("{path}/lib/systemd/")))?)
        }
        _ => copy(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_has_nixpkgs_layout() {
        assert_eq!(in_output("sbin/sshd").unwrap(), "bin/sshd");
        assert_eq!(
            in_output("lib/x86_64-linux-gnu/security/pam_unix.so").unwrap(),
            "lib/security/pam_unix.so"
        );
        assert_eq!(in_output("vendor/lib/systemd/system/a.service").unwrap(), "lib/systemd/system/a.service");
        assert_eq!(in_output("boot/vmlinuz"), None);
    }
}
