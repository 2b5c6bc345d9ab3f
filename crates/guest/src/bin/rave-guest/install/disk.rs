//! Finds the disks of this machine, and writes one.

use super::answers::refused;
use crate::error::Error;
use crate::files::{self, failed};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Bytes of a sector in sysfs, independent of the disk's own (Linux's `include/linux/types.h`, `sector_t`).
const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;
/// The first MiB of a disk makes it bootable, and its last has the backup partition table.
const EDGE: u64 = MIB;
/// `O_EXCL` of open(2), octal 200 on x86: opening a block device fails if the kernel uses it.
const EXCLUSIVE: i32 = 0o200;
/// Linux's EBUSY, errno(3).
const BUSY: i32 = 16;
/// Marks the beginning of a disk while it is written, so that an unfinished one is recognised.
const MARK: &[u8] = b"RAVE: an installation to this disk began and did not end\n";
/// Bytes that are written between two syncs.
const SYNC_EVERY: u64 = 128 * MIB;

/// A whole disk that could be installed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// Its path, such as `/dev/vda`.
    pub(super) path: PathBuf,
    /// Its size in bytes.
    pub(super) size: u64,
    /// The model name that the drive reports.
    pub(super) model: String,
    read_only: bool,
}

/// The content of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing at its edges, where every partition table and nearly every file system has something.
    Nothing,
    /// An unfinished installation of ours.
    Unfinished,
    Data,
}

impl Disk {
    /// All disks except those of `media`, such as `/dev/sr0` or `/dev/sdb1`.
    pub(super) fn all(media: &[PathBuf]) -> Result<Vec<Self>, Error> {
        let folder = Path::new("/sys/class/block");
        let about = |device: &PathBuf| folder.join(device.file_name()?).canonicalize().ok();
        let media: Vec<PathBuf> = media.iter().filter_map(about).collect();
        let mut disks = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed("list", folder))?.flatten() {
            let Ok(about) = entry.path().canonicalize() else { continue };
            // A partition's folder is in that of its disk; virtual devices have no `device`.
            if about.join("device").exists() && !media.iter().any(|medium| medium.starts_with(&about)) {
                disks.extend(Self::read(&about));
            }
        }
        disks.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(disks)
    }

    fn read(about: &Path) -> Option<Self> {
        let text = |file: &str| fs::read_to_string(about.join(file)).map(|text| text.trim().to_owned());
        let name = about.file_name()?.to_str()?;
        let size = text("size").ok()?.parse::<u64>().ok()? * SECTOR;
        // A path to an NVMe disk, such as nvme0c0n1, is listed beside the disk and cannot be opened (Linux's
        // Documentation/ABI/stable/sysfs-block, `hidden`).
        let is_hidden = text("hidden").is_ok_and(|value| value == "1");
        let is_disk = !is_hidden
            && !about.join("partition").exists()
            && !name.starts_with("sr")
            && !name.starts_with("fd");
        (is_disk && size > 0).then(|| Self {
            path: Path::new("/dev").join(name),
            size,
            model: text("device/model").unwrap_or_default(),
            read_only: text("ro").is_ok_and(|value| value == "1"),
        })
    }

    /// The disk with this device name, or with a link in `/dev/disk`.
    pub(super) fn find<'a>(disks: &'a [Self], wanted: &str) -> Result<&'a Self, Error> {
        let names =
            || disks.iter().map(|disk| disk.path.display().to_string()).collect::<Vec<_>>().join(", ");
        if wanted == "auto" {
            return match disks {
                [one] => Ok(one),
                [] => {
                    Err(refused("this machine has no disk besides the medium", "add one, then start again"))
                }
                _ => Err(refused(
                    format!("there are several disks: {}", names()),
                    "name one: rave.install=/dev/...",
                )),
            };
        }
        let path = fs::canonicalize(wanted).unwrap_or_else(|_| wanted.into());
        disks.iter().find(|disk| disk.path == path).ok_or_else(|| {
            refused(
                format!("{wanted} is not a disk of this machine that RAVE can be installed to"),
                format!("available: {}", names()),
            )
        })
    }

    pub(super) fn describe(&self) -> String {
        format!("{}  {} MiB  {}", self.path.display(), self.size / MIB, self.model)
    }

    /// Opens it exclusively. Fails if it cannot be used.
    pub(super) fn open(&self, needed: u64) -> Result<Target, Error> {
        let path = self.path.display();
        if self.size < needed {
            return Err(refused(
                format!("{path} has {} MiB, but {} MiB are required", self.size / MIB, needed.div_ceil(MIB)),
                "use a larger disk",
            ));
        }
        if self.read_only {
            return Err(refused(format!("{path} is read-only"), "switch off its write protection"));
        }
        let file = OpenOptions::new().read(true).write(true).custom_flags(EXCLUSIVE).open(&self.path);
        match file {
            Err(error) if error.raw_os_error() == Some(BUSY) => Err(refused(
                format!("{path} is in use: a file system or a swap space on it is active"),
                "unmount it, or use another disk",
            )),
            file => Ok(Target {
                file: file.map_err(failed("open", &self.path))?,
                path: self.path.clone(),
                size: self.size,
            }),
        }
    }
}

