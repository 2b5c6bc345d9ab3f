//! Members of archives.

use std::io::{self, Read};

/// The longest target of a link, bytes (limits.h, `PATH_MAX`).
pub(super) const LONGEST_TARGET: u64 = 4096;

/// A member of an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    /// Its path, without leading slashes.
    pub(super) name: &'a [u8],
    pub(super) what: What,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    File,
    /// A link, whose content is its target.
    Link,
    /// A folder, device, pipe or socket; or a description of another member.
    Other,
}

/// Visits a member and its bytes.
pub(super) type EachMember<'a> = dyn FnMut(Member<'_>, &mut dyn Read) -> io::Result<()> + 'a;

/// A member's name without `./` and leading slashes.
pub(super) fn without_root(name: &[u8]) -> &[u8] {
    let mut rest = name;
    while let Some(after) = rest.strip_prefix(b"/").or_else(|| rest.strip_prefix(b"./")) {
        rest = after;
    }
    rest
}

/// Reads bytes that are not needed.
pub(super) fn skip(from: &mut dyn Read, count: u64) -> io::Result<()> {
    if io::copy(&mut from.take(count), &mut io::sink())? == count {
        Ok(())
    } else {
        Err(invalid("the archive is truncated"))
    }
}

/// The error of a damaged archive.
pub(super) fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
