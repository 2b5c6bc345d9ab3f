//! A raw disk compressed as one stream: `.img.zst` (RFC 8878). The `zstd` program compresses what has content; long runs of
//! zeros are written here as frames of their own, so that an empty disk costs neither time nor room.

use std::fs::File;
use std::io::{self, BufReader, Read, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_process::Cmd;

use super::ParseError;
use super::sparse::{is_zero, next_data};
use crate::error::{Error, IoContext as _, StageContext as _};

/// The name of this stage.
pub const STAGE: &str = "zstd";

/// `Magic_Number` (3.1.1), as bytes.
pub const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Skippable frames have any of 16 numbers from this one on (3.1.2).
const SKIPPABLE: u32 = 0x184D_2A50;

/// The most that a block stands for: `Block_Maximum_Size` (3.1.1.2.3).
pub const BLOCK: u64 = 128 << 10;

/// Blocks of a file that are walked over: 16 TiB of full ones, the largest disk that ext4 fills.
const MOST_BLOCKS: u64 = 1 << 27;

/// Bytes that are read of a disk at once; a run of zeros starts and ends at a multiple.
const CHUNK: usize = 1 << 20;

/// Chunks of zeros from which on they become a frame of their own: shorter runs cost the program next to nothing.
const LONG_RUN: u64 = 8;

/// The command line; `size` are the bytes that it will be fed. The number of threads is fixed and does not show in the
/// result, but whether there are any does (zstd(1), `--single-thread`).
pub fn argv(size: u64) -> Vec<String> {
    let words = ["zstd", "-q", "-6", "-T4", "--check", "-c"];
    words.into_iter().map(String::from).chain([format!("--stream-size={size}")]).collect()
}

/// A part of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u64,
    length: u64,
    zero: bool,
}

/// Compresses a disk. The result follows from the content alone, not from which of its zeros are holes.
pub(crate) fn compress(disk: &Utf8Path, target: &Utf8Path, log: &Utf8Path) -> Result<(), Error> {
    let file = File::open(disk).at("open", disk)?;
    let runs = runs(&file).at("read", disk)?;
    let mut out = File::create_new(target).at("create", target)?;
    for run in runs {
        if run.zero {
            write_zeros(&mut out, run.length).at("write", target)?;
            continue;
        }
        let argv = argv(run.length);
        // The position is shared: the program goes on where this process stopped, and the other way round.
        let stdout = out.try_clone().at("write", target)?;
        let command = Cmd::new(&argv[0]).args(&argv[1..]).stdout_file(stdout).log_file(log);
        let feed = |input: &mut dyn Write| copy(&file, run, input);
        command.run_with_input(feed, &mut |_| ()).stage(STAGE)?;
    }
    Ok(())
}

/// Splits a disk into long runs of zeros and what is between them. Holes are skipped, not read.
fn runs(file: &File) -> io::Result<Vec<Run>> {
    let size = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK];
    let mut runs: Vec<Run> = Vec::new();
    let mut data_until = 0;
    let mut start = 0;
    while start < size {
        let length = (size - start).min(CHUNK as u64);
        if start >= data_until {
            data_until = next_data(file, start)?;
        }
        let zero = if start + length <= data_until {
            true
        } else {
            // From here on it is read, until the next hole is worth to look for.
            data_until = 0;
            let part = &mut chunk[..usize::try_from(length).unwrap_or(CHUNK)];
            file.read_exact_at(part, start)?;
            is_zero(part)
        };
        match runs.last_mut() {
            Some(last) if last.zero == zero => last.length += length,
            _ => runs.push(Run { start, length, zero }),
        }
        start += length;
    }
    Ok(joined(runs))
}

/// Short runs of zeros become part of what is around them.
fn joined(runs: Vec<Run>) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        let zero = run.zero && run.length >= LONG_RUN * CHUNK as u64;
        match out.last_mut() {
            Some(last) if last.zero == zero => last.length += run.length,
            _ => out.push(Run { zero, ..run }),
        }
    }
    out
}

