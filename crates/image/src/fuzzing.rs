//! One function for each parser of untrusted input, for arbitrary bytes: for the fuzz targets in `fuzz/`, and for a
//! test that feeds them random and mutated input. The result of a parser is used as by its callers; nothing may panic
//! or allocate more memory than the input justifies. The functions panic if a parser does, or if its result is
//! inconsistent.

#![expect(clippy::missing_panics_doc, reason = "to panic is what they are for")]

use std::io::Cursor;

use crate::foreign::old_qemu::OldHead;
use crate::foreign::{Container, qcow2, vhd, vhdx};
use crate::formats::ovf::{Envelope, resource};
use crate::formats::{ova, vmdk, vmx, zst};
use crate::inspect::{self, gpt, mbr};
use crate::licences;

/// Feeds a parser.
pub type Feed = fn(&[u8]);

/// The parsers by name: also the names of the fuzz targets.
pub const PARSERS: &[(&str, Feed)] = &[
    ("qcow2_header", qcow2_header),
    ("vmdk_header", vmdk_header),
    ("vmdk_descriptor", vmdk_descriptor),
    ("vmx", vmx),
    ("ovf", ovf),
    ("ova", ova),
    ("gpt", gpt),
    ("iso", iso),
    ("zst", zst),
    ("container", container),
    ("qcow2_names", qcow2_names),
    ("old_qemu", old_qemu),
    ("vhd_footer", vhd_footer),
    ("vhdx_tables", vhdx_tables),
    ("mbr", mbr),
    ("ovf_manifest", ovf_manifest),
    ("debian_copyright", debian_copyright),
];

/// The header of a qcow2.
pub fn qcow2_header(bytes: &[u8]) {
    if let Ok(header) = qcow2::Header::parse(bytes) {
        assert!(header.cluster_size.is_power_of_two());
    }
}

/// A copyright file of a Debian package. Its licence must be an SPDX expression that can be parsed again.
pub fn debian_copyright(bytes: &[u8]) {
    if let Some(licence) = licences::of_copyright(bytes) {
        assert!(licences::of_spdx(&licence).is_some_and(|again| again == licence));
        let _ = licences::references(&licence);
    }
}

/// The header of a VMDK.
pub fn vmdk_header(bytes: &[u8]) {
    if let Ok(header) = vmdk::Header::parse(bytes) {
        let _ = header.bytes();
        assert_eq!(vmdk::Header::parse(&header.render()).as_ref(), Ok(&header));
    }
}

/// The descriptor of a VMDK.
pub fn vmdk_descriptor(bytes: &[u8]) {
    if let Ok(descriptor) = vmdk::Descriptor::parse(&String::from_utf8_lossy(bytes)) {
        let _ = descriptor.render();
    }
}

/// A VMX configuration. The parsed value must round-trip.
pub fn vmx(bytes: &[u8]) {
    if let Ok(machine) = vmx::Vmx::parse(&String::from_utf8_lossy(bytes)) {
        vmx::Vmx::parse(&machine.render()).expect("what is rendered is a configuration");
    }
}

/// An OVF descriptor. The parsed value must round-trip.
pub fn ovf(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(&String::from_utf8_lossy(bytes)) {
        for disk in &envelope.disks {
            let _ = disk.bytes();
        }
        let _ = envelope.system.quantity(resource::MEMORY);
        let _ = envelope.system.memory_mib();
        let members =
            envelope.files.iter().map(|file| ova::Member { name: file.href.clone(), offset: 512, size: 1 });
        let _ = ova::choose(Some(&envelope), &members.collect::<Vec<_>>());
        Envelope::parse(&envelope.render()).expect("what is rendered is a descriptor");
    }
}

/// An OVA, including its digests.
pub fn ova(bytes: &[u8]) {
    let mut file = Cursor::new(bytes);
    for member in ova::members(&mut file).unwrap_or_default() {
        assert!(member.offset + member.size <= bytes.len() as u64, "{member:?} ends beyond the archive");
        let text = ova::text(&mut file, &member).unwrap_or_default();
        let _ = ova::parse_digests(&text);
    }
}

/// A partition table: header and entries.
pub fn gpt(bytes: &[u8]) {
    if let Some(header) = gpt::Header::parse(bytes) {
        let entries = bytes.get(512..).unwrap_or_default();
        let length = usize::try_from(header.length).unwrap_or_default();
        let _ = header.table(&entries[..entries.len().min(length)]);
    }
}

/// The volume descriptors of an ISO, as [`inspect`](inspect::inspect) looks at them.
pub fn iso(bytes: &[u8]) {
    let _ = inspect::iso_facts(bytes);
}

