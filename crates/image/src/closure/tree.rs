//! The tree: exactly what a NixOS machine needs on its disk before its first boot. Activation creates the rest.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use camino::Utf8Path;
use tar::{Builder, EntryType, Header};

use super::database;
use super::registration::Registration;
use super::store_path::{STORE, StorePath};
use crate::error::Error;
use crate::tree::merge::WriteError;
use crate::tree::root_tar::Extent;
use crate::tree::root_tree::RootTree;

/// The timestamp of everything in a store, seconds since 1970 (libstore/posix-fs-canonicalise.hh, `mtimeStore`).
pub(super) const STORE_TIME: u64 = 1;

/// The mode of the store's folder: it belongs to the builders' group, which may add paths but not remove them
/// (nixos/modules/system/boot/stage-2.nix).
const STORE_MODE: u32 = 0o1775;
/// The group `nixbld` (nixos/modules/misc/ids.nix).
const BUILDERS: u64 = 30000;

/// The longest link target that fits a header, bytes (POSIX pax, "ustar Interchange Format", `linkname`).
const LONGEST_TARGET: usize = 100;

/// Folders created before the store, with their modes. systemd mounts over the empty ones.
const FOLDERS: &[(&str, u32)] = &[
    ("boot", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("nix", 0o755),
    ("nix/var", 0o755),
    ("nix/var/nix", 0o755),
    ("nix/var/nix/db", 0o755),
    ("nix/var/nix/gcroots", 0o755),
    ("nix/var/nix/profiles", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o755),
    ("tmp", 0o1777),
    ("var", 0o755),
];

/// A closure on this host, and the other files of the tree.
pub(crate) struct ClosureTree<'a> {
    pub(crate) registration: &'a Registration,
    /// The store's folder on this host.
    pub(crate) store: &'a Utf8Path,
    /// The system that is started: the first generation of the profile `system`.
    pub(crate) system: &'a StorePath,
    /// A folder whose content goes into the root folder, owned by root and writable for root.
    pub(crate) files: Option<&'a Utf8Path>,
    /// Where the database is written before it goes into the tree.
    pub(crate) work: &'a Utf8Path,
    /// The timestamp of files outside the store, seconds since 1970.
    pub(crate) epoch: u64,
    pub(crate) extent: Extent,
}

/// How entries of a folder are written.
#[derive(Clone, Copy)]
enum Manner {
    /// As nix stores them: nothing is writable.
    Store,
    /// Writable for root.
    Own { epoch: u64 },
}

impl Manner {
    fn mode(self, metadata: &Metadata) -> u32 {
        let executable = metadata.is_dir() || metadata.permissions().mode() & 0o100 != 0;
        match (self, executable) {
            (Self::Store, true) => 0o555,
            (Self::Store, false) => 0o444,
            (Self::Own { .. }, true) => 0o755,
            (Self::Own { .. }, false) => 0o644,
        }
    }

    fn time(self) -> u64 {
        match self {
            Self::Store => STORE_TIME,
            Self::Own { epoch } => epoch,
        }
    }
}

/// The space that a tree of these parts needs on a disk.
pub(crate) fn extent(
    registration: &Registration,
    store: &Utf8Path,
    files: Option<&Utf8Path>,
) -> Result<Extent, Error> {
    // The folders, and a database of less than 1 KiB for each path with its references.
    let mut extent = Extent::default();
    extent.add((registration.paths().len() as u64 + 64) << 10);
    for _ in FOLDERS {
        extent.add(4096);
    }
    let paths = registration.paths().iter().map(|path| store.join(path.path.base()));
    for place in paths.chain(files.map(Utf8Path::to_owned)) {
        let counted = walk(place.as_std_path(), &mut |_, metadata| {
            extent.add(metadata.len());
            Ok(())
        });
        counted.map_err(|error| match error {
            WriteError::Input(error) => error,
            WriteError::Io(error) => Error::io("read", &place, error),
        })?;
    }
    Ok(extent)
}

impl RootTree for ClosureTree<'_> {
    fn extent(&self) -> Extent {
        self.extent
    }

    fn write(&self, out: &mut dyn Write) -> Result<(), WriteError> {
        let mut tar = Builder::new(out);
        self.own_folder(&mut tar, "./", 0o755)?;
        for (path, mode) in FOLDERS {
            self.own_folder(&mut tar, path, *mode)?;
        }
        self.own_file(&mut tar, "etc/NIXOS", b"")?;
        if let Some(files) = self.files {
            append(&mut tar, files.as_std_path(), Path::new(""), Manner::Own { epoch: self.epoch })?;
        }
        self.state(&mut tar)?;
        let mut header = self.header(EntryType::Directory, STORE_MODE);
        header.set_gid(BUILDERS);
        tar.append_data(&mut header, "nix/store/", io::empty())?;
        for path in self.registration.paths() {
            let place = Path::new(STORE.trim_start_matches('/')).join(path.path.base());
            append(&mut tar, self.store.join(path.path.base()).as_std_path(), &place, Manner::Store)?;
        }
        tar.finish()?;
        Ok(())
    }
}

