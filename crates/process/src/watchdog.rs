//! The shell that briefly outlives this process and kills what it left behind.
//!
//! A child cannot be tied to its parent's death without `unsafe` (`PR_SET_PDEATHSIG` must be set between fork and
//! exec), and that would only affect the child, not its children. So one `/bin/sh`, started with the first command,
//! reads a pipe whose only writing end is ours and is closed on exec. The kernel closes that end however this process
//! dies, even by SIGKILL; the shell then kills every group that was announced to it.
//!
//! A gap remains: a command is announced just after it was started, so one that was started microseconds before a
//! SIGKILL of this process survives. Starting each command through a shell that announces itself would close that gap
//! at the cost of another program on every command line; we accept the gap.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
#[expect(
    clippy::disallowed_types,
    reason = "the watchdog is not a command: nothing watches the watcher"
)]
use std::process::{Child, Command, Stdio};

/// Each line is `add TARGET` or `del TARGET`; TARGET is kill(1)'s operand, negative for a group.
///
/// `trap ''` ignores signals that a terminal or a service manager sends to all processes at once. Removing a target
/// keeps the spaces around the others.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT PIPE
targets=' '
while read -r verb target; do
    case $verb in
        add) targets="$targets$target " ;;
        del) case $targets in *" $target "*) targets="${targets%%" $target "*} ${targets#*" $target "}" ;; esac ;;
    esac
done
for target in $targets; do kill -s KILL -- "$target"; done
"#;

/// The running watchdog. Dropping it makes it kill its remaining targets.
pub(crate) struct Watchdog(Child);

impl Watchdog {
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub(crate) fn start() -> io::Result<Self> {
        let watchdog = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "rave-watchdog"])
            // It may briefly outlive us: it must not keep a folder busy or have any of our environment.
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(watchdog))
    }

    pub(crate) fn add(&mut self, target: i32) -> io::Result<()> {
        self.send_line(&format!("add {target}\n"))
    }

    pub(crate) fn remove(&mut self, target: i32) -> io::Result<()> {
        self.send_line(&format!("del {target}\n"))
    }

    /// One write per line: it is far smaller than `PIPE_BUF`, so it arrives completely or not at all.
    fn send_line(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.0.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        pipe.write_all(line.as_bytes())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends at the end of its input, or is already dead.
        let _ = self.0.wait();
    }
}
