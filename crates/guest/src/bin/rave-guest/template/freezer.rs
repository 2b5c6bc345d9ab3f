//! Stops every service but those at the barrier, by their control groups (cgroups(7)).

use crate::error::Error;
use crate::files::failed;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Where services are. Users have no session at the barrier.
const SERVICES: &str = "/sys/fs/cgroup/system.slice";
/// This program's unit.
const OWN: &str = "rave-template.service";
/// How long processes may take to stop: one that waits for a disk stops afterwards.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Freezer {
    services: PathBuf,
}

impl Freezer {
    pub(super) fn of_system() -> Self {
        Self { services: SERVICES.into() }
    }

    /// Returns when all of them stand.
    pub(super) fn freeze(&self) -> Result<(), Error> {
        self.write("1")?;
        let deadline = Instant::now() + LIMIT;
        while !self.groups()?.iter().all(|group| stands(group)) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub(super) fn thaw(&self) -> Result<(), Error> {
        self.write("0")
    }

    fn write(&self, word: &str) -> Result<(), Error> {
        for group in self.groups()? {
            let file = group.join("cgroup.freeze");
            match fs::write(&file, word) {
                // A unit that has just ended.
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("write", file)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn groups(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(&self.services).map_err(failed("list", &self.services))?;
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths.filter(|path| !path.ends_with(OWN) && path.join("cgroup.freeze").exists()).collect())
    }
}

fn stands(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1") || events.lines().any(|line| line == "populated 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_its_own_are_stopped_and_go_on() {
        let scratch = tempfile::tempdir().unwrap();
        let file = |name: &str| scratch.path().join(name).join("cgroup.freeze");
        for name in ["a.service", OWN] {
            fs::create_dir(scratch.path().join(name)).unwrap();
            fs::write(file(name), "0").unwrap();
            fs::write(scratch.path().join(name).join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        }
        fs::write(scratch.path().join("cgroup.procs"), "").unwrap();
        let freezer = Freezer { services: scratch.path().to_owned() };
        freezer.freeze().unwrap();
        let word = |name| fs::read_to_string(file(name)).unwrap();
        assert_eq!((word("a.service").as_str(), word(OWN).as_str()), ("1", "0"));
        freezer.thaw().unwrap();
        assert_eq!(word("a.service"), "0");
    }
}