impl ClosureTree<'_> {
    /// The database and the profile of the system.
    fn state(&self, tar: &mut Builder<&mut dyn Write>) -> Result<(), WriteError> {
        let file = self.work.join("db.sqlite");
        database::write(self.registration, &file)?;
        let size = fs::metadata(&file)?.len();
        let mut header = self.header(EntryType::Regular, 0o644);
        header.set_size(size);
        tar.append_data(&mut header, "nix/var/nix/db/db.sqlite", File::open(&file)?)?;
        fs::remove_file(&file)?;
        self.own_file(tar, "nix/var/nix/db/schema", database::SCHEMA.as_bytes())?;
        for (link, target) in [
            ("nix/var/nix/gcroots/profiles", "/nix/var/nix/profiles"),
            ("nix/var/nix/profiles/system-1-link", self.system.as_str()),
            ("nix/var/nix/profiles/system", "system-1-link"),
        ] {
            let mut header = self.header(EntryType::Symlink, 0o777);
            append_link(tar, &mut header, Path::new(link), target.as_bytes())?;
        }
        Ok(())
    }

    fn own_folder(&self, tar: &mut Builder<&mut dyn Write>, path: &str, mode: u32) -> io::Result<()> {
        tar.append_data(&mut self.header(EntryType::Directory, mode), path, io::empty())
    }

    fn own_file(&self, tar: &mut Builder<&mut dyn Write>, path: &str, content: &[u8]) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, 0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content)
    }

    fn header(&self, kind: EntryType, mode: u32) -> Header {
        header(kind, mode, self.epoch)
    }
}

fn header(kind: EntryType, mode: u32, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}

/// Appends `source`, recursively, as `place`; an empty place is the root folder, which already exists.
fn append(
    tar: &mut Builder<&mut dyn Write>,
    source: &Path,
    place: &Path,
    manner: Manner,
) -> Result<(), WriteError> {
    walk(source, &mut |path, metadata| {
        let below = path.strip_prefix(source).unwrap_or(path);
        let place = if below.as_os_str().is_empty() { place.to_owned() } else { place.join(below) };
        if !place.as_os_str().is_empty() {
            entry(tar, path, metadata, &place, manner)?;
        }
        Ok(())
    })
}

fn entry(
    tar: &mut Builder<&mut dyn Write>,
    source: &Path,
    metadata: &Metadata,
    place: &Path,
    manner: Manner,
) -> Result<(), WriteError> {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        let target = fs::read_link(source)?;
        let mut header = header(EntryType::Symlink, 0o777, manner.time());
        append_link(tar, &mut header, place, target.as_os_str().as_bytes())?;
    } else if kind.is_dir() {
        let mut header = header(EntryType::Directory, manner.mode(metadata), manner.time());
        tar.append_data(&mut header, place, io::empty())?;
    } else if kind.is_file() {
        // Never as a hard link: which files share an inode depends on this host.
        let mut header = header(EntryType::Regular, manner.mode(metadata), manner.time());
        header.set_size(metadata.len());
        tar.append_data(&mut header, place, File::open(source)?)?;
    } else {
        let detail = "only files, folders and links can be in a store".into();
        return Err(Error::Input { what: source.display().to_string(), detail }.into());
    }
    Ok(())
}

/// A link with its target byte by byte: `Builder::append_link` would write `./a` as `a`.
fn append_link(
    tar: &mut Builder<&mut dyn Write>,
    header: &mut Header,
    place: &Path,
    target: &[u8],
) -> io::Result<()> {
    if target.len() <= LONGEST_TARGET {
        header.set_link_name_literal(target)?;
    } else {
        // An entry of GNU tar with the zero-terminated target of the following entry.
        let mut long = self::header(EntryType::GNULongLink, 0o644, 0);
        let name = b"././@LongLink";
        long.as_gnu_mut().expect("a header of GNU tar").name[..name.len()].copy_from_slice(name);
        long.set_size(target.len() as u64 + 1);
        long.set_cksum();
        tar.append(&long, [target, b"\0"].concat().as_slice())?;
        header.set_link_name_literal(&target[..LONGEST_TARGET])?;
    }
    tar.append_data(header, place, io::empty())
}

/// Visits an entry.
type Visit<'a> = dyn FnMut(&Path, &Metadata) -> Result<(), WriteError> + 'a;

/// Visits an entry, and after a folder its content, in the order of names.
fn walk(path: &Path, visit: &mut Visit<'_>) -> Result<(), WriteError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| unreadable(path, source))?;
    visit(path, &metadata)?;
    if metadata.is_dir() {
        let list =
            || fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<OsString>>>();
        let mut names = list().map_err(|source| unreadable(path, source))?;
        names.sort();
        for name in names {
            walk(&path.join(name), visit)?;
        }
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::io("read", path.display().to_string(), source)
}
