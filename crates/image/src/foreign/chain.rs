//! Which files belong to an image. Names inside it are untrusted: they are followed only if the user declares the chain
//! as their own, and then only within the image's folder.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::container::Container;
use super::node::{self, Bounds, ImageNode, alone, window};
use super::old_qemu::OldHead;
use super::part::{Part, inside};
use super::vhd::{self, Footer, Kind};
use super::{qcow2, tables, vhdx, vmdk_files};

/// What to do if a qcow2 refers to other files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Refuse the image.
    Refuse,
    /// Read the files, if the user owns them and they are in the image's folder or below.
    Follow,
}

/// Maximum images of a chain; QEMU itself has no limit.
const MOST_LINKS: usize = 64;

/// The image as a node for QEMU, or why it is refused.
pub(crate) fn open(part: &Part<'_>, container: Container, links: Links) -> Result<ImageNode, String> {
    match container {
        Container::Qcow2 => qcow2(part, links),
        Container::VmdkDescriptor if part.is_whole => vmdk_files::open(part),
        Container::VmdkDescriptor => Err("a VMDK whose extents lie in other files: unpack it first".into()),
        _ => {
            let driver = container.driver().ok_or_else(|| container.refusal())?;
            let file = part.node();
            let node = match container {
                Container::Raw | Container::Iso { .. } => json!({ "driver": "raw", "file": file }),
                Container::FixedVhd => window(&file, 0, fixed_size(part)?),
                // Without it QEMU derives the size of some images from their geometry, which may be smaller.
                Container::Vhd => {
                    json!({ "driver": driver, "force_size_calc": "current_size", "file": file, "backing": null })
                }
                _ => alone(driver, &file),
            };
            refuse_links(part, container)?;
            tables::check(part, container)?;
            Ok(image(part, container, node))
        }
    }
}

fn image(part: &Part<'_>, container: Container, node: Value) -> ImageNode {
    // A raw disk has no tables, and ends with its file.
    let is_raw = container.driver() == Some("raw");
    let parts = if is_raw { Vec::new() } else { vec![Bounds::one(node.clone(), part.size)] };
    ImageNode {
        container,
        files: vec![part.path.to_owned()],
        top: node.clone(),
        node,
        parts,
        _descriptor: None,
    }
}

fn fixed_size(part: &Part<'_>) -> Result<u64, String> {
    let length = vhd::FOOTER as u64;
    let content = part.size.saturating_sub(length);
    let footer = Footer::parse(&part.read(content, length)?)?;
    match footer.kind {
        Kind::Fixed if footer.size > content => {
            Err(format!("it is truncated: its footer says {} bytes, it has {content}", footer.size))
        }
        Kind::Fixed => Ok(footer.size),
        Kind::Dynamic | Kind::Differencing => {
            Err("it is truncated: a VHD's footer is where its table should be".into())
        }
    }
}

const ANOTHER: &str = "it needs another file, which was not opened";

/// Refuses an image that refers to files that QEMU would open, or that it would need but ignores.
fn refuse_links(part: &Part<'_>, container: Container) -> Result<(), String> {
    let head = part.read(0, 4096)?;
    match container {
        Container::Vmdk => vmdk_files::refuse_links(part),
        Container::Qcow | Container::Qed => {
            let head = if container == Container::Qed { OldHead::qed(&head) } else { OldHead::qcow(&head) };
            match head.ok_or("its header is truncated")? {
                OldHead { is_encrypted: true, .. } => {
                    Err("its clusters are encrypted: decrypt it first".into())
                }
                OldHead { has_backing: true, .. } => Err(format!("{ANOTHER}: a backing file")),
                _ => Ok(()),
            }
        }
        Container::Vhd => match Footer::parse(&head)?.kind {
            Kind::Differencing => Err(format!(
                "{ANOTHER}: a differencing VHD holds what differs from its parent; merge both first"
            )),
            Kind::Dynamic if part.read(part.size.saturating_sub(512), 512)? != head[..512] => {
                Err("it is truncated: its last bytes are not the footer that its first bytes are a copy of"
                    .into())
            }
            _ => Ok(()),
        },
        Container::Vhdx if !part.is_whole => Ok(()),
        Container::Vhdx => {
            match vhdx::has_parent(part.file).map_err(|error| format!("it cannot be read: {error}"))? {
                Some(false) => Ok(()),
                Some(true) => Err(format!(
                    "{ANOTHER}: a differencing VHDX holds what differs from its parent; merge both first"
                )),
                None => Err("its metadata cannot be found: it is damaged or truncated".into()),
            }
        }
        // VirtualBox, VDICore.h, `VDIIMAGETYPE`: 3 and 4 are for undo and for differences.
        Container::Vdi => match head.get(0x4c) {
            Some(1 | 2) => Ok(()),
            _ => Err(format!(
                "{ANOTHER}: a VDI of differences holds what differs from its parent; merge both first"
            )),
        },
        _ => Ok(()),
    }
}

