//! Untrusted files: their type according to their bytes, the other files that they refer to, and how QEMU opens them
//! without opening anything else. QEMU follows every name in an image, even `/etc/shadow` and `nbd://host`: so the
//! names are parsed here first, and QEMU gets each file as a separate node.

mod alone;
mod chain;
mod container;
mod last_cluster;
mod node;
pub mod old_qemu;
mod part;
pub mod qcow2;
mod sound;
mod tables;
pub(crate) mod unpack;
pub mod vhd;
pub mod vhdx;
mod vmdk_files;

pub use alone::{is_regular, is_self_contained};
pub use chain::Links;
pub(crate) use chain::open;
pub(crate) use container::HEAD;
pub use container::{Container, Packing};
pub(crate) use node::ImageNode;
pub(crate) use part::Part;
pub(crate) use sound::check;