fn copy(file: &File, run: Run, out: &mut dyn Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let end = run.start + run.length;
    let mut at = run.start;
    while at < end {
        let length = (end - at).min(CHUNK as u64);
        let part = &mut chunk[..usize::try_from(length).unwrap_or(CHUNK)];
        file.read_exact_at(part, at)?;
        out.write_all(part)?;
        at += length;
    }
    Ok(())
}

/// A frame of `length` zeros: blocks of the type `RLE_Block`, four bytes for each 128 KiB (3.1.1.2.2).
fn write_zeros(out: &mut File, length: u64) -> io::Result<()> {
    /// `Frame_Content_Size_flag` 3: eight bytes; no check sum, no single segment (3.1.1.1.1).
    const DESCRIPTOR: u8 = 3 << 6;
    /// `Window_Descriptor` with the exponent 7: 2^(10 + 7) bytes, one block (3.1.1.1.2).
    const WINDOW: u8 = 7 << 3;
    const RLE: u32 = 1;
    let mut out = io::BufWriter::new(out);
    out.write_all(&MAGIC)?;
    out.write_all(&[DESCRIPTOR, WINDOW])?;
    out.write_all(&length.to_le_bytes())?;
    let mut left = length;
    while left > 0 {
        let size = left.min(BLOCK);
        left -= size;
        let header = u32::try_from(size).unwrap_or_default() << 3 | RLE << 1 | u32::from(left == 0);
        out.write_all(&header.to_le_bytes()[..3])?;
        out.write_all(&[0])?;
    }
    out.flush()
}

/// What the headers of a file say, without decompressing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    /// How many there are, without the skippable ones.
    pub count: u64,
    /// Bytes of the content; none where a frame does not say.
    pub content: Option<u64>,
    /// Bytes at the file's start that hold the first [`HEAD_BLOCKS`] blocks whole.
    pub head: u64,
}

/// Blocks that are decompressed to look at a disk: 16 MiB, more than lies before and in the first folders of its ESP.
pub const HEAD_BLOCKS: u64 = 128;

/// Walks over the frames of a file. Reads headers only, and holds one of them.
pub fn frames(file: &mut (impl Read + io::Seek)) -> Result<Frames, ParseError> {
    let bad = |detail: &str| ParseError::new("zstd file", detail);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => bad("it ends within a frame"),
        _ => bad(&error.to_string()),
    };
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut walk = Walk { file: BufReader::new(file), at: 0, size };
    let mut found = Frames { count: 0, content: Some(0), head: size };
    let mut blocks = 0;
    while walk.at < size {
        let magic = u32::from_le_bytes(walk.take().map_err(failed)?);
        if magic & !0xF == SKIPPABLE {
            let length = u32::from_le_bytes(walk.take().map_err(failed)?);
            walk.skip(length.into()).map_err(failed)?;
            continue;
        }
        if magic.to_le_bytes() != MAGIC {
            return Err(bad("something that is no frame stands in it"));
        }
        let header = FrameHeader::read(&mut walk).map_err(failed)?;
        found.count += 1;
        found.content = found.content.zip(header.content).and_then(|(sum, more)| sum.checked_add(more));
        loop {
            let [a, b, c] = walk.take().map_err(failed)?;
            let block = u32::from_le_bytes([a, b, c, 0]);
            let size = match block >> 1 & 3 {
                1 => 1,
                0 | 2 => u64::from(block >> 3),
                _ => return Err(bad("a block of it has a reserved type")),
            };
            walk.skip(size).map_err(failed)?;
            blocks += 1;
            if blocks == HEAD_BLOCKS {
                found.head = walk.at;
            }
            if blocks > MOST_BLOCKS {
                return Err(bad("it has more blocks than any disk"));
            }
            if block & 1 == 1 {
                break;
            }
        }
        walk.skip(if header.check_sum { 4 } else { 0 }).map_err(failed)?;
    }
    if found.count == 0 { Err(bad("it is empty")) } else { Ok(found) }
}

