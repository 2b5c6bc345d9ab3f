//! Whether an image is complete. QEMU reads zeros beyond a file's end: a truncated image would silently become a disk
//! with holes.

use std::time::Duration;

use rave_process::{Cmd, Status};
use serde::Deserialize;
use serde_json::Value;

use super::node::{Bounds, ImageNode, name, qemu_img_message};

/// How long qemu-img may check an image's tables.
const DEADLINE: Duration = Duration::from_secs(600);

/// Exit codes of `qemu-img check` (its manual): leaked clusters, which only waste space; a format that cannot be
/// checked.
const LEAKS: i32 = 3;
const NOT_SUPPORTED: i32 = 63;

/// A line of `qemu-img map --output=json`.
#[derive(Deserialize)]
struct Extent {
    start: u64,
    length: u64,
    depth: u64,
    data: bool,
    #[serde(default)]
    compressed: bool,
    offset: Option<u64>,
}

/// Checks that an image is complete.
pub(crate) fn check(image: &ImageNode) -> Result<(), String> {
    image.parts.iter().try_for_each(|part| {
        tables(&part.node)?;
        ends(part)
    })
}

fn tables(node: &Value) -> Result<(), String> {
    match Cmd::new("qemu-img").args(["check", "-q", &name(node)]).timeout(DEADLINE).output() {
        Ok(_) | Err(rave_process::Error::Failed { status: Status::Code(LEAKS | NOT_SUPPORTED), .. }) => {
            Ok(())
        }
        Err(error @ rave_process::Error::Failed { .. }) => {
            Err(format!("it is damaged or truncated, qemu-img check says: {}", qemu_img_message(&error)))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Checks that all data of an image is within its files.
fn ends(bounds: &Bounds) -> Result<(), String> {
    let command = Cmd::new("qemu-img").args(["map", "--output=json", &name(&bounds.node)]).timeout(DEADLINE);
    let mut beyond = None;
    command
        .run(&mut |line| {
            let text = line.text.trim().trim_start_matches('[').trim_end_matches([',', ']']);
            let Ok(extent) = serde_json::from_str::<Extent>(text) else { return };
            let end = extent.offset.and_then(|offset| offset.checked_add(extent.length));
            let file = bounds.files.iter().find(|(end, _)| extent.start < *end).map(|(_, length)| *length);
            let is_plain = extent.depth == 0 && extent.data && !extent.compressed;
            if is_plain && end.zip(file).is_some_and(|(end, length)| end > length) {
                beyond = beyond.max(end.zip(file));
            }
        })
        .map_err(|error| qemu_img_message(&error))?;
    match beyond {
        Some((end, length)) => {
            Err(format!("it is truncated: its data ends at byte {end}, the file has {length} bytes"))
        }
        None => Ok(()),
    }
}
