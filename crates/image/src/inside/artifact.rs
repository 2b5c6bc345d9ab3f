//! The disk of an artifact, and the other files packed with it.

use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

use crate::content::ext4::{Visit, Visited};
use crate::disk::IMAGE;
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::foreign::{self, Container, Links, Part, unpack};
use crate::formats::ova;
use crate::inspect::{self, squashfs};
use crate::space::free_bytes;
use crate::tempdir::{self, LockedTempDir};

const STAGE: &str = "unpack";

/// The assumed expansion of a compressed file, apart from zeros.
const EXPANSION: u64 = 8;

/// An artifact whose disk can be read. Unpacked files are removed with this value.
#[derive(Debug)]
pub struct Opened {
    /// The raw disk: the artifact itself if it is one. None if it has no disk, such as the description of a machine.
    pub disk: Option<Utf8PathBuf>,
    /// What else is packed with it.
    pub siblings: Vec<Sibling>,
    /// Where the squashfs that contains all of it starts in the artifact, bytes; none if there is none.
    pub squashfs: Option<u64>,
    _scratch: Option<LockedTempDir>,
}

/// An entry packed beside a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sibling {
    /// Its path in the artifact, without a leading slash.
    pub path: String,
    kind: SiblingKind,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SiblingKind {
    /// Its content.
    File(Utf8PathBuf),
    /// Its target.
    Link(Vec<u8>),
    Other,
}

impl Sibling {
    /// Visits it.
    pub fn visit(&self, visit: &mut Visit<'_>) -> Result<(), Error> {
        let done = match &self.kind {
            SiblingKind::File(place) => {
                let mut content = File::open(place).at("open", place)?;
                let size = content.metadata().at("read", place)?.len();
                visit(&self.path, Visited::File { size, content: &mut content })
            }
            SiblingKind::Link(target) => visit(&self.path, Visited::Link { target }),
            SiblingKind::Other => visit(&self.path, Visited::Other),
        };
        done.at("read", self.path.as_str())
    }
}

/// Opens an artifact.
pub fn open(path: &Utf8Path) -> Result<Opened, Error> {
    let path = &crate::build::absolute(path)?;
    let file = inspect::open(path)?;
    let part = Part::whole(path, &file).at("read", path)?;
    match Container::of_file(&file, 0, part.size).at("read", path)? {
        Container::Raw => {
            Ok(Opened { disk: Some(path.clone()), siblings: Vec::new(), squashfs: None, _scratch: None })
        }
        Container::Packed(packing) => {
            let scratch = scratch(part.size.saturating_mul(EXPANSION))?;
            let target = scratch.path().join(IMAGE);
            unpack::whole(path, packing, &target).map_err(|why| refuse(path, why))?;
            let inner = inspect::open(&target)?;
            let size = inner.metadata().at("read", &target)?.len();
            match Container::of_file(&inner, 0, size).at("read", &target)? {
                Container::Raw => Ok(with_disk(target, scratch)),
                other => Err(refuse(path, format!("what is compressed in it is {}", other.name()))),
            }
        }
        Container::Tar => of_package(path),
        Container::Iso { .. } => of_iso(path, &file),
        // Texts: a machine's description, a list of digests.
        Container::Unknown => Ok(Opened { disk: None, siblings: Vec::new(), squashfs: None, _scratch: None }),
        container => of_image(path, &part, container),
    }
}

fn refuse(path: &Utf8Path, detail: impl Into<String>) -> Error {
    if rave_process::interrupt::requested().is_some() {
        return Error::Interrupted;
    }
    Error::Input { what: path.to_string(), detail: detail.into() }
}

fn with_disk(disk: Utf8PathBuf, scratch: LockedTempDir) -> Opened {
    Opened { disk: Some(disk), siblings: Vec::new(), squashfs: None, _scratch: Some(scratch) }
}

/// A folder for large sparse files.
fn scratch(needed: u64) -> Result<LockedTempDir, Error> {
    let place = tempdir::place();
    let free = free_bytes(&place).at("look at", &place)?;
    if free < needed {
        return Err(Error::NoSpace { path: place, needed_mib: needed >> 20, free_mib: free >> 20 });
    }
    LockedTempDir::new(&place, "rave-inside-").at("create a folder in", &place)
}

fn of_image(path: &Utf8Path, part: &Part<'_>, container: Container) -> Result<Opened, Error> {
    let image = foreign::open(part, container, Links::Refuse).map_err(|why| refuse(path, why))?;
    foreign::check(&image).map_err(|why| refuse(path, why))?;
    let size = image.virtual_size().map_err(|why| refuse(path, why))?;
    let scratch = scratch(part.size.saturating_mul(EXPANSION).min(size))?;
    let target = scratch.path().join(IMAGE);
    let arguments = ["convert", "-O", "raw", &image.name(), target.as_str()];
    Cmd::new("qemu-img").args(arguments).output().stage(STAGE)?;
    Ok(with_disk(target, scratch))
}

/// The bootable disk of a package, extracted from its container.
fn of_package(path: &Utf8Path) -> Result<Opened, Error> {
    let mut file = File::open(path).at("open", path)?;
    let package = ova::Package::read(&mut file).at("read", path)?;
    let boot = package.boot_disk().map_err(|why| refuse(path, why))?;
    let part =
        Part { path, file: &file, offset: boot.member.offset, size: boot.member.size, is_whole: false };
    let container = Container::of_file(&file, part.offset, part.size).at("read", path)?;
    of_image(path, &part, container)
}

/// The disk in the squashfs, and everything else in it.
fn of_iso(path: &Utf8Path, file: &File) -> Result<Opened, Error> {
    let start = squashfs(file).at("read", path)?;
    let start = start.ok_or_else(|| refuse(path, "it contains no squashfs"))?;
    of_squashfs(path, start)
}

pub(super) fn of_squashfs(path: &Utf8Path, start: u64) -> Result<Opened, Error> {
    let size = fs::metadata(path).at("read", path)?.len();
    let scratch = scratch(size.saturating_mul(EXPANSION))?;
    let tree = scratch.path().join("tree");
    let offset = start.to_string();
    // By default its queues use 256 MiB each.
    let fixed = ["-no-progress", "-no-xattrs", "-data-queue", "32", "-frag-queue", "32", "-dest"];
    let rest = [tree.as_str(), "-offset", &offset, path.as_str()];
    Cmd::new("unsquashfs").args(fixed).args(rest).output().stage(STAGE)?;
    let mut found = Vec::new();
    list(&tree, &tree, &mut found)?;
    found.sort();
    let image = tree.join(IMAGE);
    let at = found.iter().position(|one| one.kind == SiblingKind::File(image.clone()));
    let disk = at.map(|at| found.remove(at)).map(|_| image);
    Ok(Opened { disk, siblings: found, squashfs: Some(start), _scratch: Some(scratch) })
}

/// Everything below a folder; links are not followed.
fn list(root: &Utf8Path, folder: &Utf8Path, found: &mut Vec<Sibling>) -> Result<(), Error> {
    for entry in folder.read_dir_utf8().at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let place = entry.path();
        let kind = entry.file_type().at("read", place)?;
        let kind = if kind.is_file() {
            SiblingKind::File(place.to_owned())
        } else if kind.is_symlink() {
            let target = fs::read_link(place).at("read", place)?;
            SiblingKind::Link(target.into_os_string().into_vec())
        } else {
            SiblingKind::Other
        };
        found.push(Sibling { path: place.strip_prefix(root).unwrap_or(place).to_string(), kind });
        if entry.file_type().at("read", place)?.is_dir() {
            list(root, place, found)?;
        }
    }
    Ok(())
}