struct FrameHeader {
    content: Option<u64>,
    check_sum: bool,
}

impl FrameHeader {
    /// 3.1.1.1
    fn read(walk: &mut Walk<impl Read + io::Seek>) -> io::Result<Self> {
        let [descriptor] = walk.take()?;
        let single_segment = descriptor >> 5 & 1 == 1;
        walk.skip(u64::from(!single_segment))?;
        walk.skip([0, 1, 2, 4][usize::from(descriptor & 3)])?;
        let content = match descriptor >> 6 {
            0 if !single_segment => None,
            0 => Some(u64::from(u8::from_le_bytes(walk.take()?))),
            1 => Some(u64::from(u16::from_le_bytes(walk.take()?)) + 256),
            2 => Some(u64::from(u32::from_le_bytes(walk.take()?))),
            _ => Some(u64::from_le_bytes(walk.take()?)),
        };
        Ok(Self { content, check_sum: descriptor >> 2 & 1 == 1 })
    }
}

/// A file and how far it was read.
struct Walk<F> {
    file: BufReader<F>,
    at: u64,
    size: u64,
}

impl<F: Read + io::Seek> Walk<F> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        // Seeking leads beyond the end without a word.
        let at = self.at.checked_add(length).filter(|at| *at <= self.size);
        self.at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.file.seek_relative(i64::try_from(length).unwrap_or(i64::MAX))
    }
}

/// The start of the disk, at most [`HEAD_BLOCKS`] blocks of it, in the first `length` bytes of a file: [`Frames::head`].
pub fn head(file: &File, length: u64) -> Result<Vec<u8>, Error> {
    let target = tempfile::tempfile().at("create a file in", "/tmp")?;
    let stdout = target.try_clone().at("write", "/tmp")?;
    let run = Run { start: 0, length, zero: false };
    let command = Cmd::new("zstd").args(["-q", "-d", "-c"]).stdout_file(stdout);
    let command = command.timeout(std::time::Duration::from_secs(60));
    let outcome = command.run_with_input(|input| copy(file, run, input), &mut |_| ()).stage(STAGE);
    let size = target.metadata().at("read", "/tmp")?.len();
    // It complains of the end that was cut off, after what it wrote.
    match outcome {
        Err(error) if size == 0 => return Err(error),
        _ => {}
    }
    let mut bytes = vec![0; usize::try_from(size.min(HEAD_BLOCKS * BLOCK)).unwrap_or_default()];
    target.read_exact_at(&mut bytes, 0).at("read", "/tmp")?;
    Ok(bytes)
}

