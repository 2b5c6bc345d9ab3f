//! Patches from an earlier release: their results, and what they refuse.

use std::fs::{self, File};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_process::progress::Event;
use rave_release::Error;
use rave_release::manifest::Manifest;
use rave_release::patch::{self, Header, Restore, Restored};
use rave_release::trust::{TrustStore, Trusted};
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, copy};
use crate::{killed, small_disk};

const PATCH: &str = "rave-1.3.0-headless-x86_64.from-1.2.0.patch";
const RAW: &str = "rave-1.3.0-headless-x86_64.img";
const QEMU: &str = "rave-1.3.0-headless-x86_64.qcow2";
const OLD: &str = "release/rave-1.2.0-headless-x86_64.img.zst";

/// An older release, and a newer one with a patch.
fn releases(older: &Fixture) -> Result<(Utf8PathBuf, Utf8PathBuf), String> {
    let old = older.release();
    let newer = older.newer(&[Format::Qemu, Format::Raw])?;
    let mut plan = newer.plan("release");
    (plan.previous, plan.patch_from) = (Some(old.clone()), Some(old.clone()));
    newer.cut(&plan).unwrap();
    Ok((old, plan.out))
}

fn fixture() -> Result<Fixture, String> {
    Fixture::with_kept_key(&[Format::Qemu, Format::Raw])
}

fn restore(
    fixture: &Fixture,
    patch: &Utf8Path,
    base: &Utf8Path,
    formats: &[Format],
    out: &str,
    sink: rave_process::progress::Sink<'_>,
) -> Result<Restored, Error> {
    let mut store = TrustStore::open(&fixture.path("state")).unwrap();
    let mut trusted = Trusted::new(vec![fixture.signer()], &store);
    let request = Restore { patch, base, formats, out: &fixture.path(out), now: NOW, statements: &[] };
    patch::restore(&request, &mut trusted, &mut store, sink)
}

fn manifest(folder: &Utf8Path) -> Manifest {
    Manifest::parse(&fs::read(folder.join("manifest.json")).unwrap()).unwrap()
}

fn digest(path: &Utf8Path) -> Digest {
    Digest::of_file(path).unwrap()
}

#[test]
fn a_patch_updates_any_older_artifact_and_the_notes_have_its_size() {
    let fixture = or_skip!(fixture());
    let (old, new) = or_skip!(releases(&fixture));
    let verdict = fixture.verify(&new);
    assert_eq!(verdict.problems, []);
    let row = verdict.files.iter().find(|row| row.path == PATCH).unwrap();
    assert_eq!(row.role.to_string(), "patch from an earlier release");

    let released = manifest(&new);
    let file = |ending: &str| released.files().find(|file| file.name.as_str().ends_with(ending)).unwrap();
    let raw = file(".img.zst").unpacked.unwrap();
    let size = fs::metadata(new.join(PATCH)).unwrap().len();
    assert!(size < file(".img.zst").size / 4, "{size} of {}", file(".img.zst").size);
    for (number, name) in
        ["rave-1.2.0-headless-x86_64.img.zst", "rave-1.2.0-headless-x86_64.qcow2"].iter().enumerate()
    {
        let out = format!("made {number}");
        let formats = [Format::Raw, Format::Qemu];
        let made = restore(&fixture, &new.join(PATCH), &old.join(name), &formats, &out, &|_| ()).unwrap();
        assert_eq!(made.header.base.version.to_string(), "1.2.0");
        assert_eq!(digest(&fixture.path(&out).join(RAW)), raw.sha256);
        assert_eq!(digest(&fixture.path(&out).join(QEMU)), file(".qcow2").sha256);
        assert_eq!(fixture.path(&out).read_dir_utf8().unwrap().count(), 2);
    }

    let notes = fs::read_to_string(new.join("RELEASE_NOTES.md")).unwrap();
    for line in [
        "## Packages of `headless` since 1.2.0",
        "- deb/debian/bash: security update, CVE-2026-12345\n",
        "- deb/debian/bash 5.2.37-2+b10 -> 5.2.37-2+deb13u1 (security)\n",
        "- deb/debian/curl 8.14.1-2\n",
        "- deb/debian/bsdutils 1:2.41.5-0+deb13u1\n",
        "| headless | qemu-bios | tcg | 6.5 | 6.5 | 1 |",
        &format!("| {PATCH} | 1.2.0 | 0."),
    ] {
        assert!(notes.contains(line), "no {line:?} in {notes}");
    }
    assert!(!notes.contains("CVE-2014-6271"), "{notes}");
    let row = notes.lines().find(|line| line.contains(".qcow2")).unwrap();
    assert_eq!(row.split('|').filter(|cell| cell.trim().parse::<f64>().is_ok()).count(), 2, "{row}");
}

