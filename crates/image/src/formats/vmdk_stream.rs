//! The stream-optimised VMDK inside every OVA: its grains are compressed and contiguous, so that a hypervisor can read
//! it as a stream (VMware, Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents"). qemu-img compresses
//! one grain at a time, which takes longer than all other formats together, so it is written here.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use rave_process::interrupt;
use serde::{Deserialize, Serialize};

use super::export_spec::ExportSpec;
use super::ova::package_stem;
use super::source_disk::SourceDisk;
use super::sparse::{is_zero, next_data};
use super::vmdk::{self, SECTOR};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};
use crate::stage_runner::StageRunner;

/// The name of this stage.
pub const STAGE: &str = "vmdk";

/// Changes whenever this file makes a different VMDK from the same disk, or the compressor's version changes.
pub(crate) const REVISION: &[u8] = b"2 zlib-rs 5";

const IMAGE: &str = "disk.vmdk";
const DESCRIPTION: &str = "disk.json";

/// The usual size of a grain: 64 KiB.
const GRAIN: usize = 128 * 512;

/// Entries of a grain table ("numGTEsPerGT"); a table then covers 32 MiB and takes four sectors.
const ENTRIES: usize = 512;

/// Sectors before the first grain: header, descriptor, and padding to a multiple of a grain.
const OVERHEAD: u64 = 128;

/// Grains that are read before they are compressed in parallel: 8 MiB.
const BATCH: usize = 128;

/// Kinds of markers ("Markers"); a grain's has none.
const END_OF_STREAM: u32 = 0;
const GRAIN_TABLE: u32 = 1;
const GRAIN_DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;

/// `gdOffset` of a header that a footer follows: the position of the directory is not known yet.
const DIRECTORY_AT_END: u64 = u64::MAX;

/// A finished VMDK, kept in the cache: two formats contain it, and compressing it takes most of their time.
#[derive(Debug, Clone)]
pub(crate) struct StreamVmdk {
    pub(crate) path: Utf8PathBuf,
    pub(crate) sha256: Digest,
    /// Bytes of the file.
    pub(crate) size: u64,
}

#[derive(Serialize, Deserialize)]
struct Description {
    sha256: Digest,
    size: u64,
}

/// Its name in a package.
pub(crate) fn name(stem: &str) -> String {
    format!("{}-disk1.vmdk", package_stem(stem))
}

/// Makes it from a disk, or takes it from the cache.
pub(super) fn make(
    stages: &StageRunner<'_>,
    source: &SourceDisk,
    spec: &ExportSpec,
) -> Result<StreamVmdk, Error> {
    let name = name(&spec.stem);
    let mut hasher = Hasher::default();
    hasher.field("disk", spec.identity.bytes());
    hasher.field("name", name.as_bytes());
    hasher.field("size", &spec.size.to_le_bytes());
    hasher.field("revision", REVISION);
    let entry = stages.run(STAGE, &hasher.finish(), |pending| {
        let target = pending.file(IMAGE);
        write(&source.path, &target, &descriptor(&name, spec.size, &spec.identity))?;
        let sha256 = Digest::of_file(&target).at("read", &target)?;
        let size = fs::metadata(&target).at("read", &target)?.len();
        let place = pending.file(DESCRIPTION);
        let text = serde_json::to_vec(&Description { sha256, size }).expect("plain data");
        fs::write(&place, text).at("write", &place)
    })?;
    let place = entry.file(DESCRIPTION);
    let text = fs::read(&place).at("read", &place)?;
    let Description { sha256, size } = serde_json::from_slice(&text)
        .map_err(|error| Error::Damaged { path: place, detail: error.to_string() })?;
    Ok(StreamVmdk { path: entry.file(IMAGE), sha256, size })
}

fn descriptor(name: &str, size: u64, identity: &Digest) -> vmdk::Descriptor {
    // The geometry of a disk on SCSI; pvscsi too is `lsilogic` in a VMDK.
    let (heads, sectors) = (255, 63);
    let cylinders = size / (heads * sectors * SECTOR);
    let database = [
        ("virtualHWVersion", vmdk::HARDWARE.to_string()),
        ("geometry.cylinders", cylinders.to_string()),
        ("geometry.heads", heads.to_string()),
        ("geometry.sectors", sectors.to_string()),
        ("adapterType", "lsilogic".into()),
        // Tools are provided by the guest's distribution, if at all: VMware must not offer its own.
        ("toolsVersion", i32::MAX.to_string()),
    ];
    vmdk::Descriptor {
        cid: vmdk::content_id(identity),
        parent_cid: vmdk::NO_PARENT,
        kind: "streamOptimized".into(),
        extents: vec![vmdk::Extent {
            access: "RW".into(),
            sectors: size / SECTOR,
            kind: "SPARSE".into(),
            file: name.into(),
            offset: None,
        }],
        database: database.map(|(key, value)| (key.to_owned(), value)).into(),
    }
}

