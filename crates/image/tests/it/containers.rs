//! Files are recognised by their bytes, whatever their names.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_image::foreign::{Container, Links};
use rave_image::inspect::ImageKind;

use crate::place::{Place, same};

fn cut(image: &Utf8Path, length: u64) {
    File::options().write(true).open(image).unwrap().set_len(length).unwrap();
}

fn length(image: &Utf8Path) -> u64 {
    fs::metadata(image).unwrap().len()
}

#[test]
fn a_vhdx_is_converted_and_identified() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let vhdx = place.converted(&disk, "d.img", &["-O", "vhdx"]);
    assert!(same(&place.convert(&vhdx).unwrap(), &disk));
    let found = place.inspect(&vhdx);
    assert_eq!(found.kind, ImageKind::Other { container: Container::Vhdx });
    assert_eq!((found.disk.unwrap().virtual_size, found.problems), (4 << 20, Vec::new()));
}

#[test]
fn non_disks_are_refused_by_name() {
    let place = Place::new();
    let file = place.image("file");
    for (content, message) in [
        (&b"#!/bin/sh\necho a script\n"[..], "neither a disk image that is known nor a raw disk"),
        (b"\x7fELF\x02\x01\x01", "neither a disk image"),
        (b"PK\x03\x04....", "a zip archive: unpack it"),
        (b"7z\xbc\xaf\x27\x1c..", "a 7z archive"),
        (b"LUKS\xba\xbe\0\x02", "encrypted by LUKS"),
        (b"MSWIM\0\0\0", "Windows image file"),
        (b"COWD\x01\0\0\0", "give the .vmdk that names it"),
        (b"", "it is empty"),
    ] {
        fs::write(&file, content).unwrap();
        let refusal = place.refusal(&file);
        assert!(refusal.contains(message), "{refusal}");
        assert!(!place.problems(&file).is_empty(), "{message}: no problem");
    }
    fs::write(&file, vec![7; 1 << 20]).unwrap();
    assert!(place.refusal(&file).contains("say so with --raw"));
    assert!(same(&place.convert_as(&file, Links::Refuse, true).unwrap(), &file));
    // Known formats are recognised regardless.
    let disk = place.disk("d.raw");
    let qcow2 = place.converted(&disk, "d.qcow2", &["-O", "qcow2"]);
    assert!(same(&place.convert_as(&qcow2, Links::Refuse, true).unwrap(), &disk));
}

#[test]
fn a_truncated_qcow2_is_refused() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let qcow2 = place.converted(&disk, "d.qcow2", &["-O", "qcow2"]);
    let whole = fs::read(&qcow2).unwrap();
    for lost in [whole.len() / 2, 65536, 100] {
        fs::write(&qcow2, &whole[..whole.len() - lost]).unwrap();
        let refusal = place.refusal(&qcow2);
        assert!(
            refusal.contains("it is damaged or truncated") || refusal.contains("it is truncated"),
            "{refusal}"
        );
        assert!(place.problems(&qcow2).contains("truncated"));
    }
}

#[test]
fn a_partition_table_beyond_its_disk_is_refused() {
    let place = Place::new();
    for label in ["gpt", "dos"] {
        let disk = place.disk("d.raw");
        cut(&disk, 16 << 20);
        let script = format!("label: {label}\nstart=2048, size=12M\n");
        let sfdisk = rave_process::Cmd::new("sfdisk").args(["-q", disk.as_str()]).stdin_bytes(script.into());
        sfdisk.output().unwrap();
        let whole = place.converted(&disk, "whole.qcow2", &["-O", "qcow2"]);
        assert!(same(&place.convert(&whole).unwrap(), &disk));
        cut(&disk, 8 << 20);
        for image in [disk.clone(), place.converted(&disk, "d.qcow2", &["-O", "qcow2"])] {
            assert!(place.refusal(&image).contains("it is truncated: its partition table needs"), "{label}");
            assert!(place.problems(&image).contains("it is truncated: its partition table needs"), "{label}");
        }
    }
}

#[test]
fn mbr_partitions_are_listed() {
    let place = Place::new();
    let disk = place.disk("m.raw");
    cut(&disk, 64 << 20);
    let script = "label: dos\nlabel-id: 0x12345678\nsize=8M, type=83, bootable\nsize=40M, type=5\n\
                  m.raw5: size=4M, type=82\nm.raw6: size=4M, type=83\n";
    let sfdisk = rave_process::Cmd::new("sfdisk").args(["-q", disk.as_str()]).stdin_bytes(script.into());
    sfdisk.output().unwrap();
    let found = place.inspect(&disk);
    assert_eq!(found.problems, Vec::<String>::new());
    let table = found.disk.unwrap().mbr.unwrap();
    assert_eq!(table.id, "12345678");
    let shape =
        table.partitions.iter().map(|p| (p.number, p.kind, p.active, p.size >> 20)).collect::<Vec<_>>();
    assert_eq!(shape, [(1, 0x83, true, 8), (2, 5, false, 40), (5, 0x82, false, 4), (6, 0x83, false, 4)]);
    assert_eq!(table.partitions[0].start, 1 << 20);
}

