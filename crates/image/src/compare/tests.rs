//! Real small disks: a difference is reported with both values.

use std::os::unix::fs::FileExt as _;

use camino::Utf8PathBuf;
use rave_process::Cmd;

use super::*;
use crate::content::ext4::{Ext4Tree, ReadLimits};
use crate::disk::layout::Layout;

struct Stage {
    _guard: tempfile::TempDir,
    path: Utf8PathBuf,
}

/// A stage whose disk holds these files (path, mode, content) in a root partition of 4 MiB.
fn stage(files: &[(&str, u32, &str)]) -> Stage {
    let guard = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let disk = path.join(IMAGE);
    let file = File::create(&disk).unwrap();
    file.set_len(Layout::ROOT_START + (5 << 20)).unwrap();
    let script = format!(
        "label: gpt\nlabel-id: 5CE9D1F8-0000-4000-8000-000000000001\n\
                  start=4096, size=81920, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid={UUID}, name=\"esp\"\n\
                  start=86016, size=8192, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid={UUID}, name=\"root\"\n"
    );
    Cmd::new("sfdisk").args(["-q", disk.as_str()]).stdin_bytes(script.into_bytes()).output().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut folders = std::collections::BTreeSet::new();
    for (name, mode, content) in files {
        let above = name.match_indices('/').map(|(at, _)| &name[..at]);
        for folder in above.filter(|folder| folders.insert((*folder).to_owned())) {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            header.set_mtime(1);
            tar.append_data(&mut header, folder, std::io::empty()).unwrap();
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_mtime(1);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let extended = format!("offset={},hash_seed={UUID}", Layout::ROOT_START);
    let arguments =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-U", UUID, "-E", &extended, "-d", "-", disk.as_str()];
    let command = Cmd::new("mke2fs").args(arguments).arg("4096k").env("SOURCE_DATE_EPOCH", "1");
    command.stdin_bytes(tar.into_inner().unwrap()).output().unwrap();
    let tree = Ext4Tree::open(&disk, Layout::ROOT_START, 4 << 20).unwrap();
    crate::content::list(&tree, &ReadLimits::default(), &path.join(LISTING)).unwrap();
    Stage { _guard: guard, path }
}

const UUID: &str = "5ce9d1f8-0000-4000-8000-000000000002";

fn trees_of(a: &Stage, b: &Stage) -> Option<TreeDifference> {
    let files = |name: &str| [a.path.join(name), b.path.join(name)];
    trees::compare(&files(LISTING), &files(IMAGE)).unwrap()
}

#[test]
fn equal_files_produce_equal_disks() {
    let files = [("etc/a", 0o644, "content"), ("etc.d/b", 0o600, "")];
    let [a, b] = [stage(&files), stage(&files)];
    assert_eq!(trees_of(&a, &b), None);
    assert_eq!(disk::compare(&a.path.join(IMAGE), &b.path.join(IMAGE)).unwrap(), None);
}

#[test]
fn a_changed_file_is_reported_with_both_values_and_bytes() {
    let a = stage(&[
        ("boot/grub/grub.cfg", 0o644, "1"),
        ("etc/a", 0o644, "made at 10:00"),
        ("etc/only", 0o644, ""),
    ]);
    let b = stage(&[("boot/grub/grub.cfg", 0o644, "2"), ("etc/a", 0o600, "made at 11:00\n")]);
    let found = trees_of(&a, &b).unwrap();
    assert_eq!(found.number, 3);
    let found = TreeDifference { told: found.told[..2].to_vec(), ..found };
    let [changed, missing] = &found.told[..] else { panic!("{found:?}") };
    assert_eq!(changed.path, "/etc/a");
    let told = |what| changed.facts.iter().find(|fact| fact.what == what).map(|fact| fact.values.clone());
    assert_eq!(told("mode"), Some(["0644".into(), "0600".into()]));
    assert_eq!(told("size"), Some(["13".into(), "14".into()]));
    assert_eq!(told("uid"), None);
    let spot = changed.spot.clone().unwrap();
    assert_eq!(spot.offset, 9);
    assert_eq!(spot.around, ["made at 10:00".to_owned(), "made at 11:00\\n".to_owned()]);
    assert_eq!(missing.path, "/etc/only");
    assert_eq!(missing.facts, [ValueDifference { what: "entry", values: ["file".into(), "missing".into()] }]);
}

#[test]
fn with_equal_files_the_part_of_the_disk_is_reported() {
    let files = [("a", 0o644, "content")];
    let [a, b] = [stage(&files), stage(&files)];
    let (ours, theirs) = (a.path.join(IMAGE), b.path.join(IMAGE));
    let part_after_a_change_at = |offset: u64| {
        let file = File::options().read(true).write(true).open(&theirs).unwrap();
        let mut before = [0];
        file.read_exact_at(&mut before, offset).unwrap();
        file.write_all_at(&[before[0] ^ 1], offset).unwrap();
        let (part, spot) = disk::compare(&ours, &theirs).unwrap().unwrap();
        file.write_all_at(&before, offset).unwrap();
        assert_eq!(spot.offset, offset);
        part
    };
    assert_eq!(part_after_a_change_at(100), "boot code of the MBR");
    assert_eq!(part_after_a_change_at(512 + 60), "partition table");
    assert_eq!(part_after_a_change_at(2 << 20), "partition 1 \"esp\": its FAT's own tables");
    let of_root = part_after_a_change_at(Layout::ROOT_START + 4096 + 5);
    assert_eq!(of_root, "partition 2 \"root\": ext4's own tables, byte 4101 of it, block 1, group 0");
}

/// A cache and an output folder with one raw artifact, made from the stage's disk and `wrapping`.
fn built(stage: &Stage, disk_key: &str, wrapping: &str) -> (Manifest, Utf8PathBuf, Utf8PathBuf) {
    let out = stage.path.join("out");
    let cache = stage.path.join("cache");
    let key = Digest::of_bytes(disk_key.as_bytes());
    let kept = stage_cache::place(&cache, STAGE, &key);
    std::fs::create_dir_all(&out).unwrap();
    std::fs::create_dir_all(&kept).unwrap();
    for name in [IMAGE, LISTING] {
        std::fs::rename(stage.path.join(name), kept.join(name)).unwrap();
    }
    std::fs::write(out.join("a.img"), wrapping).unwrap();
    let sha256 = Digest::of_bytes(wrapping.as_bytes());
    let text = serde_json::json!({
        "schema": crate::manifest::SCHEMA, "base": "debian", "profile": "headless", "source_date_epoch": 1,
        "inputs": [{ "name": "rootfs", "sha256": Digest::of_bytes(b"") }, { "name": STAGE, "sha256": key }],
        "content": Digest::of_bytes(b""), "guest": rave_guest::config::GuestConfig::default(),
        "artifacts": [{ "format": "raw", "key": key,
            "files": [{ "name": "a.img", "size": wrapping.len(), "sha256": sha256 }] }],
        "build_tools": [], "packages": [], "npm_packages": [],
        "debian_lock": { "sha256": Digest::of_bytes(b""), "outside": [], "differs": [] },
    });
    (serde_json::from_value(text).unwrap(), out, cache)
}

/// The explanation for two builds, each given by files, the disk's key and the wrapping.
fn explained(ours: (&str, &str, &str), theirs: (&str, &str, &str)) -> Option<BuildDifference> {
    let [a, b] = [ours, theirs].map(|(content, ..)| stage(&[("a", 0o644, content)]));
    let ours = built(&a, ours.1, ours.2);
    let theirs = built(&b, theirs.1, theirs.2);
    let first = FinishedBuild { manifest: &ours.0, out_dir: &ours.1, cache_dir: &ours.2 };
    let second = FinishedBuild { manifest: &theirs.0, out_dir: &theirs.1, cache_dir: &theirs.2 };
    let compared = artifacts(&first, &second, &[Format::Raw]).unwrap();
    assert_eq!(compared.len(), 1);
    explain(&first, &second, &compared).unwrap()
}

#[test]
fn the_cause_is_searched_from_the_inside_out() {
    assert_eq!(explained(("x", "key", "wrapped"), ("x", "key", "wrapped")), None);
    let of_file = explained(("x", "key", "wrapped"), ("y", "key", "Wrapped")).unwrap();
    let DifferenceLocation::Files(trees) = of_file.place else { panic!("{of_file:?}") };
    assert_eq!((trees.told[0].path.as_str(), of_file.inputs.len()), ("/a", 0));
    let of_container = explained(("x", "key", "wrapped"), ("x", "other", "wraPped")).unwrap();
    assert_eq!(of_container.inputs, ["disk"]);
    let DifferenceLocation::Container { part, spot } = of_container.place else { panic!("{of_container:?}") };
    assert_eq!((part.as_str(), spot.offset), ("a.img", 3));
}

#[test]
fn a_shorter_stream_differs_at_its_end() {
    let spot = bytes::first(&b"abc"[..], &b"abcd"[..]).unwrap().unwrap();
    assert_eq!((spot.offset, spot.around), (3, ["abc".to_owned(), "abcd".to_owned()]));
    assert_eq!(bytes::first(&b"abc"[..], &b"abc"[..]).unwrap(), None);
}