/// Writes a raw disk. The result depends neither on the number of processors nor on which zeros are holes.
fn write(disk: &Utf8Path, target: &Utf8Path, descriptor: &vmdk::Descriptor) -> Result<(), Error> {
    let file = File::open(disk).at("open", disk)?;
    let length = file.metadata().at("read", disk)?.len();
    let capacity = descriptor.extents.iter().map(|extent| extent.sectors).sum();
    let out = File::create_new(target).at("create", target)?;
    let mut out = Out { file: BufWriter::with_capacity(1 << 20, out), sectors: 0 };
    let mut tables = Tables::default();
    out.head(capacity, descriptor).at("write", target)?;
    let mut reader = Reader { file: &file, length, at: 0, data_from: 0 };
    loop {
        interrupt::check().map_err(|_| Error::Interrupted)?;
        let batch = reader.batch().at("read", disk)?;
        if batch.is_empty() {
            break;
        }
        for (number, bytes) in compressed(&batch) {
            tables.add(number, &mut out, &bytes).at("write", target)?;
        }
    }
    tables.finish(capacity, &mut out).at("write", target)
}

/// A non-empty grain, and its number on the disk.
struct Grain {
    number: u64,
    bytes: Vec<u8>,
}

/// The non-empty grains, in the order of the disk.
struct Reader<'a> {
    file: &'a File,
    length: u64,
    at: u64,
    /// Where the next data is known to start.
    data_from: u64,
}

impl Reader<'_> {
    fn batch(&mut self) -> io::Result<Vec<Grain>> {
        let mut grains = Vec::new();
        while self.at < self.length && grains.len() < BATCH {
            if self.at >= self.data_from {
                self.data_from = next_data(self.file, self.at)?;
            }
            let (start, end) = (self.at, (self.at + GRAIN as u64).min(self.length));
            if end <= self.data_from {
                // The first grain that contains some of the data.
                self.at = (self.data_from.min(self.length) / GRAIN as u64 * GRAIN as u64).max(end);
                continue;
            }
            self.at = end;
            // An incomplete last grain is padded with zeros.
            let mut bytes = vec![0; GRAIN];
            self.file.read_exact_at(&mut bytes[..usize::try_from(end - start).unwrap_or(GRAIN)], start)?;
            if !is_zero(&bytes) {
                grains.push(Grain { number: start / GRAIN as u64, bytes });
            }
        }
        Ok(grains)
    }
}

/// Each grain as a stream of RFC 1950, in order, by as many threads as there are processors.
fn compressed(grains: &[Grain]) -> Vec<(u64, Vec<u8>)> {
    let compress = |grain: &Grain| {
        let mut encoder = ZlibEncoder::new(Vec::with_capacity(GRAIN), Compression::new(5));
        encoder.write_all(&grain.bytes).and_then(|()| encoder.finish()).map(|bytes| (grain.number, bytes))
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = grains.len().div_ceil(threads).max(1);
    let all = |part: &[Grain]| part.iter().map(compress).collect::<io::Result<Vec<_>>>();
    thread::scope(|scope| {
        let workers: Vec<_> = grains.chunks(share).map(|part| scope.spawn(move || all(part))).collect();
        let parts = workers.into_iter().map(|worker| worker.join().expect("a compressor does not panic"));
        parts.flat_map(|part| part.expect("a Vec takes all that is written to it")).collect()
    })
}

/// The output file, and the number of written sectors.
struct Out {
    file: BufWriter<File>,
    sectors: u64,
}

impl Out {
    /// Writes a piece and pads its last sector.
    fn put(&mut self, pieces: &[&[u8]]) -> io::Result<u64> {
        let start = self.sectors;
        let length = pieces.iter().map(|piece| piece.len()).sum::<usize>() as u64;
        for piece in pieces {
            self.file.write_all(piece)?;
        }
        let whole = length.next_multiple_of(SECTOR);
        let rest = [0; 512];
        self.file.write_all(&rest[..usize::try_from(whole - length).unwrap_or_default()])?;
        self.sectors += whole / SECTOR;
        Ok(start)
    }

    fn head(&mut self, capacity: u64, descriptor: &vmdk::Descriptor) -> io::Result<()> {
        let mut head = header(capacity, DIRECTORY_AT_END).render().to_vec();
        head.extend(descriptor.render().as_bytes());
        head.resize(usize::try_from(OVERHEAD * SECTOR).unwrap_or_default(), 0);
        self.put(&[&head]).map(drop)
    }

    /// Writes a marker, which announces the kind and the sectors of what follows.
    fn marker(&mut self, kind: u32, sectors: u64) -> io::Result<()> {
        self.put(&[&sectors.to_le_bytes(), &0_u32.to_le_bytes(), &kind.to_le_bytes()]).map(drop)
    }

    /// Writes a table or directory after its marker; returns its position.
    fn table(&mut self, kind: u32, entries: &[u32]) -> io::Result<u64> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.marker(kind, (bytes.len() as u64).div_ceil(SECTOR))?;
        self.put(&[&bytes])
    }
}

