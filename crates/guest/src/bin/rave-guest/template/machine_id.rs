//! machine-id(5), and the journal's folder, which has the same name.

use super::refused::refused;
use crate::error::Error;
use crate::files::{self, failed};
use std::fs;
use std::path::Path;

/// Changes it below `root`.
pub(super) fn renew(root: &Path, id: &str) -> Result<(), Error> {
    let is_id = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_id {
        return Err(refused("the host sent no valid machine ID"));
    }
    let file = root.join("etc/machine-id");
    let before = files::read(&file)?.trim().to_owned();
    files::write_unsynced(&file, 0o444, format!("{id}\n"))?;
    // Keep the template's log readable: journalctl(1) shows the folder with the machine's own ID.
    for journals in ["var/log/journal", "run/log/journal"] {
        let journals = root.join(journals);
        let old = journals.join(&before);
        if !before.is_empty() && old.is_dir() {
            let new = journals.join(id);
            fs::rename(&old, &new).map_err(failed("rename into", &new))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_moved_and_invalid_ids_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        let (old, new) = ("0".repeat(32), "0123456789abcdef".repeat(2));
        fs::create_dir_all(root.join("var/log/journal").join(&old)).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/machine-id"), format!("{old}\n")).unwrap();
        for bad in ["", "../../etc", "g123", &new[1..], &new.to_uppercase()] {
            assert!(renew(root, bad).is_err(), "{bad}");
        }
        renew(root, &new).unwrap();
        assert_eq!(fs::read_to_string(root.join("etc/machine-id")).unwrap(), format!("{new}\n"));
        assert!(root.join("var/log/journal").join(&new).is_dir());
        assert!(!root.join("var/log/journal").join(&old).exists());
    }
}
