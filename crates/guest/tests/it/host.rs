//! What the tests need from the host.
#![expect(clippy::disallowed_types, reason = "short children of a test, killed by their guard")]

use rave_guest::assets::{self, GuestFile, GuestFileKind, Paths};
use rave_guest::config::GuestConfig;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Folders that are missing in an ordinary user's search path.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command whose search path includes the administrator's folders.
pub(crate) fn command(program: &str) -> Command {
    let own = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("/usr/bin/env");
    command.arg(format!("PATH={own}:{SEARCH}")).arg(program).stdin(Stdio::null());
    command
}

/// Succeeds if the program exists on this host, and otherwise returns why a test is skipped.
pub(crate) fn has(program: &str) -> Result<(), String> {
    let found = std::env::var("PATH").unwrap_or_default() + ":" + SEARCH;
    if found.split(':').any(|folder| Path::new(folder).join(program).is_file()) {
        return Ok(());
    }
    Err(format!("this host has no {program}"))
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Both outputs as text.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A child that is killed when the test ends.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // TERM first, because nginx then stops its own workers.
        let _ = run(command("kill").arg(self.0.id().to_string()));
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ports of this host that were just free.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Polls until `check` returns something, for a minute at most: a busy host takes its time.
pub(crate) fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut pause = Duration::from_millis(2);
    while Instant::now() < deadline {
        if let Some(found) = check() {
            return found;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    panic!("{what} did not happen within 60 s");
}

/// Writes all files of a guest below `root`.
pub(crate) fn write_guest(config: &GuestConfig, root: &Path) {
    for GuestFile { path, kind, .. } in assets::files(config, &Paths::debian()) {
        let place = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        match kind {
            GuestFileKind::File { content, .. } => fs::write(place, content).unwrap(),
            GuestFileKind::Symlink { target } => std::os::unix::fs::symlink(target, place).unwrap(),
            GuestFileKind::Directory { .. } => fs::create_dir_all(place).unwrap(),
        }
    }
}