#[test]
fn unpatched_files_are_refused_before_anything_is_written() {
    let fixture = or_skip!(fixture());
    let (old, new) = or_skip!(releases(&fixture));
    let base = old.join("rave-1.2.0-headless-x86_64.img.zst");
    let refused = |patch: &Utf8Path, base: &Utf8Path, formats: &[Format]| {
        let error = restore(&fixture, patch, base, formats, "out", &|_| ()).unwrap_err();
        let left = fixture.path("out").read_dir_utf8().map_or(0, Iterator::count);
        assert_eq!(left, 0, "{error}");
        error.to_string()
    };
    let no = refused(&new.join(PATCH), &base, &[Format::Raw, Format::Virtualbox]);
    assert_eq!(no, "the patch does not give the format virtualbox: only the raw disk follows from it");
    let other = refused(&new.join(PATCH), &new.join(QEMU), &[Format::Raw]);
    assert!(
        other.starts_with("the patch leads from the disk of 1.2.0, and this is another one: "),
        "{other}"
    );
    let nothing = refused(&new.join("other.patch"), &base, &[Format::Raw]);
    assert!(nothing.ends_with("other.patch: it is missing"), "{nothing}");

    // A changed byte in the patch or its signature; a file that is not a patch; no trusted signer.
    let damaged = fixture.path("damaged");
    for (name, why) in [
        (PATCH, "its SHA-256 is not the one in SHA256SUMS"),
        ("SHA256SUMS", "it is not a signature of "),
        ("SHA256SUMS.sig", "SHA256SUMS.sig: "),
    ] {
        copy(&new, &damaged);
        let mut bytes = fs::read(damaged.join(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(damaged.join(name), bytes).unwrap();
        let message = refused(&damaged.join(PATCH), &base, &[Format::Raw]);
        assert!(message.contains(why), "{name}: {message}");
    }
    let message = refused(&new.join("RELEASE_NOTES.md"), &base, &[Format::Raw]);
    assert!(message.ends_with("it is not a patch"), "{message}");
    let mut store = TrustStore::open(&fixture.path("nobody")).unwrap();
    let mut no_signers = Trusted::new(Vec::new(), &store);
    let (patch, out) = (new.join(PATCH), fixture.path("out"));
    let request =
        Restore { patch: &patch, base: &base, formats: &[Format::Raw], out: &out, now: NOW, statements: &[] };
    let error = patch::restore(&request, &mut no_signers, &mut store, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("signature unchecked"), "{error}");
}

/// A patch, its base disk, and a place for the result.
struct Bare {
    bytes: Vec<u8>,
    base: Utf8PathBuf,
    out: Utf8PathBuf,
}

impl Bare {
    fn of(fixture: &Fixture, new: &Utf8Path) -> Self {
        let base = fixture.path("source/rave-debian-headless.raw");
        Self { bytes: fs::read(new.join(PATCH)).unwrap(), base, out: fixture.path("bare.img") }
    }

    fn header(&self) -> Header {
        patch::read_header(&mut self.bytes.as_slice()).unwrap()
    }

    /// The same records after another header.
    fn with(&self, change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let length = u32::from_le_bytes(self.bytes[8..12].try_into().unwrap()) as usize;
        let mut header = serde_json::from_slice(&self.bytes[12..12 + length]).unwrap();
        change(&mut header);
        let text = header.to_string();
        let length_of_text = u32::try_from(text.len()).unwrap().to_le_bytes();
        [&self.bytes[..8], &length_of_text, text.as_bytes(), &self.bytes[12 + length..]].concat()
    }

    /// The offset of the records.
    fn records(&self) -> usize {
        12 + u32::from_le_bytes(self.bytes[8..12].try_into().unwrap()) as usize
    }

    /// The error of applying these bytes; none if they produce the declared disk.
    fn apply(&self, bytes: &[u8]) -> Option<String> {
        let mut from = bytes;
        let done = patch::read_header(&mut from).map_err(|error| error.to_string()).and_then(|header| {
            patch::into_file(&header, ("a.patch".into(), &mut from), &self.base, &self.out, &|_| ())
                .map_err(|error| error.to_string())
        });
        match done {
            Ok(()) => {
                assert_eq!(digest(&self.out), self.header().target.sha256);
                fs::remove_file(&self.out).unwrap();
                None
            }
            Err(message) => {
                let folder = self.out.parent().unwrap();
                let left = folder
                    .read_dir_utf8()
                    .unwrap()
                    .filter(|entry| entry.as_ref().unwrap().file_name().contains("bare.img"));
                assert_eq!(left.count(), 0, "{message}");
                Some(message)
            }
        }
    }
}

#[test]
fn truncated_changed_and_false_patches_produce_nothing() {
    let fixture = or_skip!(fixture());
    let (_, new) = or_skip!(releases(&fixture));
    let bare = Bare::of(&fixture, &new);
    assert_eq!(bare.apply(&bare.bytes), None);
    let length = bare.bytes.len();
    for cut in [0, 7, 11, 50, bare.records(), bare.records() + 4, length / 2, length - 1] {
        let message = bare.apply(&bare.bytes[..cut]).unwrap();
        assert!(message.contains("it is truncated") || message.contains("not a patch"), "{cut}: {message}");
    }
    // A few bits, such as a larger window, do not change what a frame unpacks to: then the disk is the declared one.
    let (mut refused, mut changed) = (0, 0);
    for at in (bare.records()..length).step_by(length / 60) {
        let mut bytes = bare.bytes.clone();
        bytes[at] ^= 0x10;
        changed += 1;
        refused += u32::from(bare.apply(&bytes).is_some());
    }
    assert!(changed >= 50 && refused * 10 >= changed * 9, "{refused} of {changed}");
    let longer = [bare.bytes.as_slice(), b"!"].concat();
    assert!(bare.apply(&longer).unwrap().ends_with("there is data after its last record"));

    let size = bare.header().target.size;
    let of = |pointer: &'static str, value: serde_json::Value| {
        let bytes = bare.with(|header| *header.pointer_mut(pointer).unwrap() = value);
        bare.apply(&bytes).unwrap_or_else(|| panic!("{pointer} may be that"))
    };
    for (pointer, value) in [
        ("/target/size", serde_json::json!(0)),
        ("/target/size", (size + 1).into()),
        ("/target/size", (size + 4096).into()),
        ("/target/size", (size - 4096).into()),
        ("/target/size", u64::MAX.into()),
        ("/base/size", (size - 4096).into()),
        ("/base/size", (size * 2).into()),
        ("/base/sha256", "0".repeat(64).into()),
        ("/target/sha256", "0".repeat(64).into()),
        ("/chunk", 0.into()),
        ("/chunk", (512_u64 << 20).into()),
        ("/chunk", 4095.into()),
        ("/reach", (1_u64 << 40).into()),
        ("/name", "../a".into()),
        ("/name", "a/b".into()),
        ("/schema", 2.into()),
    ] {
        let message = of(pointer, value.clone());
        assert!(!message.is_empty(), "{pointer} {value}");
    }
    let record = bare.records();
    for count in [u64::MAX, 1 << 40, 1] {
        let mut bytes = bare.bytes.clone();
        bytes[record..record + 8].copy_from_slice(&count.to_le_bytes());
        assert!(bare.apply(&bytes).is_some(), "{count}");
    }
    // A header that is too long.
    let mut bytes = bare.bytes.clone();
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(bare.apply(&bytes).unwrap().contains("at most 65536 are allowed"));
}

/// Chunks at the end of a disk that is not a multiple of them, disks that shrink and grow, and content that moved.
#[test]
fn disks_of_many_chunks_round_trip() {
    const MIB: usize = 1 << 20;
    let fixture = or_skip!(fixture());
    let (_, new) = or_skip!(releases(&fixture));
    let bare = Bare::of(&fixture, &new);
    let disk = |name: &str, length: usize, shift: usize| {
        let mut bytes = fs::read(&bare.base).unwrap();
        bytes.rotate_right(shift);
        bytes.resize(length, 0);
        let path = fixture.path(name);
        fs::write(&path, &bytes).unwrap();
        (path, bytes)
    };
    let disks =
        [disk("a.raw", 12 * MIB, 0), disk("b.raw", 5 * MIB + 4096, 8192), disk("c.raw", 20 * MIB, 4096)];
    for (chunk, reach) in [(MIB, 0), (MIB, MIB), (3 * MIB, 4096), (32 * MIB, 32 * MIB)] {
        for ((base, before), (target, after)) in disks.iter().flat_map(|a| disks.iter().map(move |b| (a, b)))
        {
            let of = |bytes: &[u8]| {
                serde_json::json!({
                    "version": "1.2.0", "size": bytes.len(), "sha256": Digest::of_bytes(bytes)
                })
            };
            let bytes = bare.with(|header| {
                (header["base"], header["target"]) = (of(before), of(after));
                (header["chunk"], header["reach"]) = (chunk.into(), reach.into());
            });
            let header = patch::read_header(&mut bytes.as_slice()).unwrap();
            let (made, out) = (fixture.path("many.patch"), fixture.path("many.img"));
            let open = |path: &Utf8Path| File::open(path).unwrap();
            patch::make(&header, (&open(base), &open(target)), &made).unwrap();
            let bytes = fs::read(&made).unwrap();
            let mut from = bytes.as_slice();
            let header = patch::read_header(&mut from).unwrap();
            patch::into_file(&header, (&made, &mut from), base, &out, &|_| ()).unwrap();
            assert!(fs::read(&out).unwrap() == *after, "{base} to {target}, {chunk} and {reach}");
        }
    }
}

#[test]
fn equal_releases_produce_equal_patches() {
    let fixture = or_skip!(fixture());
    let (_, new) = or_skip!(releases(&fixture));
    let bare = Bare::of(&fixture, &new);
    let second = fixture.path("again.patch");
    let target = fixture.path("newer/source/rave-debian-headless.raw");
    let open = |path: &Utf8Path| File::open(path).unwrap();
    let made = patch::make(&bare.header(), (&open(&bare.base), &open(&target)), &second).unwrap();
    assert_eq!(fs::read(&second).unwrap(), bare.bytes);
    assert_eq!((made.size, made.sha256), (bare.bytes.len() as u64, Digest::of_bytes(&bare.bytes)));
    // From a disk to itself: only the header and an empty record.
    let header = bare.with(|header| header["target"] = header["base"].clone());
    let header = patch::read_header(&mut header.as_slice()).unwrap();
    let none = patch::make(&header, (&open(&bare.base), &open(&bare.base)), &second).unwrap();
    assert!(none.size < 2000, "{none:?}");
    assert_eq!(bare.header().target.size, fs::metadata(&target).unwrap().len());
}

/// Not a test by itself: the test below starts and kills it.
#[test]
fn killed_child() {
    killed::in_child(restore_until);
}

fn restore_until(fixture: &Fixture, point: &str) {
    let stop = |event: Event<'_>| {
        if matches!(event, Event::StageProgress { stage: "patch", .. }) {
            killed::stop(point);
        }
    };
    let patch = fixture.path("newer/release").join(PATCH);
    restore(fixture, &patch, &fixture.path(OLD), &[Format::Raw], "out", &stop).unwrap();
}

