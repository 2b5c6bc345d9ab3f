//! A control group for each program, below the server's own: everything that the program starts, in any session, ends
//! with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// The server's own control group, which systemd delegates to it (`Delegate=`, systemd.resource-control(5)).
#[derive(Debug)]
pub(super) struct Cgroups {
    own: PathBuf,
    /// The number of groups created so far.
    made: u64,
    /// Existing groups, each with whether it is in use: a new one is empty too.
    made_here: Vec<(PathBuf, Weak<()>)>,
}

/// The control group of one program.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    path: PathBuf,
    _in_use: Arc<()>,
}

impl Cgroups {
    /// The group of this process, if there is a unified hierarchy (cgroups(7)).
    pub(super) fn own() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let own = Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/'));
        own.join("cgroup.kill").exists().then_some(Self { own, made: 0, made_here: Vec::new() })
    }

    /// Creates a group. Without one, a program is only held by its process group.
    pub(super) fn make(&mut self) -> Option<Cgroup> {
        self.made += 1;
        let path = self.own.join(format!("exec-{}", self.made));
        fs::create_dir(&path).ok()?;
        let in_use = Arc::new(());
        self.made_here.push((path.clone(), Arc::downgrade(&in_use)));
        Some(Cgroup { path, _in_use: in_use })
    }

    /// Removes the groups of programs that have ended once they are empty: a program's children may outlive it.
    pub(super) fn sweep(&mut self) {
        let is_kept = |(path, in_use): &(PathBuf, Weak<()>)| {
            in_use.strong_count() > 0 || (fs::remove_dir(path).is_err() && path.exists())
        };
        self.made_here.retain(is_kept);
    }
}

impl Cgroup {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Kills everything in it.
    pub(super) fn kill(&self) {
        // If it is gone, nothing is in it.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_in_use_is_kept_even_if_empty() {
        let own = tempfile::tempdir().unwrap();
        let mut cgroups = Cgroups { own: own.path().to_owned(), made: 0, made_here: Vec::new() };
        let cgroup = cgroups.make().unwrap();
        cgroups.sweep();
        assert!(cgroup.path().is_dir());
        let path = cgroup.path().to_owned();
        drop(cgroup);
        cgroups.sweep();
        assert!(!path.exists() && cgroups.made_here.is_empty());
    }
}