/// An opened disk.
pub(super) struct Target {
    file: File,
    path: PathBuf,
    size: u64,
}

impl Target {
    pub(super) fn content(&self) -> Result<Content, Error> {
        let mut edge = vec![0; usize::try_from(EDGE).unwrap_or(0)];
        let mut found = Content::Nothing;
        for offset in [0, self.size - EDGE] {
            self.file.read_exact_at(&mut edge, offset).map_err(failed("read", &self.path))?;
            if offset == 0 && edge.starts_with(MARK) {
                return Ok(Content::Unfinished);
            }
            if edge.iter().any(|byte| *byte != 0) {
                found = Content::Data;
            }
        }
        Ok(found)
    }

    /// Writes everything except the part that makes it bootable. A power failure from now on leaves the mark.
    pub(super) fn write_body(&self, image: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let mut source = File::open(image).map_err(unreadable(0))?;
        let mut buffer = vec![0; usize::try_from(EDGE).unwrap_or(0)];
        self.write(&buffer, self.size - EDGE)?;
        buffer[..MARK.len()].copy_from_slice(MARK);
        self.write(&buffer, 0)?;
        self.sync(0)?;
        // Skip the head: it is written last.
        source.read_exact(&mut buffer).map_err(unreadable(0))?;
        let mut done = EDGE;
        loop {
            let count = fill(&mut source, &mut buffer).map_err(unreadable(done))?;
            if count == 0 {
                return self.sync(done);
            }
            self.write(&buffer[..count], done)?;
            done += count as u64;
            if done.is_multiple_of(SYNC_EVERY) {
                self.sync(done)?;
            }
            progress(done);
        }
    }

    /// Writes the part that makes it bootable, once everything else was written.
    pub(super) fn write_head(&self, image: &Path) -> Result<(), Error> {
        let mut head = vec![0; usize::try_from(EDGE).unwrap_or(0)];
        let mut source = File::open(image).map_err(unreadable(0))?;
        source.read_exact(&mut head).map_err(unreadable(0))?;
        self.sync(0)?;
        self.write(&head, 0)?;
        self.sync(0)
    }

    fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Error> {
        self.file.write_all_at(bytes, offset).map_err(|error| self.broke_off(offset, &error))
    }

    /// Syncs the disk: only then is it certain that it has stored everything up to `offset`.
    fn sync(&self, offset: u64) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| self.broke_off(offset, &error))
    }

    /// The error of a disk that failed after it was opened.
    fn broke_off(&self, offset: u64, error: &io::Error) -> Error {
        refused(
            format!("writing {} failed near MiB {}: {error}", self.path.display(), offset / MIB),
            "it is not bootable: check the disk and its connection, or use another one, then install again",
        )
    }
}

/// The error of a medium that passed its check but cannot be read now.
fn unreadable(offset: u64) -> impl FnOnce(io::Error) -> Error {
    move |error| {
        refused(
            format!("the medium could not be read near MiB {} of its disk: {error}", offset / MIB),
            "the target is not bootable: write the ISO to another medium, then install again",
        )
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(source: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match source.read(&mut buffer[count..])? {
            0 => break,
            read => count += read,
        }
    }
    Ok(count)
}

/// The device that is mounted at a path, from `/proc/mounts`, proc(5).
pub(super) fn mounted_at(place: &str) -> Result<Option<String>, Error> {
    let table = files::read("/proc/mounts")?;
    Ok(table.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let device = fields.next()?;
        (fields.next()? == place).then(|| device.to_owned())
    }))
}

