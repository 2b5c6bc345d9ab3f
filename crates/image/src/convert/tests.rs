//! A conversion to any format preserves the disk's bytes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use rave_spec::Compress;

use super::*;
use crate::foreign::Links;
use crate::formats::tests::export_spec;
use crate::inspect::{ImageKind, inspect};
use rave_process::Cmd;
use rave_spec::Compression;

fn convert_in(folder: &Utf8Path, disk: &Utf8Path, out: &str) -> Result<Vec<Utf8PathBuf>, Error> {
    convert_to(formats::CONVERTIBLE, folder, disk, out)
}

fn convert_to(
    formats: &[Format],
    folder: &Utf8Path,
    disk: &Utf8Path,
    out: &str,
) -> Result<Vec<Utf8PathBuf>, Error> {
    let request = ConvertRequest {
        file: disk,
        links: Links::Refuse,
        is_raw: false,
        formats,
        out_dir: &folder.join(out),
        cache_dir: &folder.join(format!("cache of {out}")),
        log_dir: &folder.join("logs"),
        appliance: export_spec().appliance,
        compress: Compress::all(Compression::Zstd),
        grown_to: None,
        epoch: 1,
    };
    convert(&request, &|_| ())
}

fn disk(folder: &Utf8Path) -> Utf8PathBuf {
    let disk = folder.join("a, disk.raw");
    let file = File::create(&disk).unwrap();
    file.set_len(5 << 20).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    file.write_all_at(&vec![7; 100_000], 3 << 20).unwrap();
    disk
}

#[test]
fn every_format_is_reproducible_and_contains_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let disk = disk(folder);
    let made = convert_in(folder, &disk, "one").unwrap();
    let again = convert_in(folder, &disk, "two").unwrap();
    assert_eq!(made.len(), 7);
    for (one, two) in made.iter().zip(&again) {
        assert_eq!(one.file_name(), two.file_name());
        assert!(fs::read(one).unwrap() == fs::read(two).unwrap(), "{one} differs between two runs");
    }
    let mut disks = 0;
    for path in &made {
        let found = inspect(path, crate::inspect::Depth::Tables).unwrap();
        let driver = match &found.kind {
            ImageKind::Qcow2(_) => "qcow2",
            ImageKind::Vmdk(_) => "vmdk",
            _ => continue,
        };
        let arguments = ["compare", "-f", "raw", "-F", driver, disk.as_str(), path.as_str()];
        Cmd::new("qemu-img").args(arguments).output().unwrap();
        Cmd::new("qemu-img").args(["check", "-q", "-f", driver, path.as_str()]).output().unwrap();
        disks += 1;
    }
    assert_eq!(disks, 2);
    let error = convert_in(folder, &disk, "one").unwrap_err().to_string();
    assert!(error.contains("already exists"), "{error}");
}

#[test]
fn converted_files_can_be_converted_again_to_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let disk = disk(folder);
    let made = convert_in(folder, &disk, "one").unwrap();
    let content = fs::read(&disk).unwrap();
    let mut endings = Vec::new();
    for (number, path) in made.iter().enumerate().filter(|(_, path)| path.extension() != Some("vmx")) {
        endings.push(path.extension().unwrap());
        let back = convert_to(&[Format::Raw], folder, path, &format!("back {number}")).unwrap();
        assert!(fs::read(&back[0]).unwrap() == content, "{path}");
    }
    assert_eq!(endings, ["qcow2", "ova", "vmdk", "ova", "img", "zst"]);
    assert_eq!(fs::read_dir(folder.join("cache of back 6/scratch")).unwrap().count(), 0);
}

#[test]
fn both_extensions_of_a_compressed_disk_are_removed() {
    let stems = ["d/a.img.zst", "a.raw.zst", "a.zst", "a.b.qcow2", "a"].map(|name| stem(name.into()));
    assert_eq!(stems, ["a", "a", "a", "a.b", "a"].map(Some));
}

#[test]
fn an_iso_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let disk = folder.join("disk.raw");
    File::create(&disk).unwrap().set_len(5 << 20).unwrap();
    let error = convert_to(&[Format::Raw, Format::Iso], folder, &disk, "out").unwrap_err().to_string();
    assert_eq!(
        error,
        "format iso: `cargo xtask image` makes it; a disk of any origin can become: qemu, virtualbox, vmware, raw"
    );
    assert!(!folder.join("out").exists());
}
