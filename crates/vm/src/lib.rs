//! Virtual machines: how they are described, how they start, and where they hang.
//!
//! - [`accel`]: proves which accelerator runs a guest on this host.
//! - [`qemu`], [`firmware`]: what the host has.
//! - [`machine`], [`argv`]: a machine as a value, and its QEMU command line as a pure function of it.
//! - [`ports`]: host ports, and which process uses them.
//! - [`Instance`]: a running machine: boot, wait, reboot, shut down, detach.
//! - [`standalone`]: a running machine that belongs to no process.
//! - [`template`]: a machine saved at its barrier, for clones to resume from.
//! - [`layers`], [`moment`]: a frozen disk, and a machine at one moment, for itself and forks to resume from.
//! - [`fence`]: what QEMU may do on this host.
//! - [`boot`]: how far a guest has booted, from its logs.
//! - [`sandbox`]: a RAVE artifact as a machine.
//! - [`keys`], [`ssh`]: the way in. [`qmp`]: QEMU's control socket.
//!
//! Nothing here prints; nothing assumes a single machine or fixed ports.

pub mod accel;
pub mod argv;
pub mod boot;
mod error;
pub mod fence;
mod files;
pub mod firmware;
pub mod instance;
pub mod kept;
pub mod keys;
pub mod layers;
mod log_limit;
pub mod machine;
pub mod moment;
pub mod network;
mod owner;
pub mod ports;
mod prepare;
pub mod qemu;
pub mod qmp;
pub mod ring;
pub mod run_dir;
pub mod sandbox;
mod screenshot;
mod shutdown;
mod space;
mod sparse;
pub mod ssh;
pub mod standalone;
pub mod template;
pub mod terminal_text;

pub use error::{Error, QmpFault, is_transient};
pub use instance::{BootEvent, Detached, Instance, Ready};
pub use owner::Owner;
pub use shutdown::Shutdown;
