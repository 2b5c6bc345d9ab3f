//! Whether QEMU opens only the artifact itself when it boots an artifact named by a manifest.

use std::fs::File;

use camino::Utf8Path;
use rave_spec::Format;

use super::chain::{Links, open};
use super::container::Container;
use super::part::Part;
use crate::error::{Error, IoContext as _};
use crate::formats::ova;

/// Refuses everything but regular files: a pipe would block, and a device has no end.
pub fn is_regular(path: &Utf8Path) -> Result<(), Error> {
    if std::fs::metadata(path).at("open", path)?.is_file() {
        return Ok(());
    }
    Err(Error::Input { what: path.to_string(), detail: "it is not a regular file".into() })
}

/// Refuses a file that does not have the format, is not a regular file, or refers to other files.
pub fn is_self_contained(path: &Utf8Path, format: Format) -> Result<(), Error> {
    let refuse = |detail: String| Error::Input { what: path.to_string(), detail };
    is_regular(path)?;
    let expected = match format {
        Format::Qemu => Container::Qcow2,
        Format::Vmware | Format::Virtualbox => Container::Vmdk,
        // QEMU reads them as plain bytes, whatever they contain.
        Format::Raw | Format::Iso => return Ok(()),
    };
    let path = &camino::absolute_utf8(path).at("look at", path)?;
    let file = File::open(path).at("open", path)?;
    let mut part = Part::whole(path, &file).at("read", path)?;
    if format == Format::Virtualbox {
        let disk = ova::locate_disk(path)?;
        part = Part { offset: disk.offset, size: disk.size, is_whole: false, ..part };
    }
    let found = Container::of_file(&file, part.offset, part.size).at("read", path)?;
    if found != expected {
        return Err(refuse(format!("it is a {}, not a {}", found.name(), expected.name())));
    }
    open(&part, found, Links::Refuse).map(drop).map_err(refuse)
}
