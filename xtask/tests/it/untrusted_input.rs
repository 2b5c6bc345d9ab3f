//! Files with exaggerated sizes: neither the tool nor the programs that it runs spend memory or time on them.

use std::path::Path;

use crate::checkout::{Ran, fresh, own_toml, run_under};

/// 1.5 GB of address space and 20 s of a processor, for the tool and for each program that it runs.
const LIMITS: &[&str] = &["prlimit", "--as=1500000000", "--cpu=20"];

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() < at + piece.len() {
        bytes.resize(at + piece.len(), 0);
    }
    bytes[at..at + piece.len()].copy_from_slice(piece);
}

/// A qcow2 of that size, with an L1 table of 2^31 entries and 2^31 snapshots (QEMU's docs/interop/qcow2.txt).
fn qcow2(size: u64) -> Vec<u8> {
    let mut bytes = b"QFI\xfb\0\0\0\x03".to_vec();
    put(&mut bytes, 20, &16_u32.to_be_bytes());
    put(&mut bytes, 24, &size.to_be_bytes());
    put(&mut bytes, 36, &(1_u32 << 31).to_be_bytes());
    put(&mut bytes, 40, &(1_u64 << 16).to_be_bytes());
    put(&mut bytes, 48, &(2_u64 << 16).to_be_bytes());
    put(&mut bytes, 56, &(1_u32 << 31).to_be_bytes());
    put(&mut bytes, 60, &(1_u32 << 31).to_be_bytes());
    put(&mut bytes, 96, &4_u32.to_be_bytes());
    put(&mut bytes, 100, &104_u32.to_be_bytes());
    bytes.resize(1 << 20, 0);
    bytes
}

/// A VMDK of `sectors` sectors, in grains of one sector.
fn vmdk(sectors: u64) -> Vec<u8> {
    let mut bytes = b"KDMV".to_vec();
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\
         RW {sectors} SPARSE \"a.vmdk\"\n"
    );
    put(&mut bytes, 4, &1_u32.to_le_bytes());
    for (at, number) in [(12, sectors), (20, 8), (28, 1), (36, 20), (48, 21), (56, 21), (64, 128)] {
        put(&mut bytes, at, &number.to_le_bytes());
    }
    put(&mut bytes, 44, &u32::MAX.to_le_bytes());
    put(&mut bytes, 73, b"\n \r\n");
    put(&mut bytes, 512, text.as_bytes());
    bytes.resize(1 << 20, 0);
    bytes
}

/// A disk whose table has 2^32 - 1 entries (UEFI specification 2.10, table 5.5).
fn gpt() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    put(&mut bytes, 510, &[0x55, 0xaa]);
    put(&mut bytes, 512, b"EFI PART");
    put(&mut bytes, 512 + 12, &92_u32.to_le_bytes());
    put(&mut bytes, 512 + 72, &2_u64.to_le_bytes());
    put(&mut bytes, 512 + 80, &u32::MAX.to_le_bytes());
    put(&mut bytes, 512 + 84, &128_u32.to_le_bytes());
    bytes
}

/// An archive with a VMDK of 2^62 bytes, expressed in GNU tar's base-256 numbers.
fn ova() -> Vec<u8> {
    let mut bytes = b"a.vmdk".to_vec();
    put(&mut bytes, 100, b"0000644\0");
    put(&mut bytes, 124, &[0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
    put(&mut bytes, 148, b"        ");
    put(&mut bytes, 156, b"0ustar\0");
    put(&mut bytes, 257, b"ustar\x0000");
    bytes.resize(512, 0);
    let sum: u32 = bytes.iter().copied().map(u32::from).sum();
    put(&mut bytes, 148, format!("{sum:06o}\0 ").as_bytes());
    bytes.extend(vmdk(1 << 50));
    bytes
}

/// A frame with the maximum window and content size, and one block (RFC 8878, 3.1.1.1).
fn zst() -> Vec<u8> {
    let mut bytes = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    bytes.extend([0xC0, 0xFF]);
    bytes.extend((1_u64 << 43).to_le_bytes());
    bytes.extend([3, 0, 16, 7]);
    bytes
}

fn bounded(folder: &Path, arguments: &[&str]) -> Ran {
    let ran = run_under(LIMITS, folder, arguments, &[]);
    assert!([0, 1, 2, 4].contains(&ran.code), "{arguments:?}: {} {}", ran.code, ran.stderr);
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("SIGKILL"), "{}", ran.stderr);
    ran
}

#[test]
fn claimed_sizes_cause_neither_allocations_nor_waits() {
    let folder = fresh(&own_toml());
    let files = [
        ("a.qcow2", qcow2(1 << 60)),
        ("b.qcow2", qcow2(1 << 42)),
        ("a.vmdk", vmdk(1 << 51)),
        ("b.vmdk", vmdk(1 << 33)),
        ("a.img", gpt()),
        ("a.ova", ova()),
        ("a.img.zst", zst()),
    ];
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let seen = bounded(folder.path(), &["inspect", name]);
        assert!(
            seen.stdout.contains("PROBLEM") || seen.code == 1 || name == "a.img",
            "{name}: {}",
            seen.stdout
        );
        let made = bounded(folder.path(), &["convert", name, "--format", "qemu", "--out", "out"]);
        assert!(made.code != 0 || name == "a.img", "{name} became {}", made.stdout);
    }
}
