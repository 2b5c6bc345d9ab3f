//! The root file system of a machine that has ended, checked by e2fsck(8).

use camino::Utf8Path;
use rave_process::{Cmd, Status};
use serde::Deserialize;

use crate::poll::CheckError;

/// Partition type of a root file system for x86-64 (UAPI.2 Discoverable Partitions Specification).
const TYPE_ROOT_X86_64: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";

/// How many parts qemu-img reads concurrently, its maximum, writing out of order: this way decompressing uses all
/// processors.
const READS_AT_ONCE: &str = "16";

/// The result of e2fsck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) is_clean: bool,
    /// Its last line.
    pub(crate) summary: String,
}

/// The output of `sfdisk --json`, as far as it is used.
#[derive(Deserialize)]
struct Listing {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    sectorsize: u64,
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
struct Partition {
    start: u64,
    #[serde(rename = "type")]
    kind: String,
}

/// Reads a whole qcow2 disk, with its backing image, and changes nothing.
pub(crate) fn check(disk: &Utf8Path, folder: &Utf8Path) -> Result<State, CheckError> {
    let raw = folder.join("disk.raw");
    // The guest has written to it, so qemu-img must not guess its format.
    Cmd::new("qemu-img")
        .args(["convert", "-m", READS_AT_ONCE, "-W", "-f", "qcow2", "-O", "raw", disk.as_str(), raw.as_str()])
        .output()?;
    let offset = root_offset(&Cmd::new("sfdisk").args(["--json", raw.as_str()]).output()?.stdout)?;
    let mut lines = Vec::new();
    let checked = Cmd::new("e2fsck")
        .args(["-f", "-n", &format!("{raw}?offset={offset}")])
        .env("LC_ALL", "C.UTF-8")
        .run(&mut |line| lines.push(line.text.to_owned()));
    let removed = std::fs::remove_file(&raw);
    let state = match checked {
        Ok(_) => evaluate(&lines, 0),
        Err(rave_process::Error::Failed { status: Status::Code(code), .. }) => evaluate(&lines, code),
        Err(error) => return Err(error.into()),
    };
    removed.map_err(|error| CheckError::CouldNotRun(format!("cannot remove {raw}: {error}")))?;
    Ok(state)
}

fn root_offset(listing: &[u8]) -> Result<u64, CheckError> {
    let table = serde_json::from_slice::<Listing>(listing).map(|listing| listing.partitiontable);
    let table =
        table.map_err(|error| CheckError::CouldNotRun(format!("cannot parse sfdisk's output: {error}")))?;
    let root = table.partitions.iter().find(|partition| partition.kind == TYPE_ROOT_X86_64);
    let root = root.ok_or_else(|| CheckError::Failed("the disk has no root partition".into()))?;
    Ok(root.start * table.sectorsize)
}

/// If nothing needs to be changed, e2fsck exits with 0, even if it only skipped a journal that is not empty.
fn evaluate(lines: &[String], code: i32) -> State {
    let journal = lines.iter().find(|line| line.contains("journal recovery"));
    let message = journal.or(lines.last()).cloned();
    let summary = message.unwrap_or_else(|| format!("e2fsck printed nothing and exited with code {code}"));
    State { is_clean: code == 0 && journal.is_none(), summary }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;

    #[test]
    fn a_dirty_journal_and_an_error_code_are_not_clean() {
        let lines = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let good = lines(&["Pass 1: Checking inodes", "rave-root: 26489/122880 files (0.2% non-contiguous)"]);
        assert!(evaluate(&good, 0).is_clean);
        assert_eq!(evaluate(&good, 0).summary, good[1]);
        assert!(!evaluate(&good, 4).is_clean);
        let dirty = lines(&[
            "Warning: skipping journal recovery because doing a read-only filesystem check.",
            "rave-root: 1/2",
        ]);
        assert!(!evaluate(&dirty, 0).is_clean);
        assert!(evaluate(&dirty, 0).summary.starts_with("Warning: skipping journal recovery"));
    }

    /// A disk with one root partition at 1 MiB, and the overlay over it that [`check`] reads. Uses programs that
    /// `cargo xtask test` has checked for.
    fn disk(folder: &Utf8Path) -> (String, Utf8PathBuf) {
        let (raw, overlay) = (folder.join("base.raw"), folder.join("disk.qcow2"));
        std::fs::File::create(&raw).unwrap().set_len(64 << 20).unwrap();
        let table = format!("label: gpt\nstart=2048, type={TYPE_ROOT_X86_64}\n");
        let sfdisk = Cmd::new("sfdisk").args(["--quiet", raw.as_str()]);
        sfdisk.stdin_bytes(table.into_bytes()).output().unwrap();
        let in_partition = ["-q", "-t", "ext4", "-E", "offset=1048576", raw.as_str(), "62M"];
        Cmd::new("mke2fs").args(in_partition).output().unwrap();
        let over = ["create", "-q", "-f", "qcow2", "-b", raw.as_str(), "-F", "raw", overlay.as_str()];
        Cmd::new("qemu-img").args(over).output().unwrap();
        (format!("{raw}?offset=1048576"), overlay)
    }

    #[test]
    fn a_file_system_is_clean_until_its_journal_is_dirty_or_its_tables_are_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (file_system, overlay) = disk(folder);
        let state = check(&overlay, folder).unwrap();
        assert!(state.is_clean && state.summary.contains(" files ("), "{state:?}");
        for damage in ["feature needs_recovery", "clri /lost+found"] {
            let debugfs = Cmd::new("debugfs").args(["-w", "-R", damage, &file_system]);
            debugfs.output().unwrap();
            let state = check(&overlay, folder).unwrap();
            assert!(!state.is_clean, "{damage}: {state:?}");
            // Undo the first damage, so that the next is on its own.
            Cmd::new("debugfs").args(["-w", "-R", "feature -needs_recovery", &file_system]).output().unwrap();
        }
        assert!(!folder.join("disk.raw").exists());
    }

    #[test]
    fn the_root_partition_is_found_by_its_type() {
        let listing = format!(
            r#"{{"partitiontable":{{"label":"gpt","sectorsize":512,"partitions":[
                {{"node":"a1","start":2048,"size":2048,"type":"21686148-6449-6E6F-744E-656564454649"}},
                {{"node":"a3","start":86016,"size":9,"type":"{TYPE_ROOT_X86_64}"}}]}}}}"#
        );
        assert_eq!(root_offset(listing.as_bytes()).unwrap(), 86016 * 512);
        assert!(matches!(root_offset(b"{}"), Err(CheckError::CouldNotRun(_))));
    }
}
