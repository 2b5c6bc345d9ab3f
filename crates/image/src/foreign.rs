//! Files that others made: what they are by their bytes, which other files they name, and how QEMU opens them so that it
//! opens nothing else. QEMU follows every name that an image contains, also `/etc/shadow` and `nbd://host`: so the
//! names are read here first, and QEMU is given each file as a node of its own.

mod alone;
mod chain;
mod container;
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

pub use alone::{is_regular, stands_alone};
pub use chain::Links;
pub(crate) use chain::open;
pub(crate) use container::HEAD;
pub use container::{Container, Packing};
pub(crate) use node::ImageNode;
pub(crate) use part::Part;
pub(crate) use sound::check;
