//! The only spawner of host processes in the workspace.
//!
//! A [`Cmd`] is a pure value that can be shown, compared and snapshot-tested without spawning. It is run in one of four
//! ways: [`Cmd::run`] (lines to a listener), [`Cmd::output`] (captured), [`Cmd::run_with_input`] (its stdin streamed
//! by the caller) and [`Cmd::spawn`] (long-lived, such as QEMU).
//!
//! Every command:
//!
//! - runs in its own process group, and the whole group is killed when the command has ended, when it times out, when
//!   its value is dropped, on Ctrl-C, SIGTERM and SIGHUP ([`interrupt`]), and when this process is killed
//!   (`watchdog.rs`). A process that starts its own session (`setsid`) leaves the group and is out of reach.
//! - streams its output: only a tail of [`TAIL_LINES`] lines is kept, whatever the amount.
//! - reports errors with the command line and that tail, with secrets masked.
//!
//! [`Cmd::replace_this_process`] starts no process: this process becomes the command.
//!
//! Short captures use the same loop as everything else. A crate such as `duct` would add nothing: it buffers output
//! without a limit, kills only the direct child, and supports neither timeouts with a tail nor process groups.
//!
//! Linux only for now: the end of a child is detected with a pidfd (Linux 5.3).

mod child;
mod cmd;
mod error;
pub mod interrupt;
mod io_loop;
mod lines;
mod lock;
pub mod network;
mod process_group;
pub mod progress;
mod quote;
mod redact;
mod registry;
mod replace;
mod run;
mod status;
mod watchdog;
mod which;

pub use child::Child;
pub use cmd::Cmd;
pub use error::Error;
pub use lines::{CAPTURE_LIMIT, Line, MAX_LINE, Stream, TAIL_LINES};
pub use lock::{FileLock, Holder};
pub use quote::shell_quote;
pub use run::Output;
pub use status::Status;
pub use which::find_program;

use std::time::Duration;

/// How long a group that was asked to stop (SIGTERM) may take before it is killed.
///
/// mmdebstrap needs one to three seconds to remove its temporary tree.
pub const STOP_GRACE: Duration = Duration::from_secs(5);
