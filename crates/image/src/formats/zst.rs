//! A raw disk compressed as one stream: `.img.zst` (RFC 8878). The `zstd` program compresses the content; long runs of
//! zeros are written here as separate frames, so that an empty disk costs neither time nor space.

mod frames;

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_process::Cmd;

use super::sparse::{is_zero, next_data};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::tool::tool;
pub use frames::{Frames, HEAD_BLOCKS, MAGIC, frames};

/// The name of this stage.
pub const STAGE: &str = "zstd";

/// The maximum content of a block: `Block_Maximum_Size` (3.1.1.2.3).
pub const BLOCK: u64 = 128 << 10;

/// Bytes of a disk read at once; a run of zeros starts and ends at a multiple.
const CHUNK: usize = 1 << 20;

/// The minimum run of zeros that becomes a separate frame, bytes. The program compresses shorter runs in a moment; and
/// it reads the last content of a disk, which for most disks is all of it, directly, a tenth faster than from a pipe.
pub const LONG_RUN: u64 = 512 << 20;

/// The command line; `size` is the number of input bytes. The number of threads is fixed; it does not affect the
/// result, but using threads at all does (zstd(1), `--single-thread`).
pub fn argv(size: u64) -> Vec<String> {
    let arguments = ["zstd", "-q", "-6", "-T4", "--check", "-c"];
    arguments.into_iter().map(String::from).chain([format!("--stream-size={size}")]).collect()
}

/// A part of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: u64,
    length: u64,
    zero: bool,
}

/// Compresses a disk. The result depends only on the content, not on which of its zeros are holes.
pub fn compress(disk: &Utf8Path, target: &Utf8Path, log: &Utf8Path) -> Result<(), Error> {
    let file = File::open(disk).at("open", disk)?;
    let size = file.metadata().at("read", disk)?.len();
    let runs = runs(&file, LONG_RUN).at("read", disk)?;
    let mut out = File::create_new(target).at("create", target)?;
    for run in runs {
        if run.zero {
            write_zeros(&mut out, run.length).at("write", target)?;
            continue;
        }
        let argv = argv(run.length);
        // The file position is shared: the program continues where this process stopped, and vice versa.
        let stdout = out.try_clone().at("write", target)?;
        let command = tool(&argv[0]).args(&argv[1..]).stdout_file(stdout).log_file(log);
        if run.start + run.length == size {
            let mut rest = file.try_clone().at("read", disk)?;
            rest.seek(SeekFrom::Start(run.start)).at("read", disk)?;
            command.stdin_file(rest).run(&mut |_| ()).stage(STAGE)?;
        } else {
            let feed = |input: &mut dyn Write| copy(&file, run, input);
            command.run_with_input(feed, &mut |_| ()).stage(STAGE)?;
        }
    }
    Ok(())
}

/// Splits a disk into runs of zeros of at least `long` bytes, and the data between them. Holes are skipped, not read.
fn runs(file: &File, long: u64) -> io::Result<Vec<Run>> {
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
            // From here on the file is read, until it is worth looking for the next hole.
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
    Ok(joined(runs, long))
}

