//! How mmdebstrap gets root privileges.

use rave_process::Cmd;

/// How mmdebstrap gets root privileges inside the new tree (mmdebstrap(1), MODES).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MmdebstrapMode {
    /// A user namespace, for ordinary users.
    Unshare,
    /// The caller is root. A mount namespace isolates mmdebstrap's mounts, which a kill would leave behind, from the
    /// host.
    Root,
    /// Root in a container that may not mount: mmdebstrap runs without `/proc` and so on, and `tmpfiles.sh` does what
    /// packages could not do without them.
    RootWithoutMounts,
}

impl MmdebstrapMode {
    /// The mode that this process can use.
    pub fn of_this_process() -> Self {
        if !rustix::process::geteuid().is_root() {
            Self::Unshare
        } else if Cmd::new("unshare").args(["--mount", "true"]).output().is_ok() {
            Self::Root
        } else {
            Self::RootWithoutMounts
        }
    }

    pub(super) fn command(self) -> Vec<String> {
        let arguments: &[&str] = match self {
            Self::Unshare => &["mmdebstrap", "--mode=unshare"],
            Self::Root => &["unshare", "--mount", "mmdebstrap", "--mode=root"],
            Self::RootWithoutMounts => &["mmdebstrap", "--mode=root", "--skip=chroot/mount"],
        };
        arguments.iter().map(ToString::to_string).collect()
    }

    /// Prints on stderr the sources that mmdebstrap would write without a mirror, and creates nothing.
    pub(super) fn sources_argv(self, suite: &str) -> Vec<String> {
        let fixed = [
            "--variant=custom",
            "--skip=update,cleanup,chroot/mount",
            "--format=null",
            "--setup-hook=cat \"$1/etc/apt/sources.list\" >&2",
            suite,
            "-",
        ];
        self.command().into_iter().chain(fixed.map(String::from)).collect()
    }
}
