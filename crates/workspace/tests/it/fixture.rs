//! A folder of the host, a folder that stands for a guest, and the workspace between them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::tree::serve::Task;
use rave_workspace::apply::{Outcome, apply, recover};
use rave_workspace::changes::{Change, changes};
use rave_workspace::choose::{Chosen, choose};
use rave_workspace::pull::pull;
use rave_workspace::push::{Push, Pushed, push};
use rave_workspace::quarantine::Quarantine;
use rave_workspace::record::{Place, Pull, Record};
use rave_workspace::secrets::Secrets;
use rave_workspace::{BytePath, Error, Guest};

/// This version's guest.
pub(crate) struct Honest;

impl Guest for Honest {
    fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn Read + Send>>,
        output: &mut (dyn Write + Send),
    ) -> Result<(), String> {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        match args.as_slice() {
            ["rave-guest", "tree", task @ ..] => {
                let task = Task::of_arguments(task).ok_or("an unknown task")?;
                let input = input.unwrap_or_else(|| Box::new(std::io::empty()));
                task.run(input, output).map_err(|error| error.to_string())
            }
            [program, arguments @ ..] => {
                let mut fed = Vec::new();
                if let Some(mut input) = input {
                    input.read_to_end(&mut fed).map_err(|error| error.to_string())?;
                }
                let run = duct::cmd(*program, arguments).stdin_bytes(fed);
                let run = run.stderr_to_stdout().stdout_capture().unchecked();
                let done = run.run().map_err(|error| error.to_string())?;
                let message = String::from_utf8_lossy(&done.stdout).into_owned();
                if done.status.success() { Ok(()) } else { Err(message) }
            }
            [] => Err("no command".into()),
        }
    }
}

pub(crate) struct Bench {
    _guard: tempfile::TempDir,
    root: Utf8PathBuf,
    pub(crate) place: Place,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        let place = Place::new(&root.join("sandbox"));
        for name in ["sandbox", "host"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        Self { _guard: guard, root, place }
    }

    /// With a git repository on the host.
    pub(crate) fn with_git() -> Self {
        let bench = Self::new();
        bench.git(&["init", "--quiet", "-b", "main"]);
        bench
    }

    /// The folder of a sandbox.
    pub(crate) fn sandbox(&self) -> Utf8PathBuf {
        self.root.join("sandbox")
    }

    pub(crate) fn host(&self) -> Utf8PathBuf {
        self.root.join("host")
    }

    pub(crate) fn guest(&self) -> Utf8PathBuf {
        self.root.join("guest/work")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.host(), arguments)
    }

    pub(crate) fn commit(&self) {
        self.git(&["add", "--all", "--force"]);
        self.git(&["commit", "--quiet", "-m", "x"]);
    }

    /// Writes a file of the host.
    pub(crate) fn ours(&self, path: &str, content: &str) {
        write(&self.host().join(path), content);
    }

    /// Writes a file of the guest.
    pub(crate) fn theirs(&self, path: &str, content: &str) {
        write(&self.guest().join(path), content);
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.host().join(path)).unwrap()
    }

    pub(crate) fn try_push(&self, include: &[&str], force: bool) -> Result<Pushed, Error> {
        self.push_how(include, force, false)
    }

    pub(crate) fn push_with_history(&self, include: &[&str]) -> Result<Pushed, Error> {
        self.push_how(include, false, true)
    }

    fn push_how(&self, include: &[&str], force: bool, history: bool) -> Result<Pushed, Error> {
        let include: Vec<String> = include.iter().map(|text| (*text).to_owned()).collect();
        let secrets = Secrets::new(None).unwrap();
        let (host, guest) = (self.host(), self.guest());
        let source = Some(host.as_path());
        let folder = guest.as_str();
        let how = Push { source, folder, include: &include, secrets: &secrets, force, history };
        push(&self.place, how, &Honest)
    }

    pub(crate) fn push(&self) -> Pushed {
        self.try_push(&[], false).unwrap()
    }

    pub(crate) fn record(&self) -> Record {
        Record::get(&self.place).unwrap()
    }

    pub(crate) fn pull(&self) -> Pull {
        pull(&self.place, &mut self.record(), &Honest).unwrap()
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        let pull = self.pull();
        changes(&self.record(), &pull, &quarantine(), &self.place.blobs(), false).unwrap()
    }

    /// The paths that differ, including those that are held back or refused.
    pub(crate) fn changed(&self) -> Vec<String> {
        self.changes().iter().map(|change| change.path.to_string()).collect()
    }

    pub(crate) fn choose(&self, only: &[&str]) -> Chosen {
        let only: Vec<BytePath> = only.iter().map(|path| BytePath::from(*path)).collect();
        choose(self.changes(), &only, &quarantine()).unwrap()
    }

    pub(crate) fn take(&self, chosen: &Chosen) -> BTreeMap<BytePath, Outcome> {
        let mut pull = Pull::find(&self.place).unwrap().unwrap();
        apply(&self.place, &mut self.record(), &mut pull, &chosen.wanted).unwrap()
    }

    /// Applies everything that is not held back.
    pub(crate) fn apply(&self) -> BTreeMap<BytePath, Outcome> {
        self.take(&self.choose(&[]))
    }

    pub(crate) fn recover(&self) -> bool {
        recover(&self.place, &mut self.record()).unwrap()
    }
}

pub(crate) fn quarantine() -> Quarantine {
    Quarantine::new(None).unwrap()
}

pub(crate) fn git(folder: &Utf8Path, arguments: &[&str]) -> String {
    let own = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always"];
    let run = duct::cmd("git", own.iter().chain(arguments)).dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let done = run.stderr_to_stdout().stdout_capture().unchecked().run().unwrap();
    let message = String::from_utf8_lossy(&done.stdout).trim_end().to_owned();
    assert!(done.status.success(), "{arguments:?}: {message}");
    message
}

pub(crate) fn write(path: &Utf8Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn mode(path: &Utf8Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn link(target: &str, path: &Utf8Path) {
    symlink(target, path).unwrap();
}

/// Everything in a folder except `skip` at any depth: mode and content of files, targets of links.
pub(crate) fn tree(folder: &Utf8Path, skip: &[&str]) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.as_std_path().to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).unwrap().flatten() {
            if skip.iter().any(|name| entry.file_name() == OsStr::from_bytes(name.as_bytes())) {
                continue;
            }
            let (path, about) = (entry.path(), entry.path().symlink_metadata().unwrap());
            let what = if about.is_dir() {
                open.push(path.clone());
                format!("{:o} folder", about.mode() & 0o777)
            } else if about.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("{:o} {}", about.mode() & 0o777, String::from_utf8_lossy(&fs::read(&path).unwrap()))
            };
            all.insert(relative(&path, folder), what);
        }
    }
    all
}

fn relative(path: &Path, folder: &Utf8Path) -> PathBuf {
    path.strip_prefix(folder.as_std_path()).unwrap().to_owned()
}
