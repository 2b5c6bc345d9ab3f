//! A checkout whose flake is small enough to be built here, with its own store.

use crate::command::Command;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::nixos::test_nix;
use crate::tool::{Finished, Place, checkout, finish};

/// The fixture's checkout, with everything that `nix` writes beside it.
pub(crate) struct Project {
    place: Place,
    /// The folder of `nix`.
    bin: PathBuf,
}

impl Project {
    /// An error if this host cannot get a nix for it.
    pub(crate) fn new() -> Result<Self, String> {
        Self::with_nix_of(test_nix::NEW)
    }

    pub(crate) fn with_nix_of(suite: &str) -> Result<Self, String> {
        let project = Self { bin: test_nix::of_release(suite)?, place: Place::new() };
        project.lay_out();
        Ok(project)
    }

    fn lay_out(&self) {
        let folder = self.checkout();
        fs::create_dir_all(folder.join("disks")).unwrap();
        fs::create_dir_all(folder.join("profiles")).unwrap();
        fs::copy(checkout().join("rave.toml"), folder.join("rave.toml")).unwrap();
        for entry in fs::read_dir(checkout().join("profiles")).unwrap().flatten() {
            fs::copy(entry.path(), folder.join("profiles").join(entry.file_name())).unwrap();
        }
        for name in ["flake.nix", "wrong.nix"] {
            fs::copy(checkout().join("xtask/tests/fixtures/nixos").join(name), folder.join(name)).unwrap();
        }
        fs::write(folder.join(".gitignore"), "/out/\n").unwrap();
        self.make_disks();
        let config = self.place.path("nix-conf");
        fs::create_dir_all(&config).unwrap();
        // Independent of the host: no sandbox and no build users, so that every user may build; no network.
        let settings = "experimental-features = nix-command flakes\nsandbox = false\nbuild-users-group =\nbuilders =\n\
                        build-hook =\nsubstituters =\nflake-registry =\nmax-jobs = 2\n";
        fs::write(config.join("nix.conf"), settings).unwrap();
        self.git(&["init", "--quiet"]);
        self.commit();
    }

    /// A disk of 12 MiB and its conversions, as made by RAVE's own flake.
    fn make_disks(&self) {
        let disks = self.checkout().join("disks");
        let raw = fs::File::create(disks.join("nixos.img")).unwrap();
        raw.set_len(12 << 20).unwrap();
        // The boot signature at the end of the first sector.
        raw.write_all_at(&[0x55, 0xaa], 510).unwrap();
        let mut convert = self.xtask(&["convert", "disks/nixos.img", "--format", "qemu,virtualbox,vmware"]);
        convert.env("SOURCE_DATE_EPOCH", "1");
        finish(&convert).expect_code(0);
        fs::write(disks.join("nixos.iso"), iso()).unwrap();
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.place.path("check out")
    }

    /// The output folder of a profile.
    pub(crate) fn out(&self, profile: &str) -> PathBuf {
        self.checkout().join("out").join(format!("nixos-{profile}"))
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        let author = ["-c", "user.name=Fixture", "-c", "user.email=fixture@localhost"];
        self.git(&[&author[..], &["commit", "--quiet", "--message", "A fixture"]].concat());
    }

    pub(crate) fn commit_of_head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").args(arguments).current_dir(self.checkout()).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// `xtask ARGUMENTS` in the fixture's checkout, with the fixture's nix.
    pub(crate) fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.xtask(arguments);
        command.current_dir(self.checkout());
        self.with_nix(&mut command);
        command.env_remove("RAVE_PROFILE").env_remove("RAVE_BASE");
        command
    }

    /// `xtask image --base nixos ARGUMENTS`, to its end.
    pub(crate) fn image(&self, arguments: &[&str]) -> Finished {
        finish(&self.xtask(&[&["image", "--base", "nixos"], arguments].concat()))
    }

    /// `nix ARGUMENTS` with the fixture's store.
    pub(crate) fn nix(&self, arguments: &[impl AsRef<OsStr>]) -> Finished {
        let mut command = Command::new(self.bin.join("nix"));
        command.args(arguments).current_dir(self.checkout());
        self.with_nix(&mut command);
        finish(&command)
    }

    fn with_nix(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.bin.clone()].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap());
        for (name, folder) in [
            ("NIX_STORE_DIR", "nix/store"),
            ("NIX_STATE_DIR", "nix/var"),
            ("NIX_LOCALSTATE_DIR", "nix/var"),
            ("NIX_LOG_DIR", "nix/log"),
            ("NIX_CONF_DIR", "nix-conf"),
            ("XDG_CACHE_HOME", "home/cache"),
            ("XDG_CONFIG_HOME", "home/config"),
            ("XDG_STATE_HOME", "home/state"),
            ("HOME", "home"),
        ] {
            command.env(name, self.place.path(folder));
        }
        command.env("NIX_REMOTE", "local").env_remove("NIX_CONFIG").env_remove("NIX_USER_CONF_FILES");
    }

    /// The links of all garbage collector roots.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place.path("state/nix-roots")).into_iter().flatten().flatten();
        let mut links: Vec<PathBuf> = entries
            .flat_map(|entry| fs::read_dir(entry.path()).unwrap().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.is_symlink())
            .collect();
        links.sort();
        links
    }

    /// Whether a derivation of this name is being built: the log is only written at the end.
    pub(crate) fn is_built_now(&self, name: &str) -> bool {
        let builds = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == format!("name={name}").as_bytes())
        };
        self.processes().iter().any(builds)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.place.path("state/logs/nixos.log")).unwrap()
    }

    /// Processes that have this place in their environment: nix and its builders.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = self.place.path("").into_os_string().into_encoded_bytes();
        let mark = mark.strip_suffix(b"/").unwrap_or(&mark).to_owned();
        let pids = fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.windows(mark.len()).any(|window| window == mark)
            })
            .collect()
    }
}

impl Drop for Project {
    /// Folders of a store are read-only, so an ordinary user could not remove their contents.
    fn drop(&mut self) {
        writable(&self.place.path("nix/store"));
    }
}

fn writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            writable(&entry.path());
        }
    }
}

/// An empty ISO 9660 file system: a primary volume descriptor and the end of the set (ECMA-119, 8.4 and 8.3).
fn iso() -> Vec<u8> {
    const SECTOR: usize = 2048;
    let mut iso = vec![0; 18 * SECTOR];
    let (primary, end) = (16 * SECTOR, 17 * SECTOR);
    iso[primary..primary + 7].copy_from_slice(b"\x01CD001\x01");
    iso[primary + 40..primary + 72].copy_from_slice(b"RAVE_FIXTURE                    ");
    iso[primary + 80..primary + 84].copy_from_slice(&18_u32.to_le_bytes());
    iso[primary + 84..primary + 88].copy_from_slice(&18_u32.to_be_bytes());
    iso[end..end + 7].copy_from_slice(b"\xffCD001\x01");
    iso
}
