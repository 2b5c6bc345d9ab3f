//! `rave-VERSION-inputs.tar`: all downloads of the release's builds, so that they can be repeated when the files are no
//! longer online. The first member is the index; it lists every other member, in order, with size and digest.
//! A POSIX.1-1988 tar with only regular files, sorted, with one timestamp and no owner, so that the same inputs give
//! the same bytes.

mod index;
mod read;
pub(crate) mod sources;
mod write;

pub use index::{Entry, INDEX, Index};
pub use read::{read, read_index};
pub use sources::sources;
pub use write::{Written, entries, write};
