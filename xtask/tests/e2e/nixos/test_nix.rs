//! A real `nix` for the tests, kept in the cache: Debian's package, unpacked and run with its own loader and libraries.
//! Nothing is installed.

use crate::command::Command;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rave_process::FileLock;

use crate::tool::user_cache;

/// The Debian release whose nix is new enough.
pub(crate) const NEW: &str = "trixie";
/// The Debian release whose nix, 2.8, is too old.
pub(crate) const OLD: &str = "bookworm";

/// The folder with `nix` of a Debian release, or why this host cannot have it.
pub(crate) fn of_release(suite: &str) -> Result<PathBuf, String> {
    let folder = user_cache().join("test-nix").join(suite);
    fs::create_dir_all(&folder).unwrap();
    let lock = camino::Utf8PathBuf::from_path_buf(folder.join("lock")).unwrap();
    let _lock = FileLock::acquire(&lock, &mut |_| ()).unwrap();
    let bin = folder.join("bin");
    if !works(&bin) {
        fetch(suite, &folder).map_err(|reason| format!("no nix from {suite}: {reason}"))?;
        assert!(works(&bin), "nix from {suite} was fetched but does not run");
    }
    Ok(bin)
}

fn works(bin: &Path) -> bool {
    let run = Command::new(bin.join("nix")).arg("--version").output();
    run.is_ok_and(|run| run.status.success() && run.stdout.starts_with(b"nix "))
}

fn fetch(suite: &str, folder: &Path) -> Result<(), String> {
    let archive = archive().ok_or("no Debian archive is among apt's sources")?;
    let (apt, root) = (folder.join("apt"), folder.join("root"));
    for old in [&apt, &root] {
        match fs::remove_dir_all(old) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.to_string()),
            _ => {}
        }
    }
    for part in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(apt.join(part)).unwrap();
    }
    let sources = apt.join("sources.list");
    let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(&sources, format!("deb [signed-by={key}] {archive} {suite} main\n")).unwrap();
    let apt_get = |arguments: &[&str]| {
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        let mut command = Command::new("apt-get");
        command.arg("-qq");
        for option in [
            option("Dir::Etc::sourcelist", &sources),
            option("Dir::State::lists", &apt.join("lists")),
            option("Dir::Cache", &apt),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::State::status=/dev/null".into(),
            "Debug::NoLocking=1".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
            "APT::Sandbox::User=root".into(),
        ] {
            command.args(["-o", &option]);
        }
        run(command.args(arguments))
    };
    apt_get(&["update"])?;
    apt_get(&["install", "-y", "--download-only", "--no-install-recommends", "nix-bin"])?;
    fs::create_dir(&root).unwrap();
    for deb in fs::read_dir(apt.join("archives")).unwrap().flatten().map(|entry| entry.path()) {
        if deb.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root))?;
        }
    }
    fs::remove_dir_all(&apt).unwrap();
    wrap(folder, &root);
    Ok(())
}

/// `nix` and its other names as scripts, so that the programs that it starts do not see its libraries.
fn wrap(folder: &Path, root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let (libraries, root) = (root.join("usr/lib/x86_64-linux-gnu"), root.display());
    // Older packages have no merged /usr, and their lib64 links to the loader of the host, which needs its own libc.
    let loader =
        ["usr/lib", "lib"].map(|place| format!("{root}/{place}/x86_64-linux-gnu/ld-linux-x86-64.so.2"));
    let loader = loader.into_iter().find(|path| Path::new(path).exists()).expect("libc6 has a loader");
    // The location of libc in older packages, and nix's own libraries.
    let own = format!("{root}/lib/x86_64-linux-gnu:{root}/usr/lib/nix");
    let script = format!(
        "#!/bin/sh\nexport NIX_BIN_DIR='{}'\nexec '{loader}' --library-path '{}:{own}' --argv0 \"${{0##*/}}\" '{root}/usr/bin/nix' \"$@\"\n",
        bin.display(),
        libraries.display(),
    );
    for entry in fs::read_dir(format!("{root}/usr/bin")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("nix") {
            let wrapper = bin.join(entry.file_name());
            fs::write(&wrapper, &script).unwrap();
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?} failed: {}", stderr.trim())) }
}

/// The address of Debian's own archive in this machine's apt sources.
fn archive() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path()),
    );
    files.sort();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let words = lines.flat_map(str::split_whitespace);
            words.map(|word| word.trim_end_matches('/').to_owned()).collect::<Vec<_>>()
        })
        .find(|word| word.contains(":/") && word.ends_with("/debian"))
}
