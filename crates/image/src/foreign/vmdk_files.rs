//! The files of a VMDK. QEMU parses descriptors more loosely than this module and opens whatever their extents name: so
//! it is given a rewritten descriptor with exactly the extents that were checked.

use std::fs::File;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};

use super::container::Container;
use super::node::{self, Bounds, ImageNode, alone};
use super::part::{Part, inside};
use super::tables;
use crate::formats::vmdk::{self, Descriptor, Extent, Header, NO_PARENT, SECTOR};

/// The longest descriptor that is read: a disk of 64 TiB in files of 2 GiB has 32,768 lines.
const LONGEST: u64 = 4 << 20;

/// `createType`s with extents in separate files, as supported by QEMU (block/vmdk.c, `vmdk_open_desc_file`).
const KINDS: &[&str] =
    &["monolithicFlat", "vmfs", "vmfsSparse", "seSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"];

/// The key of a descriptor with a parent; QEMU only looks for this.
const PARENT: &str = "parentFileNameHint";

/// Refuses a sparse extent that does not contain its whole disk.
pub(super) fn refuse_links(part: &Part<'_>) -> Result<(), String> {
    let head = Header::parse(&part.read(0, SECTOR)?).map_err(|error| error.to_string())?;
    let text = part.read(head.descriptor_offset.saturating_mul(SECTOR), SECTOR)?;
    if head.descriptor_offset == 0 || text.first().is_none_or(|byte| *byte == 0) {
        return Err("an extent of a VMDK: give the .vmdk that names it".into());
    }
    let (header, descriptor) = vmdk::read(part.file, part.offset).map_err(|error| error.to_string())?;
    let whole = ["monolithicSparse", "streamOptimized"].contains(&descriptor.kind.as_str());
    if header.capacity == 0 || !whole || descriptor.extents.len() != 1 {
        return Err(format!(
            "it needs another file, which was not opened: it is a {:?} of {} extents",
            descriptor.kind,
            descriptor.extents.len()
        ));
    }
    // QEMU reads 20 sectors from there, whatever size the header gives.
    let text = part.read(header.descriptor_offset.saturating_mul(SECTOR), 20 * SECTOR)?;
    refuse_parent(&descriptor, &String::from_utf8_lossy(&text))
}

fn refuse_parent(descriptor: &Descriptor, text: &str) -> Result<(), String> {
    if descriptor.parent_cid == NO_PARENT && !text.contains(PARENT) {
        return Ok(());
    }
    Err("it needs another file, which was not opened: it is a snapshot and holds what differs from its parent; \
         make one disk of both first, with `vmware-vdiskmanager -r`"
        .into())
}

/// Opens the disk described by a descriptor.
pub(super) fn open(part: &Part<'_>) -> Result<ImageNode, String> {
    if part.size > LONGEST {
        return Err(format!("a VMDK descriptor of {} MiB, longer than any", part.size >> 20));
    }
    let text = String::from_utf8_lossy(&part.read(0, LONGEST)?).into_owned();
    let mut descriptor = Descriptor::parse(&text).map_err(|error| error.to_string())?;
    refuse_parent(&descriptor, &text)?;
    if !KINDS.contains(&descriptor.kind.as_str()) || descriptor.extents.is_empty() {
        return Err(format!(
            "a VMDK descriptor of the kind {:?} with {} extents, which qemu-img does not read; it reads: {}",
            descriptor.kind,
            descriptor.extents.len(),
            KINDS.join(", ")
        ));
    }
    let folder = part.path.parent().unwrap_or(Utf8Path::new("/"));
    let folder = folder.canonicalize_utf8().map_err(|error| format!("{folder}: {error}"))?;
    let place = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let mut files = vec![part.path.to_owned()];
    let mut bounds = Vec::new();
    for (number, extent) in descriptor.extents.iter_mut().enumerate() {
        let path = extent_path(&folder, &extent.file)?;
        let length = extent_length(extent, &path)?;
        let start = bounds.last().map_or(0, |(end, _)| *end);
        bounds.push((extent.sectors.saturating_mul(SECTOR).saturating_add(start), length));
        extent.file = format!("extent-{number}");
        "RW".clone_into(&mut extent.access);
        symlink(&path, place.path().join(&extent.file)).map_err(|error| format!("{path}: {error}"))?;
        files.push(path);
    }
    let clean = place.path().join("disk.vmdk");
    std::fs::write(&clean, descriptor.render()).map_err(|error| format!("no temporary file: {error}"))?;
    let clean =
        Utf8PathBuf::from_path_buf(clean).map_err(|path| format!("{} is not UTF-8", path.display()))?;
    let node = alone("vmdk", &node::file(&clean));
    let parts = vec![Bounds { node: node.clone(), files: bounds }];
    let (top, container) = (node.clone(), Container::VmdkDescriptor);
    Ok(ImageNode { container, files, node, top, parts, _descriptor: Some(place) })
}

/// The path of an extent, which must be beside its descriptor and have a plain name: no folder, not hidden.
fn extent_path(folder: &Utf8Path, name: &str) -> Result<Utf8PathBuf, String> {
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        return Err(format!("its extent {name:?} is not beside it: only files in its own folder are read"));
    }
    inside(folder, &folder.join("descriptor"), name)
}

/// The length of an extent's file; an error if it does not match the descriptor's line.
fn extent_length(extent: &Extent, path: &Utf8Path) -> Result<u64, String> {
    let name = &extent.file;
    let failed = |error: std::io::Error| format!("its extent {name:?}: {error}");
    let file = File::open(path).map_err(failed)?;
    let part = Part::whole(path, &file).map_err(failed)?;
    if extent.access == "NOACCESS" {
        return Err(format!("its extent {name:?} may not be read (NOACCESS)"));
    }
    let is = |expected: Container| {
        let found = Container::of_file(&file, 0, part.size).map_err(failed)?;
        if found == expected {
            Ok(())
        } else {
            Err(format!("its extent {name:?} is not a {}, but: {}", expected.name(), found.name()))
        }
    };
    match extent.kind.as_str() {
        "FLAT" | "VMFS" => {
            let end = extent.offset.unwrap_or_default().checked_add(extent.sectors);
            let end = end.and_then(|end| end.checked_mul(SECTOR));
            match end {
                Some(end) if end <= part.size => Ok(part.size),
                _ => Err(format!("its extent {name:?} is truncated: it has {} bytes", part.size)),
            }
        }
        "SPARSE" => {
            is(Container::Vmdk)?;
            let header = Header::parse(&part.read(0, 512)?).map_err(|error| error.to_string())?;
            // QEMU treats an extent without sectors as a descriptor, and follows it.
            if header.capacity != extent.sectors || header.capacity == 0 {
                return Err(format!(
                    "its extent {name:?} has {} sectors, not {}",
                    header.capacity, extent.sectors
                ));
            }
            tables::check(&part, Container::Vmdk).map_err(|why| format!("its extent {name:?}: {why}"))?;
            Ok(part.size)
        }
        "VMFSSPARSE" | "SESPARSE" => is(Container::EsxExtent).map(|()| part.size),
        other => Err(format!("its extent {name:?} is of the kind {other:?}, which is not a file")),
    }
}
