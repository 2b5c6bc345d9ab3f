//! Control groups below the server's own, one for each program: whatever it starts, in whatever session, ends with it.

use std::fs;
use std::path::{Path, PathBuf};

/// The server's own control group, which systemd has given it (`Delegate=`, systemd.resource-control(5)).
#[derive(Debug)]
pub(super) struct Cgroups {
    own: PathBuf,
    made: u64,
    /// Those that may still hold processes.
    left: Vec<PathBuf>,
}

/// The control group of one program.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroups {
    /// The one of this process, where there is a unified hierarchy (cgroups(7)).
    pub(super) fn own() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::"))?;
        let own = Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/'));
        own.join("cgroup.kill").exists().then_some(Self { own, made: 0, left: Vec::new() })
    }

    /// A new one. Without it a program is held by its process group alone.
    pub(super) fn make(&mut self) -> Option<Cgroup> {
        self.made += 1;
        let path = self.own.join(format!("exec-{}", self.made));
        fs::create_dir(&path).ok()?;
        self.left.push(path.clone());
        Some(Cgroup { path })
    }

    /// Removes those that are empty: a program's children may stay after it.
    pub(super) fn sweep(&mut self) {
        self.left.retain(|path| fs::remove_dir(path).is_err() && path.exists());
    }
}

impl Cgroup {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Kills whatever is in it.
    pub(super) fn kill(&self) {
        // It may be gone, and then nothing is in it.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}
