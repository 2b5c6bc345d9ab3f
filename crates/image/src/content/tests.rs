//! A real small file system, intact and garbled.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use proptest::prelude::*;
use rave_process::Cmd;

use super::ext4::parse_numbers;
use super::*;

/// Bytes before the file system.
const START: u64 = 4096;
const SIZE: u64 = 8 << 20;

/// Larger than any group of blocks, and sparse: bytes at its start and its end.
const SPARSE: u64 = 300 << 20;

struct Image {
    _guard: tempfile::TempDir,
    path: Utf8PathBuf,
}

/// Every kind of entry.
fn image() -> Image {
    let guard = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(guard.path().join("image")).unwrap();
    File::create(&path).unwrap().set_len(START + SIZE).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, mode: u32, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(7);
        header.set_gid(70_000);
        header.set_mtime(1_767_225_600);
        header.set_size(content.len() as u64);
        header.set_device_major(10).unwrap();
        header.set_device_minor(200).unwrap();
        if link.is_empty() {
            tar.append_data(&mut header, name, content).unwrap();
        } else {
            tar.append_link(&mut header, name, link).unwrap();
        }
    };
    add("b/", tar::EntryType::Directory, 0o1777, "", b"");
    add("b/file with space", tar::EntryType::Regular, 0o4755, "", b"abc");
    add("b.c", tar::EntryType::Regular, 0o600, "", &vec![7; 300_000]);
    add("link", tar::EntryType::Symlink, 0o777, "b/file with space", b"");
    add("long", tar::EntryType::Symlink, 0o777, &"long/".repeat(30), b"");
    add("other name", tar::EntryType::Link, 0o4755, "b/file with space", b"");
    add("tun", tar::EntryType::Char, 0o666, "", b"");
    add("disk", tar::EntryType::Block, 0o660, "", b"");
    add("pipe", tar::EntryType::Fifo, 0o600, "", b"");
    add("é", tar::EntryType::Regular, 0o644, "", b"");
    let bytes = tar.into_inner().unwrap();
    let extended = format!("offset={START}");
    let arguments =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-E", &extended, "-d", "-", path.as_str(), "8192k"];
    let command =
        Cmd::new("mke2fs").args(arguments).env("SOURCE_DATE_EPOCH", "1767225601").env("LC_ALL", "C.UTF-8");
    command.stdin_bytes(bytes).output().unwrap();
    Image { _guard: guard, path }
}

impl Image {
    fn tree(&self) -> Result<Ext4Tree, TreeError> {
        Ext4Tree::open(&self.path, START, SIZE)
    }

    fn entries(&self) -> Vec<TreeEntry> {
        let listing = self.path.with_extension("jsonl");
        list(&self.tree().unwrap(), &ReadLimits::default(), &listing).unwrap();
        read_listing(&listing).unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn digest(&self) -> Result<Digest, TreeError> {
        digest(&self.tree()?, &ReadLimits { time: Duration::from_secs(20) })
    }

    fn debugfs(&self, request: &str) {
        let image = format!("{}?offset={START}", self.path);
        Cmd::new("debugfs").args(["-w", "-R", request, &image]).output().unwrap();
    }
}

#[test]
fn every_kind_of_entry_is_listed_in_path_order() {
    let image = image();
    let entries = image.entries();
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let expected = [
        "",
        "b",
        "b/file with space",
        "b.c",
        "disk",
        "link",
        "long",
        "lost+found",
        "other name",
        "pipe",
        "tun",
        "é",
    ];
    assert_eq!(paths, expected);
    let kind = |path: &str| &entries.iter().find(|entry| entry.path == path).unwrap().kind;
    let abc = EntryKind::File { size: 3, sha256: Digest::of_bytes(b"abc") };
    assert_eq!((kind("b/file with space"), kind("other name")), (&abc, &abc));
    assert_eq!(kind("b.c"), &EntryKind::File { size: 300_000, sha256: Digest::of_bytes(&vec![7; 300_000]) });
    assert_eq!(kind("link"), &EntryKind::Link { target: "b/file with space".into() });
    assert_eq!(kind("long"), &EntryKind::Link { target: "long/".repeat(30) });
    let numbers = DeviceNumbers { major: 10, minor: 200 };
    assert_eq!(
        (kind("tun"), kind("disk")),
        (&EntryKind::CharacterDevice(numbers), &EntryKind::BlockDevice(numbers))
    );
    assert_eq!(kind("pipe"), &EntryKind::Pipe);
    let file = &entries[2];
    assert_eq!((file.mode, file.uid, file.gid, file.modified), (0o4755, 7, 70_000, 1_767_225_600));
}

/// The encoding is stable: an implementation of docs/reproducible.md must compute the same digest.
#[test]
fn the_digest_has_the_documented_encoding() {
    let image = image();
    let mut bytes = Vec::new();
    let mut field = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), value] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
    };
    field("domain", b"rave content 1");
    let entries = image.entries();
    for entry in &entries {
        field("path", entry.path.as_bytes());
        field("type", entry.kind.name().as_bytes());
        field("mode", &entry.mode.to_le_bytes());
        field("uid", &entry.uid.to_le_bytes());
        field("gid", &entry.gid.to_le_bytes());
        match &entry.kind {
            EntryKind::File { size, sha256 } => {
                field("size", &size.to_le_bytes());
                field("sha256", sha256.bytes());
            }
            EntryKind::Link { target } => field("target", target.as_bytes()),
            EntryKind::CharacterDevice(numbers) | EntryKind::BlockDevice(numbers) => {
                field("major", &numbers.major.to_le_bytes());
                field("minor", &numbers.minor.to_le_bytes());
            }
            _ => {}
        }
    }
    field("entries", &(entries.len() as u64).to_le_bytes());
    assert_eq!(image.digest().unwrap(), Digest::of_bytes(&bytes));
}

