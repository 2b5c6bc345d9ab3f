//! The built xtask as a user runs it, with a separate cache and output folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::command::Command;

/// Longer than any wait under software emulation on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(600);

/// The checkout.
pub(crate) fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the checkout")
}

/// The folders of one test.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// The result of a finished run.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Fails the test with the output unless the exit code is this one.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless stderr contains this text.
    #[track_caller]
    pub(crate) fn expect_said(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "no {text:?} in:\n{}", self.stderr);
        self
    }
}

impl Place {
    /// Below /var/tmp, because images are large and /tmp may be in memory.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("rave-test-").tempdir_in("/var/tmp").unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Uses the templates shared by tests, which the first test makes: a clone is ready in seconds. Not for tests of
    /// templates themselves.
    pub(crate) fn share_templates(&self) {
        let shared = user_cache().join("test-templates");
        fs::create_dir_all(&shared).unwrap();
        fs::create_dir_all(self.path("state")).unwrap();
        std::os::unix::fs::symlink(shared, self.path("state/templates")).unwrap();
    }

    /// `xtask ARGUMENTS` with this place's cache, state and output folder.
    pub(crate) fn xtask(&self, arguments: &[&str]) -> Command {
        self.xtask_by(env!("CARGO_BIN_EXE_xtask"), &[], arguments)
    }

    /// The same, run through another program that takes the command line after its own arguments.
    pub(crate) fn xtask_by(&self, program: &str, before: &[&str], arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(before);
        if program != env!("CARGO_BIN_EXE_xtask") {
            command.arg(env!("CARGO_BIN_EXE_xtask"));
        }
        command.args(arguments).current_dir(checkout());
        self.own(&mut command);
        command
    }

    /// Gives a command this place's cache and state.
    pub(crate) fn own(&self, command: &mut Command) {
        command.env("RAVE_CACHE", self.path("cache")).env("RAVE_STATE", self.path("state"));
        command.env("RAVE_PROFILE", HEADLESS).env("NO_COLOR", "1");
        // The checkout is found from the current folder, as for a user.
        command.env_remove("CARGO_MANIFEST_DIR");
    }

    /// `image --out` into this place.
    pub(crate) fn image(&self, arguments: &[&str]) -> Command {
        let mut command = self.xtask(&["image", "--base", "debian", "--out"]);
        command.arg(self.path("out")).args(arguments);
        command
    }

    /// Hard links of the headless image's stages in the shared cache, so that only the others must be built. The cache
    /// also has other profiles' stages of the same names; the manifest identifies those of this image.
    pub(crate) fn seed(&self, stages: &[&str]) {
        let target = self.path("cache/stages");
        fs::create_dir_all(&target).unwrap();
        let shared = shared_cache(HEADLESS).join("stages");
        for name in stages_of(HEADLESS) {
            if stages.iter().any(|stage| name.starts_with(&format!("{stage}-"))) {
                link_all(&shared.join(&name), &target.join(&name));
            }
        }
    }

    /// Every file and folder whose name marks it as unfinished.
    pub(crate) fn unfinished(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        walk(self.folder.path(), &mut |path| {
            if path.to_string_lossy().ends_with(".partial") {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// Processes started by this place's runs, with their command lines. Most have its environment; a supervisor starts
    /// QEMU without one, and QEMU names its files.
    pub(crate) fn processes(&self) -> BTreeMap<u32, String> {
        let mark = format!("RAVE_CACHE={}", self.path("cache").display()).into_bytes();
        let folder = format!("{}/", self.folder.path().display());
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let read = |pid, file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let lines = pids.map(|pid| (pid, String::from_utf8_lossy(&read(pid, "cmdline")).into_owned()));
        lines
            .filter(|(pid, line)| {
                line.contains(&folder)
                    || read(*pid, "environ").split(|byte| *byte == 0).any(|entry| entry == mark)
            })
            .collect()
    }

    /// Waits until no process of this place remains.
    #[track_caller]
    pub(crate) fn expect_no_process(&self) {
        wait_until("every process is gone", || self.processes().is_empty());
    }
}

/// Runs to the end.
pub(crate) fn finish(command: &Command) -> Finished {
    let output = command.output().unwrap();
    Finished {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Polls until the condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    poll(what, Duration::from_millis(20), holds);
}

/// The same with a given interval, for queries that load the guest.
#[track_caller]
pub(crate) fn poll(what: &str, every: Duration, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < DEADLINE, "timed out waiting until {what}");
        std::thread::sleep(every);
    }
}

/// The profiles of shared images: most tests use the smallest.
pub(crate) const HEADLESS: &str = "headless";
pub(crate) const SIMPLE: &str = "simple";
pub(crate) const CLOUD: &str = "cloud";

/// The cache of the user who runs the tests, with the shared image of a profile built.
pub(crate) fn shared_cache(profile: &str) -> &'static Path {
    const PROFILES: [&str; 3] = [HEADLESS, SIMPLE, CLOUD];
    static CACHES: [OnceLock<PathBuf>; PROFILES.len()] = [const { OnceLock::new() }; PROFILES.len()];
    let cache = &CACHES[PROFILES.iter().position(|known| *known == profile).expect("a shared profile")];
    cache.get_or_init(|| {
        build_shared(profile, "qemu");
        let cache = user_cache();
        // An artifact may outlive its stages, which newer ones have displaced from the cache.
        if stages_of(profile).iter().any(|stage| !cache.join("stages").join(stage).is_dir()) {
            fs::remove_file(shared_out(profile).join("manifest.json")).unwrap();
            build_shared(profile, "qemu");
        }
        cache
    })
}

/// The cache of the user who runs the tests.
pub(crate) fn user_cache() -> PathBuf {
    let named = std::env::var_os("RAVE_CACHE").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    named.unwrap_or_else(|| base.unwrap_or_else(|| home().join(".cache")).join("rave"))
}

pub(crate) fn build_shared(profile: &str, format: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["image", "--base", "debian", "--profile", profile, "--format", format, "--yes", "--out"]);
    command.arg(shared_out(profile));
    let built = finish(&command);
    assert!(built.status.success(), "{}", built.stderr);
}

/// The folder of a shared image's artifacts, which is also the user's own.
pub(crate) fn shared_out(profile: &str) -> PathBuf {
    checkout().join("out").join(format!("debian-{profile}"))
}

/// The names of the folders of a shared image's stages.
pub(crate) fn stages_of(profile: &str) -> Vec<String> {
    let text = fs::read_to_string(shared_out(profile).join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let inputs = manifest["inputs"].as_array().unwrap().iter();
    let folder = |input: &serde_json::Value| {
        let digest = input["sha256"].as_str().unwrap();
        format!("{}-{}", input["name"].as_str().unwrap(), &digest[..16])
    };
    inputs.map(folder).collect()
}

/// A copy of the checkout's tracked files.
pub(crate) fn copy_checkout(folder: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(checkout()).output().unwrap();
    for file in files.stdout.split(|byte| *byte == 0).filter(|file| !file.is_empty()) {
        let file = Path::new(std::ffi::OsStr::from_bytes(file));
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        match fs::read_link(checkout().join(file)) {
            Ok(target) => std::os::unix::fs::symlink(target, folder.join(file)).unwrap(),
            Err(_) => drop(fs::copy(checkout().join(file), folder.join(file)).unwrap()),
        }
    }
}

pub(crate) fn link_all(from: &Path, to: &Path) {
    if to.exists() {
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        // Across file systems there are no hard links.
        if fs::hard_link(&path, &target).is_err() {
            std::os::unix::fs::symlink(&path, &target).unwrap();
        }
    }
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        visit(&entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
}