/// Merges short runs of zeros into the surrounding data.
fn joined(runs: Vec<Run>, long: u64) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::new();
    for run in runs {
        let zero = run.zero && run.length >= long;
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

/// The start of the disk, at most [`HEAD_BLOCKS`] blocks of it, in the first `length` bytes of a file: [`Frames::head`].
pub fn head(file: &File, length: u64) -> Result<Vec<u8>, Error> {
    let target = tempfile::tempfile().at("create a file in", "/tmp")?;
    let stdout = target.try_clone().at("write", "/tmp")?;
    let run = Run { start: 0, length, zero: false };
    let command = Cmd::new("zstd").args(["-q", "-d", "-c"]).stdout_file(stdout);
    let command = command.timeout(std::time::Duration::from_secs(60));
    let outcome = command.run_with_input(|input| copy(file, run, input), &mut |_| ()).stage(STAGE);
    let size = target.metadata().at("read", "/tmp")?.len();
    // zstd reports the truncated end only after writing the content.
    match outcome {
        Err(error) if size == 0 => return Err(error),
        _ => {}
    }
    let mut bytes = vec![0; usize::try_from(size.min(HEAD_BLOCKS * BLOCK)).unwrap_or_default()];
    target.read_exact_at(&mut bytes, 0).at("read", "/tmp")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

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

        /// Content at the start, at `middle` MiB after a long run of zeros, and none in the last 40 MiB.
        fn disk(&self, name: &str, middle: u64) -> Utf8PathBuf {
            let path = self.path.join(name);
            let file = File::create(&path).unwrap();
            file.set_len((middle + 40) * MIB).unwrap();
            file.write_all_at(&vec![7; 100_000], 0).unwrap();
            file.write_all_at(&vec![8; 100_000], 3 * MIB + 5).unwrap();
            file.write_all_at(&vec![9; 100_000], middle * MIB).unwrap();
            path
        }

        fn compress(&self, disk: &Utf8Path) -> Utf8PathBuf {
            let target = Utf8PathBuf::from(format!("{disk}.zst"));
            compress(disk, &target, &self.path.join("log")).unwrap();
            target
        }
    }

    fn shape(disk: &Utf8Path, long: u64) -> Vec<(bool, u64)> {
        let runs = runs(&File::open(disk).unwrap(), long * MIB).unwrap();
        runs.iter().map(|run| (run.zero, run.length / MIB)).collect()
    }

    #[test]
    fn zeros_take_no_space_and_zstd_reads_the_result() {
        let folder = Folder::new();
        let disk = folder.disk("a.img", 520);
        assert_eq!(shape(&disk, LONG_RUN / MIB), [(false, 4), (true, 516), (false, 40)]);
        let target = folder.compress(&disk);
        assert!(std::fs::metadata(&target).unwrap().len() < 40 << 10);
        let found = frames(&mut File::open(&target).unwrap()).unwrap();
        assert_eq!((found.count, found.content), (3, Some(560 * MIB)));
        let back = folder.path.join("back.img");
        Cmd::new("zstd")
            .args(["-q", "-d", "--sparse", target.as_str(), "-o", back.as_str()])
            .output()
            .unwrap();
        Cmd::new("cmp").args([disk.as_str(), back.as_str()]).output().unwrap();
        let head = head(&File::open(&target).unwrap(), found.head).unwrap();
        let mut start = vec![0; head.len()];
        File::open(&disk).unwrap().read_exact_at(&mut start, 0).unwrap();
        assert!(head.len() as u64 >= 8 * MIB && head == start);
    }

    #[test]
    fn a_disk_without_holes_gives_the_same_bytes() {
        let folder = Folder::new();
        let sparse = folder.disk("a.img", 60);
        let full = folder.path.join("b.img");
        std::fs::write(&full, std::fs::read(&sparse).unwrap()).unwrap();
        assert_eq!(shape(&sparse, 8), [(false, 4), (true, 56), (false, 1), (true, 39)]);
        assert_eq!(shape(&full, 8), shape(&sparse, 8));
        let [one, two] = [&sparse, &full].map(|disk| std::fs::read(folder.compress(disk)).unwrap());
        assert!(one == two);
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_bytes() {
        let folder = Folder::new();
        let disk = folder.disk("a.img", 60);
        let with = |threads: &str| {
            let arguments = ["-q", "-6", threads, "--check", "--stream-size=104857600", "-c"];
            let file = File::open(&disk).unwrap();
            Cmd::new("zstd").args(arguments).stdin_file(file).output().unwrap().stdout
        };
        let four = with("-T4");
        assert!(four == with("-T1") && four == with("-T2") && four != with("--single-thread"));
    }
}