#[test]
fn a_fixed_vhd_is_detected_by_its_footer() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let vhd = place.converted(&disk, "d.vhd", &["-O", "vpc", "-o", "subformat=fixed,force_size=on"]);
    let content = place.convert(&vhd).unwrap();
    assert!(content.0 == fs::read(&disk).unwrap(), "{content:?}");
    assert_eq!(place.inspect(&vhd).kind, ImageKind::Other { container: Container::FixedVhd });
    // The size comes from its footer, not from the geometry in it.
    let dynamic = place.converted(&disk, "e.vhd", &["-O", "vpc", "-o", "force_size=on"]);
    let mut bytes = fs::read(&dynamic).unwrap();
    let footer = bytes.len() - 512;
    for at in [0, footer] {
        bytes[at + 28..at + 32].copy_from_slice(b"vbox");
        bytes[at + 56..at + 60].copy_from_slice(&[0, 8, 4, 17]);
        let sum: u32 =
            (0..512).filter(|byte| !(64..68).contains(byte)).map(|byte| u32::from(bytes[at + byte])).sum();
        bytes[at + 64..at + 68].copy_from_slice(&(!sum).to_be_bytes());
    }
    fs::write(&dynamic, bytes).unwrap();
    assert!(same(&place.convert(&dynamic).unwrap(), &disk));
}

#[test]
fn a_plain_descriptor_is_converted_with_its_extents_or_refused() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    for kind in ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"] {
        let name = format!("{kind}.vmdk");
        let vmdk = place.converted(&disk, &name, &["-O", "vmdk", "-o", &format!("subformat={kind}")]);
        assert!(same(&place.convert(&vmdk).unwrap(), &disk), "{kind}");
        assert_eq!(place.problems(&vmdk), "", "{kind}");
        let text = fs::read_to_string(&vmdk).unwrap();
        let extent = text
            .lines()
            .find(|line| line.starts_with("RW "))
            .and_then(|line| line.split('"').nth(1))
            .unwrap();
        let extent = place.image(extent);
        cut(&extent, length(&extent) - 4096);
        assert!(place.refusal(&vmdk).contains("truncated"), "{kind}");
        fs::remove_file(&extent).unwrap();
        let refusal = place.refusal(&vmdk);
        assert!(refusal.contains(extent.file_name().unwrap()) && refusal.contains("missing"), "{refusal}");
    }
    // A single extent is not a disk.
    let sparse = place.converted(&disk, "t.vmdk", &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"]);
    fs::remove_file(sparse).unwrap();
    assert!(place.refusal(&place.image("t-s001.vmdk")).contains("give the .vmdk that names it"));
}

#[test]
fn a_name_that_is_invalid_in_a_vmdk_is_refused() {
    let place = Place::new();
    let disk = place.disk("a\"b.raw");
    assert!(place.refusal(&disk).contains("a double quote"));
}

#[test]
fn a_disk_that_contains_an_image_is_refused() {
    let place = Place::new();
    let inner = place.converted(&place.disk("d.raw"), "inner.qcow2", &["-O", "qcow2"]);
    let outer = place.converted(&inner, "outer.vmdk", &["-O", "vmdk"]);
    assert!(place.refusal(&outer).contains("the disk in it is itself a qcow2"));
    let encrypted = place.image("e.qcow2");
    let secret = [
        "--object",
        "secret,id=s,data=abc",
        "-f",
        "qcow2",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
    ];
    place.run(&[&["qemu-img", "create", "-q"], &secret[..], &[encrypted.as_str(), "1M"]].concat());
    assert!(place.refusal(&encrypted).contains("encrypted"));
}

#[test]
fn an_encrypted_machine_is_reported() {
    let place = Place::new();
    let vmx = place.image("a.vmx");
    fs::write(&vmx, ".encoding = \"UTF-8\"\ndisplayName = \"a\"\nencryption.keySafe = \"vmware:key/list\"\nencryption.data = \"x\"\n").unwrap();
    assert!(place.problems(&vmx).contains("it is encrypted"), "{}", place.problems(&vmx));
    assert!(place.refusal(&vmx).contains("it is encrypted"));
}

#[test]
fn a_hybrid_iso_is_a_disk_and_a_plain_iso_is_not() {
    let place = Place::new();
    let disk = place.disk("d.iso");
    File::options().write(true).open(&disk).unwrap().write_all_at(b"\x01CD001", 0x8000).unwrap();
    assert!(same(&place.convert(&disk).unwrap(), &disk));
    File::options().write(true).open(&disk).unwrap().write_all_at(&[0, 0], 510).unwrap();
    assert!(place.refusal(&disk).contains("a CD without a boot sector"));
}
