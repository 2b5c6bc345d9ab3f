//! The description of the machine in a run folder, and the lock that protects the folder.

use std::fs::{self, File, OpenOptions, TryLockError};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::files::{make_private_dir, write_atomically};
use crate::machine::{Files, Machine};
use crate::ports::PortForward;

/// A running machine, as its run folder describes it to other processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    /// The machine's name.
    pub name: String,
    /// QEMU's process id.
    pub pid: u32,
    /// QEMU's control socket.
    pub qmp_socket: Utf8PathBuf,
    /// The forwards to its services.
    pub forwards: Vec<PortForward>,
}

impl InstanceRecord {
    fn file(run_dir: &Utf8Path) -> Utf8PathBuf {
        run_dir.join("instance.json")
    }

    pub(crate) fn save(machine: &Machine, pid: u32) -> Result<(), Error> {
        let file = Self::file(&machine.files.run_dir);
        let record = Self {
            name: machine.name.clone(),
            pid,
            qmp_socket: machine.files.qmp_socket.clone(),
            forwards: machine.forwards.clone(),
        };
        let text = serde_json::to_vec_pretty(&record).map_err(|e| Error::io("write", &file, e.into()))?;
        write_atomically(&file, &text, 0o600)
    }

    /// The last machine that was started in this folder.
    pub fn last(run_dir: &Utf8Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::file(run_dir)).ok()?).ok()
    }

    /// The machine that is running in this folder, if any.
    pub fn running(run_dir: &Utf8Path) -> Option<Self> {
        Self::last(run_dir).filter(Self::is_alive)
    }

    /// Whether its process is still the same QEMU: process ids are reused, control sockets are not.
    fn is_alive(&self) -> bool {
        let command_line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&command_line).contains(&self.qmp_socket.as_str().replace(',', ",,"))
    }
}

/// A run folder that is locked until this is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: Utf8PathBuf,
    /// flock(2): the kernel releases it when this process ends, for whatever reason.
    _lock: File,
}

impl RunDir {
    /// Creates the folder of this machine, or takes over the one that an earlier process left.
    pub(crate) fn take(machine: &Machine) -> Result<Self, Error> {
        let Files { run_dir, .. } = &machine.files;
        make_private_dir(run_dir)?;
        let path = run_dir.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|e| Error::io("lock", &path, e))?;
        let running = InstanceRecord::running(run_dir).map(|record| record.pid);
        let busy = match lock.try_lock() {
            Ok(()) => running.is_some(),
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path, error)),
        };
        if busy {
            return Err(Error::AlreadyRunning { name: machine.name.clone(), pid: running });
        }
        Ok(Self { path: run_dir.clone(), _lock: lock })
    }

    /// Removes the folder and everything in it.
    pub(crate) fn remove(self) -> Result<(), Error> {
        fs::remove_dir_all(&self.path).map_err(|e| Error::io("remove", &self.path, e))
    }
}

/// Removes the run folders in `root` that no process uses: those of tools that were killed, and of detached machines
/// that have ended. Other files stay.
pub fn sweep(root: &Utf8Path) -> Result<(), Error> {
    let Ok(entries) = root.read_dir_utf8() else { return Ok(()) };
    for entry in entries.flatten() {
        let run_dir = entry.path();
        let lock = OpenOptions::new().write(true).open(run_dir.join("lock"));
        let unused =
            lock.is_ok_and(|lock| lock.try_lock().is_ok() && InstanceRecord::running(run_dir).is_none());
        if unused {
            fs::remove_dir_all(run_dir).map_err(|e| Error::io("remove", run_dir, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn a_folder_belongs_to_one_machine_at_a_time() {
        let (_root, root) = root();
        let machine = Machine::new("a", &root.join("a"));
        let taken = RunDir::take(&machine).unwrap();
        let error = RunDir::take(&machine).unwrap_err();
        assert!(matches!(error, Error::AlreadyRunning { pid: None, .. }), "{error}");
        drop(taken);
        RunDir::take(&machine).unwrap().remove().unwrap();
        assert!(!root.join("a").exists());
    }

    #[test]
    fn a_reused_process_id_does_not_count() {
        let (_root, root) = root();
        let machine = Machine::new("a", &root);
        InstanceRecord::save(&machine, std::process::id()).unwrap();
        assert_eq!(InstanceRecord::running(&root), None);
    }

    #[test]
    fn sweeping_removes_only_unused_folders() {
        let (_root, root) = root();
        let used = Machine::new("used", &root.join("used"));
        let left = Machine::new("left", &root.join("left"));
        let _taken = RunDir::take(&used).unwrap();
        drop(RunDir::take(&left).unwrap());
        fs::create_dir(root.join("no-machine")).unwrap();
        sweep(&root).unwrap();
        assert!(
            used.files.run_dir.exists() && !left.files.run_dir.exists() && root.join("no-machine").exists()
        );
        sweep(&root.join("not-there")).unwrap();
    }
}
