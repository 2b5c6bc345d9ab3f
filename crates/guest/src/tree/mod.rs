//! Copies folders between host and guest, through a program of the channel.
//!
//! - [`wire`]: the stream: records, and contents in pieces.
//! - [`path`]: which paths a stream may contain.
//! - [`beneath`]: reading and writing below a folder, whatever links it contains.
//! - [`pack`], [`unpack`]: convert a folder to a stream, and back.
//! - [`serve`]: `rave-guest tree`, the guest's end.
//!
//! Both ends use the same code. The host does not trust what it reads: [`wire::Reader`] has limits, and refuses every
//! path that is not below its root.

pub mod beneath;
pub mod pack;
pub mod path;
pub mod serve;
pub mod unpack;
pub mod wire;
