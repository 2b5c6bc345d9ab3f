//! The content of a RAVE virtual machine, defined once for all bases.
//!
//! - [`protocol`]: the guest's JSON messages to the host: readiness events and the health report.
//! - [`channel`]: how the host runs programs in the guest, over a virtio-serial port.
//! - [`tree`]: copies folders between host and guest.
//! - [`config`]: `/etc/rave/guest.json`, the part of `rave.toml` that the guest needs at run time.
//! - [`features`]: the names of features.
//! - [`iso`]: where the installer finds the disk of an ISO.
//! - [`processor`]: whether a processor supports the tools.
//! - [`assets`]: all files that RAVE adds to a guest: units, gateway, SSH, network, the lock of the npm tools.
//!
//! The program `rave-guest` in this crate runs in the guest; the host's crates use the library.

pub mod assets;
pub mod channel;
pub mod config;
pub mod features;
pub mod fuzzing;
pub mod iso;
pub mod processor;
pub mod protocol;
pub mod tree;
