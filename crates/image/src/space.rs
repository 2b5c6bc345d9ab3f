//! What the system lets this process take: room on a disk, memory, the length of a file.

use std::fs;
use std::io;

use camino::Utf8Path;

/// Free bytes for this user on the file system of a folder.
pub(crate) fn free_bytes(folder: &Utf8Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder.as_std_path())?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Bytes that programs can take without pushing others out: `MemAvailable` of `proc_meminfo(5)`.
pub(crate) fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// `RLIMIT_FSIZE` of this process, bytes.
pub(crate) fn process_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}
