//! Compressed files. Only the first blocks of a raw disk in zstd are inspected; anything else is unpacked and inspected
//! again.

use std::fs::File;

use camino::Utf8Path;

use super::facts::{Depth, DiskFacts, GuestContent, ImageKind, Inspection};
use super::guest_content::scratch_with_room;
use super::remarks::Remarks;
use crate::error::Error;
use crate::foreign::{Container, Packing, unpack};

/// The assumed expansion of a compressed file, apart from zeros.
const EXPANSION: u64 = 8;

/// What was found in it.
pub(super) struct Found {
    pub(super) kind: ImageKind,
    pub(super) disk: Option<DiskFacts>,
    pub(super) content: GuestContent,
    pub(super) remarks: Remarks,
}

/// Inspects a file.
type Inspect = dyn Fn(&Utf8Path, Depth) -> Result<Inspection, Error>;

/// Inspects the content of a compressed file; none if it is a raw disk in zstd, or cannot be unpacked.
pub(super) fn inspect_content(
    path: &Utf8Path,
    file: &File,
    packing: Packing,
    depth: Depth,
    problems: &mut Vec<String>,
    inspect: &Inspect,
) -> Result<Option<Found>, Error> {
    let head = match unpack::head(path, packing) {
        Ok(head) => head,
        Err(why) => {
            problems.push(why);
            return Ok(None);
        }
    };
    let holds = Container::of(&head, &[]);
    if packing == Packing::Zstd && holds == Container::Raw {
        return Ok(None);
    }
    let kind = ImageKind::Packed { packing, holds };
    let none = |why: String| Found {
        kind: kind.clone(),
        disk: None,
        content: if depth == Depth::Files {
            GuestContent::None { detail: why.clone() }
        } else {
            GuestContent::NotLookedAt
        },
        remarks: Remarks { problems: vec![why], notes: Vec::new() },
    };
    if let Container::Packed(again) = holds {
        return Ok(Some(none(format!("it is compressed twice: unpack it once with {}", again.name()))));
    }
    let packed = file.metadata().map_or(0, |metadata| metadata.len());
    let scratch = match scratch_with_room(packed.saturating_mul(EXPANSION)) {
        Ok(scratch) => scratch,
        Err(error) => return Ok(Some(none(error))),
    };
    let target = scratch.path().join("content");
    if let Err(why) = unpack::whole(path, packing, &target) {
        if rave_process::interrupt::requested().is_some() {
            return Err(Error::Interrupted);
        }
        return Ok(Some(none(why)));
    }
    let Inspection { disk, content, problems, notes, .. } = inspect(&target, depth)?;
    Ok(Some(Found { kind, disk, content, remarks: Remarks { problems, notes } }))
}
