//! Folders on their way between host and guest, over a program of the channel.
//!
//! - [`wire`]: the stream: records, and contents in pieces.
//! - [`path`]: which paths a stream may name.
//! - [`beneath`]: reading and writing below a folder, whatever links lie there.
//! - [`pack`], [`unpack`]: a folder as a stream, and a stream as a folder.
//! - [`serve`]: `rave-guest tree`, the guest's end.
//!
//! Both ends use the same code. The host trusts nothing that it reads: [`wire::Reader`] has limits, and refuses every path that
//! does not lie below its root.

pub mod beneath;
pub mod pack;
pub mod path;
pub mod serve;
pub mod unpack;
pub mod wire;
