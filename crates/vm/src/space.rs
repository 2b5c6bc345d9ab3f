//! A machine that QEMU paused at a write because the host's disk is full: `werror=enospc` of qemu-system(1), which is
//! its default.

use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::statvfs;
use serde_json::Value;

use crate::Error;
use crate::machine::{Machine, Overlay};
use crate::qmp::{Client, QMP_DEADLINE, QmpEvent};

/// The free space at which a machine is resumed, bytes: a guest writes more than its next cluster, and would otherwise
/// be paused again at once.
const ENOUGH: u64 = 64 << 20;
/// How long a machine that somebody waits for may be paused: long enough for another program's temporary files to be
/// removed, short enough for a command that nobody watches.
const PATIENCE: Duration = Duration::from_secs(15);

/// Whether a machine is paused because the host's disk is full, according to QEMU's events.
#[derive(Debug)]
pub(crate) struct Space {
    /// The folder that the machine writes to.
    folder: Utf8PathBuf,
    /// When it was paused.
    since: Option<Instant>,
}

impl Space {
    pub(crate) fn of(machine: &Machine) -> Self {
        let file = match &machine.overlay {
            Overlay::Keep(overlay) => Some(overlay),
            Overlay::Throwaway => None,
            Overlay::None => machine.disk.as_ref().map(|disk| &disk.path),
        };
        let folder = file.and_then(|file| file.parent()).unwrap_or(&machine.files.run_dir);
        Self { folder: folder.to_owned(), since: None }
    }

    pub(crate) fn is_lacking(&self) -> bool {
        self.since.is_some()
    }

    /// Takes note of an event.
    pub(crate) fn see(&mut self, event: &QmpEvent) {
        match event.name.as_str() {
            "BLOCK_IO_ERROR" if event.data.get("action").is_some_and(|action| action == "stop") => {
                self.since.get_or_insert_with(Instant::now);
            }
            "RESUME" => self.since = None,
            _ => {}
        }
    }

    /// Resumes a paused machine if there is space again; QEMU then retries the failed writes.
    pub(crate) fn resume(&self, qmp: &mut Client) {
        self.resume_with(qmp, free(&self.folder));
    }

    fn resume_with(&self, qmp: &mut Client, free: u64) {
        if self.is_lacking() && free >= ENOUGH {
            // A QEMU that is just ending refuses the command or closes the socket; waiting shows whether it ended.
            let _ = qmp.execute("cont", Value::Null, QMP_DEADLINE);
        }
    }

    /// For somebody who waits for the machine: resumes it if there is space again, and fails if there was none for too
    /// long.
    pub(crate) fn check(&self, qmp: &mut Client) -> Result<(), Error> {
        self.check_with(qmp, free(&self.folder), Instant::now())
    }

    fn check_with(&self, qmp: &mut Client, free: u64, now: Instant) -> Result<(), Error> {
        self.resume_with(qmp, free);
        match self.since {
            Some(since) if free < ENOUGH && now.saturating_duration_since(since) >= PATIENCE => {
                Err(self.error("run the machine", free))
            }
            _ => Ok(()),
        }
    }

    fn error(&self, doing: &'static str, free: u64) -> Error {
        Error::NoSpace { doing, folder: self.folder.clone(), free, needed: ENOUGH }
    }

    /// The error of a machine that is paused now.
    pub(crate) fn lacking(&self, doing: &'static str) -> Error {
        self.error(doing, free(&self.folder))
    }
}

/// What QEMU's events have reported so far.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The guest requested the shutdown, or QEMU was asked to quit.
    pub(crate) shut_down: bool,
    /// How often the machine was resumed after a stop.
    pub(crate) resumes: u64,
    /// The machine was reset, as by a reboot of its guest.
    pub(crate) was_reset: bool,
    pub(crate) space: Space,
}

impl Seen {
    /// Reads the new events.
    pub(crate) fn take(&mut self, qmp: &mut Client) {
        for event in qmp.events() {
            self.see(&event);
        }
    }

