//! Images that refer to other files: the host's files are not read.

use std::fs;
use std::os::unix::fs::symlink;

use camino::Utf8Path;
use rave_image::foreign::{Links, is_self_contained};
use rave_spec::Format;

use crate::place::{Place, SECRET, same};

/// A VMDK descriptor with one extent.
fn descriptor(place: &Place, kind: &str, extent: &str) -> camino::Utf8PathBuf {
    let image = place.image("d.vmdk");
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{kind}\"\n{extent}\n"
    );
    fs::write(&image, text).unwrap();
    image
}

fn refused(place: &Place, image: &Utf8Path, message: &str) {
    let refusal = place.refusal(image);
    assert!(refusal.contains(message), "{image}: {refusal}");
    assert!(!place.problems(image).is_empty(), "{image} has no problem");
    for message in [refusal, place.problems(image)] {
        assert!(!message.contains(SECRET), "{message}");
    }
}

#[test]
fn a_backing_file_is_not_read() {
    let place = Place::new();
    for name in [
        place.secret().as_str(),
        "../secret",
        "json:{\"driver\":\"file\"}",
        "nbd://127.0.0.1:1/x",
        "file:/etc/passwd",
        "http://127.0.0.1:1/x",
    ] {
        let image = place.overlay("leak.qcow2", "raw", name, "1M");
        refused(&place, &image, "it needs another file, which was not opened: its backing file");
        assert!(
            is_self_contained(&image, Format::Qemu).unwrap_err().to_string().contains("its backing file")
        );
        assert!(place.convert_as(&image, Links::Follow, false).is_err(), "{name} was followed");
    }
    let old = place.image("old.qcow");
    place.run(&[
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow",
        "-u",
        "-F",
        "raw",
        "-b",
        place.secret().as_str(),
        old.as_str(),
        "1M",
    ]);
    refused(&place, &old, "a backing file");
    let qed = place.image("old.qed");
    place.run(&[
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qed",
        "-u",
        "-F",
        "raw",
        "-b",
        place.secret().as_str(),
        qed.as_str(),
        "1M",
    ]);
    refused(&place, &qed, "a backing file");
}

#[test]
fn an_external_data_file_is_not_read() {
    let place = Place::new();
    let image = place.image("leak.qcow2");
    let data = place.path.join("data");
    let option = format!("data_file={data},data_file_raw=on");
    place.run(&["qemu-img", "create", "-q", "-f", "qcow2", "-o", &option, image.as_str(), "1M"]);
    fs::write(&data, format!("{SECRET}\n").repeat(50_000)).unwrap();
    refused(&place, &image, "the file of its data");
    assert!(is_self_contained(&image, Format::Qemu).is_err());
    let refusal = place.convert_as(&image, Links::Follow, false).unwrap_err().to_string();
    assert!(refusal.contains("is outside its folder"), "{refusal}");
}

#[test]
fn a_backing_chain_is_read_within_its_folder_on_request() {
    let place = Place::new();
    let disk = place.disk("base.raw");
    place.overlay("middle.qcow2", "raw", "base.raw", "4M");
    let top = place.overlay("top.qcow2", "qcow2", "middle.qcow2", "4M");
    let refusal = place.refusal(&top);
    assert!(refusal.ends_with("add --allow-backing"), "{refusal}");
    let content = place.convert_as(&top, Links::Follow, false).unwrap();
    assert!(same(&content, &disk));
    // The same for an external data file.
    let data = place.image("data");
    let option = format!("data_file={data},data_file_raw=on");
    place.run(&["qemu-img", "create", "-q", "-f", "qcow2", "-o", &option, "split.qcow2", "4M"]);
    fs::copy(&disk, &data).unwrap();
    let split = place.convert_as(&place.image("split.qcow2"), Links::Follow, false);
    assert!(same(&split.unwrap(), &disk));
    // The same images on another base are a different disk.
    fs::copy(place.disk("other.raw"), &disk).unwrap();
    let again = place.convert_as(&top, Links::Follow, false).unwrap();
    assert!(again != content && same(&again, &disk));
}

#[test]
fn a_backing_chain_ends_at_its_folder_and_at_undeclared_files() {
    let place = Place::new();
    let follow = |image: &Utf8Path| place.convert_as(image, Links::Follow, false).unwrap_err().to_string();
    place.overlay("middle.qcow2", "raw", place.secret().as_str(), "1M");
    let nested = place.overlay("top.qcow2", "qcow2", "middle.qcow2", "1M");
    assert!(follow(&nested).contains("is outside its folder"), "{}", follow(&nested));
    symlink(place.secret(), place.image("link")).unwrap();
    let linked = place.overlay("linked.qcow2", "raw", "link", "1M");
    assert!(follow(&linked).contains("is outside its folder"));
    place.run(&["mkfifo", "pipe"]);
    assert!(follow(&place.overlay("piped.qcow2", "raw", "pipe", "1M")).contains("not a regular file"));
    assert!(follow(&place.overlay("gone.qcow2", "raw", "nothing", "1M")).contains("missing"));
    let round = place.overlay("round.qcow2", "qcow2", "round.qcow2", "1M");
    assert!(follow(&round).contains("has no end"));
    // A guest wrote a qcow2 header to its raw disk.
    place.overlay("written.raw", "raw", place.secret().as_str(), "1M");
    let written = place.overlay("over.qcow2", "raw", "written.raw", "1M");
    assert!(follow(&written).contains("says that its backing file is \"raw\""), "{}", follow(&written));
}

