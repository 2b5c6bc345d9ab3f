//! Saves a running machine's memory to a file: the mapped file's contents while the machine runs, and the pages it has
//! written since while it is paused. Only existing pages are read: pages that the guest never used are holes, and
//! remain holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::thread;

/// A page of the host, bytes.
const PAGE: u64 = 4096;
/// The same as the length of a slice.
const PAGE_LENGTH: usize = 4096;
/// Entries of `/proc/PID/pagemap` that are read at once: 64 MiB of memory.
const ENTRIES: u64 = 16 * 1024;
/// Pages that are copied at once.
const RUN: u64 = 256;
/// Copying threads: the memory is faster than one processor can copy.
const THREADS: u64 = 2;

/// Bits of `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_FILE: u64 = 1 << 61;

/// The memory of a process, readable by the process's user if the kernel permits it (ptrace(2), "Ptrace access mode
/// checking").
#[derive(Debug)]
pub(super) struct Process {
    memory: File,
    pagemap: File,
}

impl Process {
    pub(super) fn open(pid: u32) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
        Ok(Self { memory: open("mem")?, pagemap: open("pagemap")? })
    }

    pub(super) fn memory(&self) -> &File {
        &self.memory
    }

    /// Whether its memory can be read at all.
    pub(super) fn try_read(&self, address: u64) -> io::Result<()> {
        self.memory.read_exact_at(&mut [0; 8], address)
    }

    /// Copies the pages that the process itself has written, among `length` bytes from `address`, to the beginning of
    /// `to`. If `on_zeros`, `to` is all zeros and pages of zeros are skipped.
    pub(super) fn copy_written(
        &self,
        address: u64,
        length: u64,
        to: &File,
        on_zeros: bool,
    ) -> io::Result<()> {
        let pages = length / PAGE;
        let part = pages.div_ceil(THREADS).next_multiple_of(ENTRIES);
        thread::scope(|scope| {
            let parts =
                (0..THREADS).map(|number| (number * part).min(pages)..((number + 1) * part).min(pages));
            let threads: Vec<_> =
                parts.map(|part| scope.spawn(move || self.copy_part(address, part, to, on_zeros))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("a copying thread panicked")))
            })
        })
    }

    fn copy_part(
        &self,
        address: u64,
        pages: std::ops::Range<u64>,
        to: &File,
        on_zeros: bool,
    ) -> io::Result<()> {
        let mut entries = vec![0; usize::try_from(ENTRIES * 8).map_err(io::Error::other)?];
        let mut buffer = vec![0; usize::try_from(RUN * PAGE).map_err(io::Error::other)?];
        let mut first = pages.start;
        while first < pages.end {
            let count = ENTRIES.min(pages.end - first);
            let bytes = &mut entries[..usize::try_from(count * 8).map_err(io::Error::other)?];
            self.pagemap.read_exact_at(bytes, (address / PAGE + first) * 8)?;
            let written = |index: u64| is_written(bytes, index);
            let mut index = 0;
            while index < count {
                let run = (index..count.min(index + RUN)).take_while(|index| written(*index)).count() as u64;
                if run > 0 {
                    let piece = &mut buffer[..usize::try_from(run * PAGE).map_err(io::Error::other)?];
                    let offset = (first + index) * PAGE;
                    self.memory.read_exact_at(piece, address + offset)?;
                    write(to, piece, offset, on_zeros)?;
                }
                index += run.max(1);
            }
            first += count;
        }
        Ok(())
    }
}

/// Whether the process has a private page there.
fn is_written(entries: &[u8], index: u64) -> bool {
    let Ok(at) = usize::try_from(index * 8) else { return false };
    let entry = entries.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
    entry.is_some_and(|entry| entry & (PRESENT | SWAPPED) != 0 && entry & OF_FILE == 0)
}

fn write(to: &File, piece: &[u8], offset: u64, on_zeros: bool) -> io::Result<()> {
    if !on_zeros {
        return to.write_all_at(piece, offset);
    }
    // Split writes at pages of zeros.
    let page = PAGE_LENGTH;
    let mut begin = 0;
    for at in (0..piece.len()).step_by(page) {
        if piece[at..at + page].iter().all(|byte| *byte == 0) {
            to.write_all_at(&piece[begin..at], offset + begin as u64)?;
            begin = at + page;
        }
    }
    to.write_all_at(&piece[begin..], offset + begin as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn only_pages_that_this_process_wrote_are_copied() {
        const PAGES: usize = 1000;
        let page = PAGE_LENGTH;
        let mut memory = vec![0_u8; (PAGES + 1) * page];
        let skip = memory.as_ptr().align_offset(page);
        for (number, byte) in [(3, 1), (4, 2), (900, 3)] {
            memory[skip + number * page + 5] = byte;
        }
        let address = memory[skip..].as_ptr().addr() as u64;
        let process = Process::open(std::process::id()).unwrap();
        process.try_read(address).unwrap();
        let to = tempfile::tempfile().unwrap();
        to.set_len((PAGES * page) as u64).unwrap();
        process.copy_written(address, (PAGES * page) as u64, &to, true).unwrap();
        let mut copy = vec![0; PAGES * page];
        to.read_exact_at(&mut copy, 0).unwrap();
        assert!(copy == memory[skip..skip + PAGES * page], "it is another");
        assert!(to.metadata().unwrap().blocks() * 512 < 40 * PAGE, "holes stay holes");
        assert!(process.try_read(0).is_err());
    }

    #[test]
    fn zeros_over_existing_data_are_written() {
        let to = tempfile::tempfile().unwrap();
        to.write_all_at(&[9; 3 * PAGE_LENGTH], 0).unwrap();
        write(&to, &[0; PAGE_LENGTH], PAGE, false).unwrap();
        let mut copy = [1; 3 * PAGE_LENGTH];
        to.read_exact_at(&mut copy, 0).unwrap();
        assert!(
            copy[..PAGE_LENGTH] == [9; PAGE_LENGTH] && copy[PAGE_LENGTH..2 * PAGE_LENGTH] == [0; PAGE_LENGTH]
        );
    }
}