#[test]
fn a_kill_leaves_no_final_file_and_the_next_run_sweeps() {
    let fixture = or_skip!(fixture());
    let (old, new) = or_skip!(releases(&fixture));
    killed::kill(&fixture, "patches::killed_child", "patch");
    let out = fixture.path("out");
    assert!(!out.join(RAW).exists() && out.read_dir_utf8().unwrap().count() == 1);
    let base = old.join("rave-1.2.0-headless-x86_64.img.zst");
    restore(&fixture, &new.join(PATCH), &base, &[Format::Raw], "out", &|_| ()).unwrap();
    let left: Vec<_> =
        out.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert_eq!(left, [RAW]);
}

#[test]
fn a_full_disk_is_reported_and_leaves_no_files() {
    let fixture = or_skip!(fixture());
    or_skip!(releases(&fixture));
    let message = or_skip!(small_disk::run(&fixture, "small", "patches::small_disk_child"));
    assert!(message.contains("nothing is left"), "{message}");
}

/// Not a test by itself: the test above runs it on a small file system.
#[test]
fn small_disk_child() {
    small_disk::in_child(|place| {
        let fixture = Fixture::at(place);
        let patch = fixture.path("newer/release").join(PATCH);
        let error =
            restore(&fixture, &patch, &fixture.path(OLD), &[Format::Raw], "small", &|_| ()).unwrap_err();
        assert!(error.remedy().unwrap().starts_with("free some space on the file system of "), "{error}");
        assert_eq!(fixture.path("small").read_dir_utf8().unwrap().count(), 0);
        eprintln!("nothing is left");
    });
}
