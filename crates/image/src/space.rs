//! Limits of the system for this process: disk space, memory, file size.

use std::fs;
use std::io;

use camino::Utf8Path;

/// Free bytes for this user on the file system of a folder.
pub fn free_bytes(folder: &Utf8Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder.as_std_path())?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Memory available without swapping, bytes: `MemAvailable` of `proc_meminfo(5)`, or less if a control group of this
/// process, such as a container's or a session's, has less left.
pub fn available_memory() -> Option<u64> {
    let free = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = left_in_groups(&groups, "/sys/fs/cgroup".into());
    Some(left.map_or(free, |left| left.min(free)))
}

/// The smallest remaining memory of all control groups of a process whose `/proc/PID/cgroup` (cgroups(7)) is `groups`:
/// the limit minus the usage, including cached files. For version 2, and the memory controller of version 1.
fn left_in_groups(groups: &str, root: &Utf8Path) -> Option<u64> {
    let mut left = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, limit, usage) = if controllers.is_empty() {
            (root.to_owned(), "memory.max", "memory.current")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes")
        } else {
            continue;
        };
        let path = Utf8Path::new(path.trim_start_matches('/'));
        for group in path.ancestors().map(|group| root.join(group)) {
            // Without a limit the file contains the word `max`.
            let read = |name| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
            if let (Some(limit), Some(usage)) = (read(limit), read(usage)) {
                left.push(limit.saturating_sub(usage));
            }
        }
    }
    left.into_iter().min()
}

/// `MemAvailable`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// `RLIMIT_FSIZE` of this process, bytes.
pub(crate) fn process_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_parent_group_limits_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let group = |path: &str, files: [(&str, &str); 2]| {
            fs::create_dir_all(root.join(path)).unwrap();
            for (name, text) in files {
                fs::write(root.join(path).join(name), text).unwrap();
            }
        };
        group("a/b", [("memory.max", "max\n"), ("memory.current", "5\n")]);
        assert_eq!(left_in_groups("0::/a/b\n", root), None);
        group("a", [("memory.max", "100\n"), ("memory.current", "30\n")]);
        assert_eq!(left_in_groups("0::/a/b\n", root), Some(70));
        group("memory/c", [("memory.limit_in_bytes", "50\n"), ("memory.usage_in_bytes", "60\n")]);
        assert_eq!(left_in_groups("3:cpu:/c\n2:hugetlb,memory:/c\n0::/a\n", root), Some(0));
    }

    #[test]
    fn memory_is_parsed_from_meminfo() {
        let text = "MemTotal:       24689104 kB\nMemFree:          812345 kB\nMemAvailable:   16777216 kB\n";
        assert_eq!(available(text), Some(16 << 30));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }
}