fn header(capacity: u64, directory: u64) -> vmdk::Header {
    vmdk::Header {
        version: 3,
        // The line ends are valid, grains are compressed, markers precede them.
        flags: 1 | 1 << 16 | 1 << 17,
        capacity,
        grain_size: GRAIN as u64 / SECTOR,
        descriptor_offset: 1,
        descriptor_size: 20,
        entries_per_table: 512,
        redundant_directory: 0,
        directory,
        overhead: OVERHEAD,
        unclean: false,
        compression: 1,
    }
}

/// The positions of the grains: the open table, and the positions of previous tables. Tables without grains are
/// omitted.
#[derive(Default)]
struct Tables {
    directory: Vec<u32>,
    open: Vec<u32>,
}

impl Tables {
    /// Writes a grain after its marker: its first sector on the disk and the length of the data.
    fn add(&mut self, number: u64, out: &mut Out, bytes: &[u8]) -> io::Result<()> {
        let (table, entry) = (index(number / ENTRIES as u64)?, index(number % ENTRIES as u64)?);
        if table != self.directory.len() {
            self.close(out)?;
            self.directory.resize(table, 0);
        }
        let first = number * (GRAIN as u64 / SECTOR);
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        let place = place(out.put(&[&first.to_le_bytes(), &length.to_le_bytes(), bytes])?)?;
        self.open.resize(ENTRIES, 0);
        self.open[entry] = place;
        Ok(())
    }

    fn close(&mut self, out: &mut Out) -> io::Result<()> {
        if !self.open.is_empty() {
            self.directory.push(place(out.table(GRAIN_TABLE, &self.open)?)?);
            self.open.clear();
        }
        Ok(())
    }

    /// Writes the directory, the footer with the directory's position, and the end-of-stream marker.
    fn finish(mut self, capacity: u64, out: &mut Out) -> io::Result<()> {
        self.close(out)?;
        let tables = capacity.div_ceil(GRAIN as u64 / SECTOR * ENTRIES as u64);
        self.directory.resize(index(tables)?, 0);
        let directory = out.table(GRAIN_DIRECTORY, &self.directory)?;
        out.marker(FOOTER, 1)?;
        out.put(&[&header(capacity, directory).render()])?;
        out.marker(END_OF_STREAM, 0)?;
        out.file.flush()
    }
}

/// Positions have 32 bits: 2 TiB of compressed grains.
fn place(sector: u64) -> io::Result<u32> {
    u32::try_from(sector).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

fn index(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests {
    use rave_process::Cmd;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn qemu_img(arguments: &[&str]) {
        Cmd::new("qemu-img").args(arguments.iter().copied()).output().unwrap();
    }

    /// Content at the start, at the edges of grains and tables, and in an incomplete last grain.
    fn disk(path: &Utf8Path) {
        let file = File::create(path).unwrap();
        file.set_len(100 * MIB + 1536).unwrap();
        for (start, length) in [(0, 10), (5 * MIB - 1, 2), (32 * MIB - 1, 2), (99 * MIB, 65_536)] {
            file.write_all_at(&vec![7; length], start).unwrap();
        }
        file.write_all_at(&[9; 512], 100 * MIB + 1024).unwrap();
    }

    #[test]
    fn qemu_reads_the_same_disk_without_errors() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(guard.path()).unwrap();
        let (raw, full, vmdk) = (folder.join("a.raw"), folder.join("b.raw"), folder.join("a.vmdk"));
        disk(&raw);
        let identity = Digest::of_bytes(b"disk");
        let described = descriptor("a.vmdk", 300 * MIB, &identity);
        write(&raw, &vmdk, &described).unwrap();
        qemu_img(&["check", "-q", "-f", "vmdk", vmdk.as_str()]);
        qemu_img(&["compare", "-q", "-f", "raw", "-F", "vmdk", raw.as_str(), vmdk.as_str()]);
        let (header, read) = vmdk::read(&File::open(&vmdk).unwrap(), 0).unwrap();
        assert_eq!((header.bytes(), read), (Some(300 * MIB), described.clone()));
        // Eight grains with content: five in the first table, the others in the fourth.
        assert!(fs::metadata(&vmdk).unwrap().len() < 90 << 10);

        fs::write(&full, fs::read(&raw).unwrap()).unwrap();
        let again = folder.join("b.vmdk");
        write(&full, &again, &described).unwrap();
        assert!(fs::read(&again).unwrap() == fs::read(&vmdk).unwrap(), "holes show");
    }

    #[test]
    fn a_disk_of_zeros_has_no_grains() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(guard.path()).unwrap();
        let (raw, vmdk) = (folder.join("a.raw"), folder.join("a.vmdk"));
        File::create(&raw).unwrap().set_len(64 * MIB).unwrap();
        write(&raw, &vmdk, &descriptor("a.vmdk", 64 * MIB, &Digest::of_bytes(b""))).unwrap();
        qemu_img(&["compare", "-q", "-f", "raw", "-F", "vmdk", raw.as_str(), vmdk.as_str()]);
        assert_eq!(fs::metadata(&vmdk).unwrap().len(), (OVERHEAD + 5) * SECTOR);
    }
}