/// The frames of an `.img.zst`.
pub fn zst(bytes: &[u8]) {
    if let Ok(frames) = zst::frames(&mut Cursor::new(bytes)) {
        assert!(frames.head <= bytes.len() as u64);
    }
}

/// The type of a file.
pub fn container(bytes: &[u8]) {
    let found = Container::of(bytes, &bytes[bytes.len().saturating_sub(512)..]);
    assert!(!found.name().is_empty());
}

/// The names of other files in a qcow2.
pub fn qcow2_names(bytes: &[u8]) {
    if let (Ok(names), Ok(header)) = (qcow2::Names::parse(bytes), qcow2::Header::parse(bytes)) {
        assert_eq!(names.backing.is_some() || names.data.is_some(), header.needs_another_file);
    }
}

/// The headers of qcow version 1 and QED.
pub fn old_qemu(bytes: &[u8]) {
    let _ = (OldHead::qcow(bytes), OldHead::qed(bytes));
}

/// The footer of a VHD.
pub fn vhd_footer(bytes: &[u8]) {
    let _ = vhd::Footer::parse(bytes);
}

/// The region table and the metadata table of a VHDX.
pub fn vhdx_tables(bytes: &[u8]) {
    let _ = (vhdx::metadata_region(bytes), vhdx::parameters(bytes), vhdx::region_bounds(bytes));
}

/// An MBR partition table, including its chain of logical partitions.
pub fn mbr(bytes: &[u8]) {
    let mut sector = |at: u64| {
        let part = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        Ok(part[..part.len().min(512)].to_vec())
    };
    if let Ok(Some(table)) = mbr::Table::read(&mut sector) {
        let _ = table.end();
    }
}

/// The digests of a package.
pub fn ovf_manifest(bytes: &[u8]) {
    if let Ok(lines) = ova::parse_digests(&String::from_utf8_lossy(bytes)) {
        assert_eq!(ova::parse_digests(&ova::render_digests(&lines)).as_ref(), Ok(&lines));
    }
}

#[cfg(test)]
mod tests {
    use rave_testing::parsers::{Sample, feed_any, feed_mutated, save_seeds};

    use super::*;
    use crate::formats::{tests::export_spec, virtualbox, vmware};

    fn named_samples() -> Vec<Sample> {
        PARSERS.iter().map(|(name, _)| *name).zip(samples()).collect()
    }

    /// A valid sample for each parser, in their order.
    fn samples() -> Vec<Vec<u8>> {
        let header = vmdk::Header {
            version: 3,
            flags: 3 << 16 | 1,
            capacity: 1 << 20,
            grain_size: 128,
            descriptor_offset: 1,
            descriptor_size: 20,
            entries_per_table: 512,
            redundant_directory: 0,
            directory: 21,
            overhead: 128,
            unclean: false,
            compression: 1,
        };
        let mut gpt = vec![0; 1024];
        gpt[..8].copy_from_slice(b"EFI PART");
        gpt[12..16].copy_from_slice(&92_u32.to_le_bytes());
        gpt[80..84].copy_from_slice(&4_u32.to_le_bytes());
        gpt[84..88].copy_from_slice(&128_u32.to_le_bytes());
        gpt[512] = 1;
        let mut qcow2 = vec![0; 112];
        qcow2[..4].copy_from_slice(&qcow2::MAGIC);
        (qcow2[7], qcow2[23], qcow2[103]) = (3, 16, 112);
        let ovf = virtualbox::descriptor(&export_spec(), 5).render();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("a.ovf", ovf.as_str()), ("a.mf", "SHA256(a.ovf)= 00\n")] {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let descriptor = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
                          createType=\"monolithicSparse\"\nRW 4096 SPARSE \"a.vmdk\"\nddb.adapterType = \"ide\"\n";
        // A frame of one block of 128 KiB of zeros, with every optional header field, after a skippable frame.
        let zst =
            [&0x184D_2A53_u32.to_le_bytes()[..], &[2, 0, 0, 0, 9, 9], &zst::MAGIC, &[0xC4, 0x38]].concat();
        let zst = [&zst[..], &(1_u64 << 17).to_le_bytes(), &[3, 0, 16, 0, 1, 2, 3, 4]].concat();
        vec![
            qcow2,
            header.render().to_vec(),
            descriptor.into(),
            vmware::machine(&export_spec()).render().into_bytes(),
            ovf.into_bytes(),
            tar.into_inner().unwrap(),
            gpt,
            vec![0; 20 * 2048],
            zst.clone(),
            zst,
            qcow2_with_names(),
            [&b"QED\0"[..], &[0; 12], &1_u64.to_le_bytes(), &[0; 64]].concat(),
            vhd_footer_of_a_fixed_disk(),
            [&b"regi\0\0\0\0\x01\0\0\0\0\0\0\0"[..], &METADATA_REGION, &(1_u64 << 20).to_le_bytes(), &[0; 8]]
                .concat(),
            mbr_with_logical_partitions(),
            b"SHA1(a.ovf)= 00\r\nSHA256 (a (1).vmdk) = ff\n".to_vec(),
            b"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
              License: GPL-2+ or A, and B with gcc exception\n x\n"
                .to_vec(),
        ]
    }

