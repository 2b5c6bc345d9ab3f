//! Virtual machines: what they are made of, how they start, and where they hang.
//!
//! - [`accel`]: proves which accelerator runs a guest on this host.
//! - [`qemu`], [`firmware`]: what the host has.
//! - [`machine`], [`argv`]: a machine as a value, and its QEMU command line as a pure function of it.
//! - [`ports`]: host ports, and who holds them.
//!
//! Nothing here prints; nothing assumes one machine, or fixed ports.

pub mod accel;
pub mod argv;
mod error;
mod files;
pub mod firmware;
pub mod machine;
mod owner;
pub mod ports;
pub mod qemu;

pub use error::Error;
