//! Free space for large files.

use std::io;

use camino::Utf8Path;
use rustix::fs::statvfs;

use crate::report::{Finding, Fix, State};
use crate::requirements::BUILD;

/// One build of the largest profile: the unpacked tree and its tar (5.2 GiB), the raw disk (2.5 GiB), the downloads.
pub(crate) const CACHE_MIB: u64 = 9 * 1024;
/// The sparse raw disk and a qcow2 of it: 2.5 and 1.0 GiB.
pub(crate) const OUT_MIB: u64 = 4 * 1024;

pub(crate) fn finding(
    name: &'static str,
    folder: &Utf8Path,
    needed_mib: u64,
    variable: &'static str,
) -> Finding {
    let finding = Finding {
        name: name.to_owned(),
        found: String::new(),
        needed: format!("{needed_mib} MiB"),
        why: "free space for images",
        parts: BUILD,
        state: State::Ok,
        fix: Fix::None,
    };
    match free_mib(folder) {
        Ok(free) if free >= needed_mib => Finding { found: format!("{free} MiB in {folder}"), ..finding },
        // Less may be sufficient, because files may already exist: the stage that runs out of space reports it.
        Ok(free) => Finding {
            found: format!("{free} MiB in {folder}"),
            state: State::Warning,
            fix: Fix::Advice(format!("free some space there, or choose another disk with {variable}")),
            ..finding
        },
        Err(error) => Finding {
            found: format!("{folder}: {error}"),
            state: State::Warning,
            fix: Fix::Advice(format!("choose another folder with {variable}")),
            ..finding
        },
    }
}

/// Free MiB for this user in `folder`, or in its nearest existing ancestor.
fn free_mib(folder: &Utf8Path) -> io::Result<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(folder);
    let system = statvfs(existing.as_std_path())?;
    Ok((system.f_bavail * system.f_frsize) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_counts_as_its_parent() {
        assert!(free_mib(Utf8Path::new("/no/such/folder")).is_ok());
    }

    #[test]
    fn too_little_space_is_a_warning_with_advice() {
        let finding = finding("cache", Utf8Path::new("/"), u64::MAX, "RAVE_CACHE");
        assert_eq!(finding.state, State::Warning);
        assert!(matches!(finding.fix, Fix::Advice(text) if text.contains("RAVE_CACHE")));
    }
}
