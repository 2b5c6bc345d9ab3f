//! `rave-VERSION-inputs.tar`: all that the release's builds took from the network, so that they can be made again when the
//! network has it no longer. The first member is the index; every other one is in it, in its order, with size and digest.
//!
//! A tar as POSIX.1-1988 has it: regular files alone, sorted, with one time and no owner, so that the same inputs make the
//! same bytes.

mod index;
mod read;
mod sources;
mod write;

pub use index::{Entry, INDEX, Index};
pub use read::{read, read_index};
pub use sources::sources;
pub use write::{Written, entries, write};
