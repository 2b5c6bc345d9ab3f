//! Stops everything except what renews the identity, with control groups (cgroups(7)).

use super::refused::refused;
use crate::error::Error;
use crate::files::{self, failed};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The root of the unified hierarchy.
const ROOT: &str = "/sys/fs/cgroup";
/// The group of services, below it.
const SERVICES: &str = "system.slice";
/// systemd's own group, which is always needed: it restarts this program.
const INIT: &str = "init.scope";
/// The unit that serves a template and its clones.
const OWN: &str = "rave-template.service";
/// How long processes may take to stop: one that waits for a disk only stops afterwards. The host waits for a minute.
const LIMIT: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(2);
/// errno(3).
const ENODEV: i32 = 19;

#[derive(Debug)]
pub(crate) struct Freezer {
    root: PathBuf,
    /// This program's unit.
    own: PathBuf,
    /// Whether to include users' sessions and this program's children, which do not exist at a template's barrier.
    is_whole: bool,
    limit: Duration,
}

impl Freezer {
    /// Only services.
    pub(crate) fn of_template() -> Self {
        Self {
            root: ROOT.into(),
            own: Path::new(ROOT).join(SERVICES).join(OWN),
            is_whole: false,
            limit: LIMIT,
        }
    }

    /// Everything that runs.
    pub(crate) fn of_running() -> Result<Self, Error> {
        let text = files::read("/proc/self/cgroup")?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        let own = own.ok_or_else(|| refused("there is no unified hierarchy of control groups"))?;
        let root = PathBuf::from(ROOT);
        Ok(Self { own: root.join(own.trim_start_matches('/')), root, is_whole: true, limit: LIMIT })
    }

    /// Returns once all of them are stopped, including those that start meanwhile. If it fails, all are resumed.
    pub(crate) fn freeze(&self) -> Result<(), Error> {
        let frozen = self.try_freeze();
        if frozen.is_err() {
            let _ = self.thaw(); // report the first error
        }
        frozen
    }

    fn try_freeze(&self) -> Result<(), Error> {
        let deadline = Instant::now() + self.limit;
        let mut signalled = BTreeSet::new();
        loop {
            let groups = self.groups()?;
            let new: Vec<&PathBuf> = groups.iter().filter(|group| !signalled.contains(*group)).collect();
            new.iter().try_for_each(|group| write(group, "1"))?;
            let moving: Vec<&PathBuf> = groups.iter().filter(|group| !is_stopped(group)).collect();
            // A process may have started another one just before it was stopped: check once more.
            if new.is_empty() && moving.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let why = format!("these do not stop: {}", names(&moving, &new));
                let remedy = "everything was resumed; try again when the machine is less busy".to_owned();
                return Err(Error::Refused { why, remedy });
            }
            signalled.extend(groups);
            thread::sleep(PAUSE);
        }
    }

    pub(crate) fn thaw(&self) -> Result<(), Error> {
        self.groups()?.iter().try_for_each(|group| write(group, "0"))
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

fn write(group: &Path, value: &str) -> Result<(), Error> {
    let file = group.join("cgroup.freeze");
    match fs::write(&file, value) {
        // A unit that has just ended: the file or, while it is open, its group is gone (cgroups(7)).
        Err(error) if error.kind() != ErrorKind::NotFound && error.raw_os_error() != Some(ENODEV) => {
            Err(failed("write", file)(error))
        }
        _ => Ok(()),
    }
}

fn names(moving: &[&PathBuf], new: &[&PathBuf]) -> String {
    let all = if moving.is_empty() { new } else { moving };
    all.iter().map(|group| group.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The direct children of a group.
fn below(group: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(group).map_err(failed("list", group))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.join("cgroup.freeze").exists()).collect())
}

fn is_stopped(group: &Path) -> bool {
    // Nothing runs in a group that is gone.
    let Ok(events) = fs::read_to_string(group.join("cgroup.events")) else { return !group.exists() };
    events.lines().any(|line| line == "frozen 1" || line == "populated 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hierarchy in which every group stops as soon as it is asked to.
    fn hierarchy(groups: &[&str]) -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        for name in groups {
            group(&scratch.path().join(name));
        }
        fs::write(scratch.path().join("cgroup.procs"), "").unwrap();
        scratch
    }

    fn group(folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("cgroup.freeze"), "0").unwrap();
        fs::write(folder.join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
    }

    fn freezer(root: &Path, is_whole: bool, limit: Duration) -> Freezer {
        Freezer { own: root.join("system.slice").join(OWN), root: root.to_owned(), is_whole, limit }
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

    /// The groups that are stopped.
    fn stopped(root: &Path) -> Vec<&'static str> {
        let is_stopped =
            |name: &&str| fs::read_to_string(root.join(name).join("cgroup.freeze")).unwrap() == "1";
        GROUPS.into_iter().filter(is_stopped).collect()
    }

    #[test]
    fn template_services_are_stopped_and_resumed() {
        let scratch = hierarchy(&GROUPS);
        let root = scratch.path().to_owned();
        let freezer = freezer(&root, false, LIMIT);
        freezer.freeze().unwrap();
        assert_eq!(stopped(&root), ["system.slice/a.service"]);
        freezer.thaw().unwrap();
        assert!(stopped(&root).is_empty());
    }

    #[test]
    fn a_group_created_meanwhile_is_stopped_too() {
        let scratch = hierarchy(&GROUPS);
        let root = scratch.path().to_owned();
        let freezer = freezer(&root, false, LIMIT);
        let (slow, late) = (root.join("system.slice/a.service"), root.join("system.slice/late.service"));
        fs::write(slow.join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        thread::scope(|scope| {
            let frozen = scope.spawn(|| freezer.freeze());
            while fs::read_to_string(slow.join("cgroup.freeze")).unwrap() != "1" {
                thread::sleep(PAUSE);
            }
            // Complete at once, as the kernel creates it.
            let new = root.join("new");
            group(&new);
            fs::rename(new, &late).unwrap();
            fs::write(slow.join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
            frozen.join().unwrap().unwrap();
        });
        assert_eq!(fs::read_to_string(late.join("cgroup.freeze")).unwrap(), "1");
    }

    #[test]
    fn a_group_that_does_not_stop_in_time_is_an_error_and_all_resume() {
        let scratch = hierarchy(&GROUPS);
        let root = scratch.path().to_owned();
        let freezer = freezer(&root, false, Duration::from_millis(20));
        fs::write(root.join("system.slice/a.service/cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let error = freezer.freeze().unwrap_err().to_string();
        assert!(error.contains("do not stop") && error.contains("a.service"), "{error}");
        assert!(stopped(&root).is_empty());
    }

    #[test]
    fn all_groups_are_stopped_except_the_renewing_one() {
        let scratch = hierarchy(&GROUPS);
        let root = scratch.path().to_owned();
        let freezer = freezer(&root, true, LIMIT);
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
