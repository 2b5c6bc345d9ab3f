//! What lives inside a RAVE virtual machine, defined once for every base.
//!
//! - [`protocol`]: what the guest tells the host, as JSON: readiness events and the health report.
//! - [`channel`]: how the host runs programs in the guest, over a virtio-serial port.
//! - [`tree`]: folders on their way between host and guest.
//! - [`config`]: `/etc/rave/guest.json`, the part of `rave.toml` that the guest needs at run time.
//! - [`features`]: the names of what a profile may add.
//! - [`iso`]: where the installer finds the disk that an ISO carries.
//! - [`processor`]: whether a processor has what the tools need.
//! - [`assets`]: every file that RAVE puts into a guest: units, gateway, SSH, network, the lock of the npm tools.
//!
//! The program `rave-guest` beside this library runs in the guest; the library is what the host's crates use.

pub mod assets;
pub mod channel;
pub mod config;
pub mod features;
pub mod fuzzing;
pub mod iso;
pub mod processor;
pub mod protocol;
pub mod tree;