fn qcow2(part: &Part<'_>, links: Links) -> Result<ImageNode, String> {
    let header =
        qcow2::Header::parse(&part.read(0, 4096)?).map_err(|why| format!("not a valid qcow2: {why}"))?;
    if header.is_encrypted {
        return Err("its clusters are encrypted: decrypt it first".into());
    }
    if !header.needs_another_file {
        tables::check(part, Container::Qcow2)?;
        return Ok(image(part, Container::Qcow2, alone("qcow2", &part.node())));
    }
    let names = qcow2::Names::parse(&part.read(0, header.first_cluster())?);
    let needed = match &names {
        Ok(names) => {
            let backing = names.backing.iter().map(|name| format!("its backing file {name:?}"));
            let data = names.data.iter().map(|name| format!("the file of its data {name:?}"));
            backing.chain(data).collect::<Vec<_>>().join(" and ")
        }
        Err(why) => why.clone(),
    };
    if links == Links::Refuse || !part.is_whole {
        return Err(format!("{ANOTHER}: {needed}"));
    }
    follow(part.path, None, &mut Vec::new())
}

/// An image's reference to its backing file.
struct Reference<'a> {
    image: &'a Utf8Path,
    format: Option<&'a str>,
}

/// A chain that starts at `path`; `seen` are the images above it.
fn follow(
    path: &Utf8Path,
    from: Option<&Reference<'_>>,
    seen: &mut Vec<Utf8PathBuf>,
) -> Result<ImageNode, String> {
    let failed = |path: &Utf8Path, error: std::io::Error| format!("{path}: {error}");
    let canonical = path.canonicalize_utf8().map_err(|error| failed(path, error))?;
    if seen.contains(&canonical) || seen.len() >= MOST_LINKS {
        return Err(format!(
            "its chain of backing files has no end: {canonical} is in it twice, or it is too long"
        ));
    }
    let folder = seen.first().unwrap_or(&canonical).parent().unwrap_or(Utf8Path::new("/")).to_owned();
    seen.push(canonical.clone());
    let file = File::open(&canonical).map_err(|error| failed(&canonical, error))?;
    owned(&file, &canonical)?;
    let part = Part::whole(&canonical, &file).map_err(|error| failed(&canonical, error))?;
    let container = Container::of_file(&file, 0, part.size).map_err(|error| failed(&canonical, error))?;
    // The last image of a chain may be raw, with any content.
    let container =
        if container == Container::Unknown && from.is_some() { Container::Raw } else { container };
    from.map_or(Ok(()), |from| same_format(from, container))?;
    if container != Container::Qcow2 {
        return open(&part, container, Links::Refuse);
    }
    let header =
        qcow2::Header::parse(&part.read(0, 4096)?).map_err(|why| format!("not a valid qcow2: {why}"))?;
    if header.is_encrypted {
        return Err(format!("the clusters of {canonical} are encrypted: decrypt it first"));
    }
    tables::check(&part, container).map_err(|why| format!("{canonical}: {why}"))?;
    let names = qcow2::Names::parse(&part.read(0, header.first_cluster())?)?;
    let mut top = alone("qcow2", &part.node());
    let (mut files, mut length) = (vec![canonical.clone()], part.size);
    if let Some(name) = &names.data {
        let data = inside(&folder, &canonical, name)?;
        let opened = File::open(&data).map_err(|error| failed(&data, error))?;
        owned(&opened, &data)?;
        top["data-file"] = node::file(&data);
        // Its clusters are in that file.
        length = opened.metadata().map_err(|error| failed(&data, error))?.len();
        files.push(data);
    }
    let mut parts = vec![Bounds::one(top.clone(), length)];
    let mut node = top.clone();
    if let Some(name) = &names.backing {
        let from = Reference { image: &canonical, format: names.backing_format.as_deref() };
        let below = follow(&inside(&folder, &canonical, name)?, Some(&from), seen)?;
        node["backing"] = below.node;
        parts.extend(below.parts);
        files.extend(below.files);
    }
    Ok(ImageNode { container: Container::Qcow2, files, node, top, parts, _descriptor: None })
}

/// Checks the declared format of a backing file: a guest can write a qcow2 header to its raw disk.
fn same_format(from: &Reference<'_>, found: Container) -> Result<(), String> {
    let Reference { image, format } = from;
    match (format, found.driver()) {
        (Some(said), Some(driver)) if *said == driver => Ok(()),
        (Some(said), _) => {
            Err(format!("{image} says that its backing file is {said:?}, but it is a {}", found.name()))
        }
        (None, driver) => Err(format!(
            "{image} does not say of which format its backing file is; say it with: qemu-img rebase -u -F {} -b BACKING {image}",
            driver.unwrap_or("FORMAT")
        )),
    }
}

fn owned(file: &File, path: &Utf8Path) -> Result<(), String> {
    let owner = file.metadata().map_err(|error| format!("{path}: {error}"))?.uid();
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(format!(
        "{path} belongs to another user, so the chain is not your own: copy the chain first, then convert the copy"
    ))
}
