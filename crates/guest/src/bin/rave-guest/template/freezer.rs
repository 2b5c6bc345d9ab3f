//! Stops everything but what renews the identity, by control groups (cgroups(7)).

use super::refused::refused;
use crate::error::Error;
use crate::files::{self, failed};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Where the unified hierarchy is.
const ROOT: &str = "/sys/fs/cgroup";
/// Where services are, below it.
const SERVICES: &str = "system.slice";
/// systemd's own, which cannot be without: it starts this program again.
const INIT: &str = "init.scope";
/// The unit that serves a template and its clones.
const OWN: &str = "rave-template.service";
/// How long processes may take to stop: one that waits for a disk stops afterwards.
const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Freezer {
    root: PathBuf,
    /// This program's unit.
    own: PathBuf,
    /// Users' sessions too, and what this program has started: there are none at a template's barrier.
    is_whole: bool,
}

impl Freezer {
    /// Services alone.
    pub(crate) fn of_template() -> Self {
        Self { root: ROOT.into(), own: Path::new(ROOT).join(SERVICES).join(OWN), is_whole: false }
    }

    /// All that runs.
    pub(crate) fn of_running() -> Result<Self, Error> {
        let text = files::read("/proc/self/cgroup")?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        let own = own.ok_or_else(|| refused("there is no unified hierarchy of control groups"))?;
        let root = PathBuf::from(ROOT);
        Ok(Self { own: root.join(own.trim_start_matches('/')), root, is_whole: true })
    }

    /// Returns when all of them stand.
    pub(crate) fn freeze(&self) -> Result<(), Error> {
        self.write("1")?;
        let deadline = Instant::now() + LIMIT;
        while !self.groups()?.iter().all(|group| stands(group)) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub(crate) fn thaw(&self) -> Result<(), Error> {
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
        let services = self.root.join(SERVICES);
        let mut groups = below(&services)?;
        if self.is_whole {
            groups.extend(below(&self.root)?);
            // Programs of the channel.
            groups.extend(below(&self.own)?);
        }
        groups.retain(|group| *group != self.own && *group != services && !group.ends_with(INIT));
        Ok(groups)
    }
}

/// The groups right below one.
fn below(group: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(group).map_err(failed("list", group))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.join("cgroup.freeze").exists()).collect())
}

fn stands(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
    events.lines().any(|line| line == "frozen 1") || events.lines().any(|line| line == "populated 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy in which every group stands once it is asked to.
    fn hierarchy(groups: &[&str]) -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        for name in groups {
            fs::create_dir_all(scratch.path().join(name)).unwrap();
            fs::write(scratch.path().join(name).join("cgroup.freeze"), "0").unwrap();
            fs::write(scratch.path().join(name).join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        }
        fs::write(scratch.path().join("cgroup.procs"), "").unwrap();
        scratch
    }

    const GROUPS: [&str; 7] = [
        "init.scope",
        "machine.slice",
        "system.slice",
        "system.slice/a.service",
        "system.slice/rave-template.service",
        "system.slice/rave-template.service/exec-1",
        "user.slice",
    ];

    /// Those that are stopped.
    fn stopped(root: &Path) -> Vec<&'static str> {
        let is_stopped =
            |name: &&str| fs::read_to_string(root.join(name).join("cgroup.freeze")).unwrap() == "1";
        GROUPS.into_iter().filter(is_stopped).collect()
    }

    #[test]
    fn a_templates_services_are_stopped_and_go_on() {
        let scratch = hierarchy(&GROUPS);
        let root = scratch.path().to_owned();
        let freezer =
            Freezer { own: root.join("system.slice").join(OWN), root: root.clone(), is_whole: false };
        freezer.freeze().unwrap();
        assert_eq!(stopped(&root), ["system.slice/a.service"]);
        freezer.thaw().unwrap();
        assert!(stopped(&root).is_empty());
    }

    #[test]
    fn all_that_runs_is_stopped_but_what_renews() {
        let scratch = hierarchy(&GROUPS);
        let root = scratch.path().to_owned();
        let freezer =
            Freezer { own: root.join("system.slice").join(OWN), root: root.clone(), is_whole: true };
        freezer.freeze().unwrap();
        let all = [
            "machine.slice",
            "system.slice/a.service",
            "system.slice/rave-template.service/exec-1",
            "user.slice",
        ];
        assert_eq!(stopped(&root), all);
        freezer.thaw().unwrap();
        assert!(stopped(&root).is_empty());
    }
}