#[test]
fn any_change_except_times_changes_the_digest() {
    let image = image();
    let before = image.digest().unwrap();
    image.debugfs("set_inode_field b.c mtime 20200101");
    assert_eq!(image.digest().unwrap(), before);
    for request in [
        "set_inode_field b.c mode 0100644",
        "set_inode_field b.c uid 8",
        "set_inode_field b.c size 299999",
        "link b.c another",
        "rm pipe",
    ] {
        let earlier = image.digest().unwrap();
        image.debugfs(request);
        assert_ne!(image.digest().unwrap(), earlier, "{request}");
    }
}

#[test]
fn a_large_sparse_file_is_read_as_sparse() {
    let image = image();
    let local = image.path.with_extension("sparse");
    let file = File::create(&local).unwrap();
    file.set_len(SPARSE).unwrap();
    file.write_all_at(b"start", 0).unwrap();
    file.write_all_at(b"end", SPARSE - 3).unwrap();
    image.debugfs(&format!("write {local} sparse"));
    let expected = Digest::of_file(&local).unwrap();
    let entries = image.entries();
    let sparse = entries.iter().find(|entry| entry.path == "sparse").unwrap();
    assert_eq!(sparse.kind, EntryKind::File { size: SPARSE, sha256: expected });
}

#[test]
fn non_ext4_disks_and_timeouts_are_reported() {
    let image = image();
    let refused = |start, size| Ext4Tree::open(&image.path, start, size).err().unwrap().to_string();
    assert!(refused(0, SIZE).starts_with("not a valid ext4 file system: "), "{}", refused(0, SIZE));
    assert!(refused(START, 100).starts_with("not a valid ext4 file system: "));
    let error = digest(&image.tree().unwrap(), &ReadLimits { time: Duration::ZERO }).unwrap_err().to_string();
    assert!(error.starts_with("gave up after 0 s at "), "{error}");
}

#[test]
fn device_numbers_are_decimal() {
    let printed = "Inode: 5\nDevice major/minor number: 10:200 (hex 0a:c8)\n";
    assert_eq!(parse_numbers(printed), Some(DeviceNumbers { major: 10, minor: 200 }));
    assert_eq!(
        parse_numbers("Device major/minor number: 01:03 (hex 01:03)"),
        Some(DeviceNumbers { major: 1, minor: 3 })
    );
    assert_eq!(parse_numbers("Inode: 5"), None);
}

/// A file system garbled anywhere in its tables is either read or refused, without a panic.
#[test]
fn damaged_file_systems_are_refused_without_a_panic() {
    let image = image();
    let whole = std::fs::read(&image.path).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    // The superblock, the group descriptors, the tables of inodes, and the folders: the first MiB.
    let damage = (prop_oneof![1024_usize..2048, 4096_usize..8192, 0_usize..1 << 20], any::<[u8; 4]>());
    let run = runner.run(&damage, |(at, noise)| {
        let mut bytes = whole.clone();
        let at = at + usize::try_from(START).unwrap();
        bytes[at..at + noise.len()].copy_from_slice(&noise);
        std::fs::write(&image.path, bytes).unwrap();
        let tree = image.tree();
        if let Ok(tree) = tree {
            let _ = digest(&tree, &ReadLimits { time: Duration::from_secs(1) });
        }
        Ok(())
    });
    run.unwrap();
}