    fn see(&mut self, event: &QmpEvent) {
        self.space.see(event);
        match event.name.as_str() {
            // A signal, as at the host's shutdown, cuts the guest off.
            "SHUTDOWN" if event.data.get("reason").is_none_or(|reason| reason != "host-signal") => {
                self.shut_down = true;
            }
            "RESUME" => self.resumes += 1,
            "RESET" => self.was_reset = true,
            _ => {}
        }
    }
}

/// Free bytes for this user on the file system of a folder; all of them if unknown, so that a machine is resumed.
pub(crate) fn free(folder: &Utf8Path) -> u64 {
    statvfs(folder.as_std_path()).map_or(u64::MAX, |about| about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qmp::tests::{ok, peer};
    use std::sync::mpsc::channel;

    const LIMIT: Duration = Duration::from_secs(20);
    const PAUSED: &[u8] =
        b"{\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"action\": \"stop\", \"nospace\": true}}\n";
    const RESUMED: &[u8] = b"{\"event\": \"RESUME\"}\n";

    /// A QEMU whose machine was paused, and the commands that it gets.
    fn paused() -> (tempfile::TempDir, Client, std::sync::mpsc::Receiver<String>) {
        let (to, commands) = channel();
        let (folder, socket) = peer(move |line| {
            let command: Value = serde_json::from_str(line).unwrap();
            let _ = to.send(command["execute"].as_str().unwrap().to_owned());
            let event = if command["execute"] == "cont" { RESUMED } else { PAUSED };
            vec![[event.to_vec(), ok(line)].concat()]
        });
        let client = Client::connect(&socket, LIMIT).unwrap();
        assert_eq!(commands.recv().unwrap(), "qmp_capabilities");
        (folder, client, commands)
    }

    /// Checks it with so much free space.
    fn check(space: &mut Space, qmp: &mut Client, free: u64, now: Instant) -> Result<(), Error> {
        for event in qmp.events() {
            space.see(&event);
        }
        space.check_with(qmp, free, now)
    }

    #[test]
    fn a_machine_paused_by_a_full_disk_is_resumed_once_there_is_space() {
        let (_folder, mut qmp, commands) = paused();
        let mut space = Space { folder: "/state".into(), since: None };
        check(&mut space, &mut qmp, ENOUGH - 1, Instant::now()).unwrap();
        assert!(space.is_lacking() && commands.try_recv().is_err(), "it is not resumed on a full disk");
        check(&mut space, &mut qmp, ENOUGH, Instant::now() + PATIENCE).unwrap();
        assert_eq!(commands.recv_timeout(LIMIT).unwrap(), "cont");
        check(&mut space, &mut qmp, 0, Instant::now() + PATIENCE).unwrap();
        assert!(!space.is_lacking());
    }

    #[test]
    fn a_signal_to_qemu_is_no_clean_shutdown_and_damaged_events_are_ignored() {
        let event = |name: &str, data: Value| QmpEvent {
            name: name.to_owned(),
            data: data.as_object().cloned().unwrap_or_default(),
        };
        let mut space = Space { folder: "/state".into(), since: None };
        space.see(&event("BLOCK_IO_ERROR", serde_json::json!({})));
        assert!(!space.is_lacking());
        let mut seen = Seen { shut_down: false, resumes: 0, was_reset: false, space };
        seen.see(&event("SHUTDOWN", serde_json::json!({"guest": false, "reason": "host-signal"})));
        assert!(!seen.shut_down);
        seen.see(&event("SHUTDOWN", serde_json::json!({"guest": true, "reason": "guest-shutdown"})));
        assert!(seen.shut_down);
    }

    #[test]
    fn a_machine_that_stays_paused_is_given_up() {
        let (_folder, mut qmp, commands) = paused();
        let mut space = Space { folder: "/state".into(), since: None };
        let begun = Instant::now();
        check(&mut space, &mut qmp, 3 << 20, begun).unwrap();
        check(&mut space, &mut qmp, 3 << 20, begun + PATIENCE / 2).unwrap();
        let error = check(&mut space, &mut qmp, 3 << 20, Instant::now() + PATIENCE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot run the machine: the disk of /state is full, 3 MiB are free and 64 MiB are needed"
        );
        assert!(error.is_of_full_disk() && error.remedy().unwrap().contains("RAVE_STATE"));
        assert!(commands.try_recv().is_err(), "it was not resumed");
    }
}