#[test]
fn an_extent_outside_the_descriptors_folder_is_not_read() {
    let place = Place::new();
    let secret = place.secret();
    symlink(&secret, place.image("link.vmdk")).unwrap();
    fs::create_dir(place.image("below")).unwrap();
    fs::copy(&secret, place.image("below/x")).unwrap();
    fs::copy(&secret, place.image(".hidden")).unwrap();
    place.run(&["mkfifo", "pipe"]);
    for name in [
        secret.as_str(),
        "../secret",
        "link.vmdk",
        "below/x",
        ".hidden",
        "pipe",
        "/dev/zero",
        "json:{}",
        "nbd:127.0.0.1:1",
        "gone",
    ] {
        let image = descriptor(&place, "monolithicFlat", &format!("RW 8 FLAT \"{name}\" 0"));
        refused(&place, &image, "");
        assert!(is_self_contained(&image, Format::Vmware).is_err());
    }
    let tabs = descriptor(&place, "monolithicFlat", &format!("RW\t8\tFLAT\t\"{secret}\"\t0\nx=1"));
    refused(&place, &tabs, "");
    let split = descriptor(&place, "monolithicFlat", &format!("RW\n8\nFLAT\n\"{secret}\"\n0"));
    refused(&place, &split, "");
    let parent = descriptor(
        &place,
        "monolithicFlat",
        &format!("RW 8 FLAT \"below\" 0\nparentFileNameHint=\"{secret}\""),
    );
    refused(&place, &parent, "it is a snapshot");
}

#[test]
fn a_sparse_extent_that_is_a_descriptor_is_not_followed() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let sparse = place.converted(&disk, "s.vmdk", &["-O", "vmdk", "-o", "subformat=monolithicSparse"]);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"{}\" 0\n",
        place.secret()
    );
    let mut bytes = fs::read(&sparse).unwrap();
    // If the extent has no sectors, QEMU follows its descriptor (block/vmdk.c, `vmdk_open_vmdk4`).
    bytes[12..20].fill(0);
    bytes[512..512 + 20 * 512].fill(0);
    bytes[512..512 + text.len()].copy_from_slice(text.as_bytes());
    fs::write(&sparse, &bytes).unwrap();
    refused(&place, &sparse, "it needs another file");
    let outer = descriptor(&place, "twoGbMaxExtentSparse", "RW 8192 SPARSE \"s.vmdk\"");
    refused(&place, &outer, "has 0 sectors");
}

#[test]
fn differencing_disks_are_refused() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let vhd = place.converted(&disk, "d.vhd", &["-O", "vpc"]);
    let mut bytes = fs::read(&vhd).unwrap();
    let footer = bytes.len() - 512;
    for at in [0, footer] {
        bytes[at + 63] = 4;
        let sum: u32 =
            (0..512).filter(|byte| !(64..68).contains(byte)).map(|byte| u32::from(bytes[at + byte])).sum();
        bytes[at + 64..at + 68].copy_from_slice(&(!sum).to_be_bytes());
    }
    fs::write(&vhd, &bytes).unwrap();
    refused(&place, &vhd, "differencing VHD");
    let vhdx = place.converted(&disk, "d.vhdx", &["-O", "vhdx"]);
    let mut bytes = fs::read(&vhdx).unwrap();
    let guid = 0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b_u128.to_be_bytes();
    let stored = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|at: usize| guid[at]);
    let entry = bytes.windows(16).position(|window| window == stored).unwrap();
    let table = entry & !0xffff;
    let item = u32::from_le_bytes(bytes[entry + 16..entry + 20].try_into().unwrap()) as usize;
    bytes[table + item + 4] |= 2;
    fs::write(&vhdx, &bytes).unwrap();
    refused(&place, &vhdx, "differencing VHDX");
    let vdi = place.converted(&disk, "d.vdi", &["-O", "vdi"]);
    let mut bytes = fs::read(&vdi).unwrap();
    bytes[0x4c] = 4;
    fs::write(&vdi, &bytes).unwrap();
    refused(&place, &vdi, "VDI of differences");
}

#[test]
fn bootable_artifacts_meet_all_requirements() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let qcow2 = place.converted(&disk, "d.qcow2", &["-O", "qcow2"]);
    is_self_contained(&qcow2, Format::Qemu).unwrap();
    is_self_contained(&disk, Format::Raw).unwrap();
    let error = is_self_contained(&disk, Format::Qemu).unwrap_err().to_string();
    assert!(error.ends_with("it is a raw disk, not a qcow2"), "{error}");
    place.run(&["mkfifo", "pipe"]);
    let error = is_self_contained(&place.image("pipe"), Format::Raw).unwrap_err().to_string();
    assert!(error.ends_with("not a regular file"), "{error}");
}
