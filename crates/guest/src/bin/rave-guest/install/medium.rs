//! Checks the medium, so that a badly written stick is detected before any of it is written to a disk.

use super::answers::refused;
use crate::error::Error;
use crate::files;
use crate::spawn;
use rave_guest::iso::DIGESTS;
use std::path::Path;
use std::time::Duration;

/// The timeout of one file: a slow stick under software emulation.
const LIMIT: Duration = Duration::from_secs(3600);
const REMEDY: &str =
    "write the ISO to the medium again, and compare the ISO's SHA-256 with that in manifest.json";

/// Reads and compares every file in the list.
pub(super) fn check(medium: &Path) -> Result<(), Error> {
    if !medium.is_dir() {
        return Err(refused(
            format!("there is no medium at {}", medium.display()),
            "start the machine from RAVE's ISO",
        ));
    }
    let damaged = |why: String| refused(format!("the medium is damaged: {why}"), REMEDY);
    let list = files::read(medium.join(DIGESTS)).map_err(|error| damaged(error.to_string()))?;
    let mut count = 0;
    for line in list.lines() {
        let (digest, file) =
            line.split_once("  ").ok_or_else(|| damaged(format!("{DIGESTS} has the line {line:?}")))?;
        println!("checking the medium: {file}");
        let path = medium.join(file).display().to_string();
        let output = spawn::output("sha256sum", &["--", &path], LIMIT)
            .map_err(|error| damaged(format!("{file} cannot be read: {error}")))?;
        let found = output.split_whitespace().next().unwrap_or_default();
        if found != digest {
            return Err(damaged(format!("{file} has the SHA-256 {found} instead of {digest}")));
        }
        count += 1;
    }
    if count == 0 { Err(damaged(format!("{DIGESTS} is empty"))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// The SHA-256 of `disk`, by sha256sum(1).
    const OF_DISK: &str = "1044dec7206e8d7c9fbb4ae8f766668406d2567fc7fc1a160a9d4700fcf8f8e9";

    fn refusal(medium: &Path) -> String {
        check(medium).unwrap_err().to_string()
    }

    #[test]
    fn flipped_bytes_unreadable_files_and_empty_lists_are_damage() {
        let scratch = tempfile::tempdir().unwrap();
        let medium = scratch.path();
        fs::create_dir(medium.join("rave")).unwrap();
        assert!(refusal(medium).contains("rave/SHA256SUMS"));
        fs::write(medium.join(DIGESTS), "").unwrap();
        assert!(refusal(medium).contains("is empty"));
        fs::write(medium.join(DIGESTS), format!("{OF_DISK}  rave/disk\n")).unwrap();
        fs::write(medium.join("rave/disk"), "disk").unwrap();
        check(medium).unwrap();
        fs::write(medium.join("rave/disk"), "disc").unwrap();
        let text = refusal(medium);
        assert!(text.starts_with("the medium is damaged: rave/disk has the SHA-256 "), "{text}");
        assert!(text.contains(OF_DISK) && text.ends_with(REMEDY), "{text}");
        // Reading a process's memory at 0 is an I/O error (proc(5)), like reading a bad sector.
        fs::remove_file(medium.join("rave/disk")).unwrap();
        symlink("/proc/self/mem", medium.join("rave/disk")).unwrap();
        let text = refusal(medium);
        assert!(text.contains("rave/disk cannot be read") && text.contains("Input/output error"), "{text}");
    }

    #[test]
    fn a_missing_medium_is_reported_with_what_to_boot() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(refusal(&scratch.path().join("none")).contains("start the machine from RAVE's ISO"));
    }
}