    /// The GUID of a metadata region as stored in a file ([MS-VHDX] 7.0, 2.2.3.2).
    const METADATA_REGION: [u8; 16] =
        [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];

    /// A version 3 with a backing file, its format and a data file.
    fn qcow2_with_names() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..4].copy_from_slice(&qcow2::MAGIC);
        (bytes[7], bytes[14], bytes[15], bytes[19], bytes[23]) = (3, 1, 0, 3, 16);
        (bytes[79], bytes[103]) = (4, 104);
        bytes[104..115].copy_from_slice(b"\xe2\x79\x2a\xca\0\0\0\x03raw");
        bytes[120..133].copy_from_slice(b"DATA\0\0\0\x05a.raw");
        bytes[256..259].copy_from_slice(b"b.q");
        bytes
    }

    fn vhd_footer_of_a_fixed_disk() -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..8].copy_from_slice(vhd::COOKIE);
        bytes[63] = 2;
        let sum: u32 = bytes.iter().copied().map(u32::from).sum();
        bytes[64..68].copy_from_slice(&(!sum).to_be_bytes());
        bytes
    }

    /// A Linux partition, and an extended partition that contains another one.
    fn mbr_with_logical_partitions() -> Vec<u8> {
        let mut bytes = vec![0; 2048];
        for (at, kind, start, sectors) in
            [(446, 0x83, 1_u32, 1_u32), (462, 5, 2, 2), (1024 + 446, 0x83, 1, 1)]
        {
            bytes[at + 4] = kind;
            bytes[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
            bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
        }
        for end in [510, 1534] {
            bytes[end..end + 2].copy_from_slice(&[0x55, 0xaa]);
        }
        bytes
    }

    #[test]
    fn each_sample_is_accepted() {
        let samples = samples();
        let text = |at: usize| String::from_utf8(samples[at].clone()).unwrap();
        assert!(qcow2::Header::parse(&samples[0]).is_ok());
        assert!(vmdk::Header::parse(&samples[1]).is_ok());
        assert!(vmdk::Descriptor::parse(&text(2)).is_ok());
        assert!(vmx::Vmx::parse(&text(3)).is_ok());
        assert!(Envelope::parse(&text(4)).is_ok());
        assert_eq!(ova::members(&mut Cursor::new(&samples[5])).unwrap().len(), 2);
        assert!(gpt::Header::parse(&samples[6]).is_some());
        let frames = zst::frames(&mut Cursor::new(&samples[8])).unwrap();
        assert_eq!((frames.count, frames.content), (1, Some(1 << 17)));
        assert_eq!(Container::of(&samples[9], &[]), Container::Packed(crate::foreign::Packing::Zstd));
        let names = qcow2::Names::parse(&samples[10]).unwrap();
        let found = [names.backing, names.backing_format, names.data].map(Option::unwrap);
        assert_eq!(found, ["b.q", "raw", "a.raw"]);
        assert!(OldHead::qed(&samples[11]).unwrap().has_backing);
        assert_eq!(vhd::Footer::parse(&samples[12]).unwrap().kind, vhd::Kind::Fixed);
        assert_eq!(vhdx::metadata_region(&samples[13]), Some(1 << 20));
        let mut sector = |at: u64| Ok(samples[14][usize::try_from(at).unwrap()..][..512].to_vec());
        let table = mbr::Table::read(&mut sector).unwrap().unwrap();
        assert_eq!(table.partitions.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(ova::parse_digests(&text(15)).unwrap()[1].name, "a (1).vmdk");
        assert!(licences::of_copyright(&samples[16]).is_some());
        assert_eq!(samples.len(), PARSERS.len());
        save_seeds(&named_samples());
    }

    #[test]
    fn mutated_samples_are_parsed_or_refused_quickly() {
        feed_mutated(PARSERS, &named_samples());
    }

    #[test]
    fn any_bytes_are_parsed_or_refused() {
        feed_any(PARSERS);
    }
}