/// Writes the disk of a file, `size` bytes and not one more, with its zeros as holes.
pub(crate) fn decompress(file: &Utf8Path, target: &Utf8Path, size: u64) -> Result<(), Error> {
    // What the headers say binds no one; the system does (prlimit(1)).
    let limit = format!("--fsize={size}");
    let words = [limit.as_str(), "zstd", "-q", "-d", "--sparse", file.as_str(), "-o", target.as_str()];
    Cmd::new("prlimit").args(words).run(&mut |_| ()).stage(STAGE)?;
    let found = std::fs::metadata(target).at("read", target)?.len();
    if found == size {
        return Ok(());
    }
    let detail = format!("it holds {found} bytes, its headers say {size}");
    Err(Error::Damaged { path: file.to_owned(), detail })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use camino::Utf8PathBuf;
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    struct Folder {
        path: Utf8PathBuf,
        _guard: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let guard = tempfile::tempdir().unwrap();
            Self { path: Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap(), _guard: guard }
        }

        /// 100 MiB: content at the start, in the middle after a long run of zeros, and none at the end.
        fn disk(&self, name: &str) -> Utf8PathBuf {
            let path = self.path.join(name);
            let file = File::create(&path).unwrap();
            file.set_len(100 * MIB).unwrap();
            file.write_all_at(&vec![7; 100_000], 0).unwrap();
            file.write_all_at(&vec![8; 100_000], 3 * MIB + 5).unwrap();
            file.write_all_at(&vec![9; 100_000], 60 * MIB).unwrap();
            path
        }

        fn compress(&self, disk: &Utf8Path) -> Utf8PathBuf {
            let target = Utf8PathBuf::from(format!("{disk}.zst"));
            compress(disk, &target, &self.path.join("log")).unwrap();
            target
        }
    }

    #[test]
    fn zeros_cost_nothing_and_the_program_reads_what_is_made() {
        let folder = Folder::new();
        let disk = folder.disk("a.img");
        let file = File::open(&disk).unwrap();
        let shape = runs(&file).unwrap().iter().map(|run| (run.zero, run.length / MIB)).collect::<Vec<_>>();
        assert_eq!(shape, [(false, 4), (true, 56), (false, 1), (true, 39)]);
        let target = folder.compress(&disk);
        assert!(std::fs::metadata(&target).unwrap().len() < 16 << 10);
        let found = frames(&mut File::open(&target).unwrap()).unwrap();
        assert_eq!((found.count, found.content), (4, Some(100 * MIB)));
        let back = folder.path.join("back.img");
        decompress(&target, &back, 100 * MIB).unwrap();
        assert!(std::fs::read(&back).unwrap() == std::fs::read(&disk).unwrap());
        let head = head(&File::open(&target).unwrap(), found.head).unwrap();
        assert!(head.len() as u64 >= 8 * MIB && head[..] == std::fs::read(&disk).unwrap()[..head.len()]);
    }

    #[test]
    fn a_disk_without_holes_gives_the_same_bytes() {
        let folder = Folder::new();
        let sparse = folder.disk("a.img");
        let full = folder.path.join("b.img");
        std::fs::write(&full, std::fs::read(&sparse).unwrap()).unwrap();
        let [one, two] = [&sparse, &full].map(|disk| std::fs::read(folder.compress(disk)).unwrap());
        assert!(one == two);
    }

    #[test]
    fn a_file_that_holds_more_than_it_says_fills_no_disk() {
        let folder = Folder::new();
        let target = folder.compress(&folder.disk("a.img"));
        let error = decompress(&target, &folder.path.join("out"), 10 * MIB).unwrap_err();
        assert!(matches!(error, Error::Command { .. }), "{error}");
        assert!(std::fs::metadata(folder.path.join("out")).map_or(0, |found| found.len()) <= 10 * MIB);
    }

    #[test]
    fn the_number_of_threads_does_not_show() {
        let folder = Folder::new();
        let disk = folder.disk("a.img");
        let with = |threads: &str| {
            let words = ["-q", "-6", threads, "--check", "--stream-size=104857600", "-c"];
            let file = File::open(&disk).unwrap();
            Cmd::new("zstd").args(words).stdin_file(file).output().unwrap().stdout
        };
        let four = with("-T4");
        assert!(four == with("-T1") && four == with("-T2") && four != with("--single-thread"));
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_nothing_more(bytes in proptest::collection::vec(any::<u8>(), 0..512), real: bool) {
            let mut bytes = bytes;
            if real {
                bytes.splice(0..0, MAGIC);
            }
            let _ = frames(&mut Cursor::new(bytes));
        }

        #[test]
        fn frames_of_zeros_are_read_as_long_as_they_are(length in 1_u64..1 << 34) {
            let mut file = tempfile::tempfile().unwrap();
            write_zeros(&mut file, length).unwrap();
            let found = frames(&mut file).unwrap();
            prop_assert_eq!((found.count, found.content), (1, Some(length)));
        }
    }
}