/// A file as an opened disk.
#[cfg(test)]
pub(super) fn of_file(path: &Path) -> (Disk, Target) {
    let size = fs::metadata(path).unwrap().len();
    let disk = Disk { path: path.into(), size, model: String::new(), read_only: false };
    let target = disk.open(0).unwrap();
    (disk, target)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A "disk" of 8 MiB that is a file, and an image of slightly more than 5 MiB without zero bytes.
    fn target(scratch: &tempfile::TempDir, content: u8) -> (Target, PathBuf, Vec<u8>) {
        let (path, image) = (scratch.path().join("disk"), scratch.path().join("image"));
        fs::write(&path, vec![content; 8 << 20]).unwrap();
        let bytes: Vec<u8> = (0..(5 << 20) + 512_u32).map(|n| u8::try_from(n % 251).unwrap() + 1).collect();
        fs::write(&image, &bytes).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        (Target { file, path, size: 8 << 20 }, image, bytes)
    }

    #[test]
    fn partitions_and_empty_drives_are_not_disks() {
        let scratch = tempfile::tempdir().unwrap();
        let device = |name: &str, files: &[(&str, &str)]| {
            let about = scratch.path().join(name);
            fs::create_dir(&about).unwrap();
            for (file, text) in files {
                fs::write(about.join(file), text).unwrap();
            }
            Disk::read(&about)
        };
        let disk = device("nvme0n1", &[("size", "4096\n"), ("hidden", "0\n"), ("ro", "1\n")]).unwrap();
        assert_eq!((disk.path.as_path(), disk.size), (Path::new("/dev/nvme0n1"), 2 << 20));
        assert!(disk.read_only);
        assert_eq!(device("nvme0c0n1", &[("size", "4096\n"), ("hidden", "1\n")]), None);
        assert_eq!(device("nvme0n1p1", &[("size", "2048\n"), ("partition", "1\n")]), None);
        assert_eq!(device("sdb", &[("size", "0\n")]), None);
    }

    #[test]
    fn data_at_either_end_of_a_disk_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let (target, ..) = target(&scratch, 0);
        assert_eq!(target.content().unwrap(), Content::Nothing);
        target.write(b"EFI PART", target.size - 512).unwrap();
        assert_eq!(target.content().unwrap(), Content::Data);
    }

    #[test]
    fn a_disk_is_marked_incomplete_until_the_last_step() {
        let scratch = tempfile::tempdir().unwrap();
        let (target, image, bytes) = target(&scratch, 7);
        let mut last = 0;
        target.write_body(&image, &mut |done| last = done).unwrap();
        assert_eq!(last, bytes.len() as u64);
        assert_eq!(target.content().unwrap(), Content::Unfinished);
        target.write_head(&image).unwrap();
        let disk = fs::read(&target.path).unwrap();
        assert!(disk[..bytes.len()] == bytes);
        assert!(disk[7 << 20..].iter().all(|byte| *byte == 0), "the old backup table is gone");
    }

    #[test]
    fn write_errors_are_distinguished_from_read_errors() {
        let scratch = tempfile::tempdir().unwrap();
        let (target, image, _) = target(&scratch, 0);
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = Target { file, path: "/dev/vdx".into(), size: 8 << 20 };
        let error = full.write_body(&image, &mut |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("writing /dev/vdx failed near MiB 7: "), "{error}");
        assert!(error.contains("not bootable"), "{error}");
        // Reading a process's memory at 0 is an I/O error (proc(5)), like reading a damaged squashfs.
        let error = target.write_body(Path::new("/proc/self/mem"), &mut |_| ()).unwrap_err().to_string();
        assert!(
            error.starts_with("the medium could not be read near MiB 0 of its disk: Input/output"),
            "{error}"
        );
        assert_eq!(target.content().unwrap(), Content::Unfinished);
    }

    #[test]
    fn a_single_disk_is_selected_and_several_are_listed() {
        let disk =
            |name: &str, size, read_only| Disk { path: name.into(), size, model: String::new(), read_only };
        let one = [disk("/dev/none-a", 4 << 30, false)];
        assert_eq!(Disk::find(&one, "auto").unwrap().path, Path::new("/dev/none-a"));
        let two = [one[0].clone(), disk("/dev/none-b", 1 << 20, true)];
        let refusal = |result: Result<&Disk, Error>| result.unwrap_err().to_string();
        assert!(refusal(Disk::find(&two, "auto")).contains("/dev/none-a, /dev/none-b"));
        assert!(refusal(Disk::find(&two, "/dev/sr0")).contains("/dev/sr0 is not a disk"));
        let error = two[1].open(2 << 30).err().unwrap().to_string();
        assert!(error.contains("has 1 MiB, but 2048 MiB are required"), "{error}");
        assert!(two[1].open(1).err().unwrap().to_string().contains("read-only"));
    }
}
