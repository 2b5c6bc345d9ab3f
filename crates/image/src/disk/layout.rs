//! The partition layout. All positions are in bytes and multiples of one MiB.

use crate::disk::Identifiers;
use crate::tree::root_tar::Extent;

/// Bytes of a sector of the image.
pub const SECTOR: u64 = 512;

const MIB: u64 = 1 << 20;

/// Partition type of GRUB's BIOS boot partition (GRUB manual, "BIOS installation").
const TYPE_BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
/// Partition type of an EFI system partition (UEFI specification 2.10, table 5.7).
const TYPE_ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// Partition type of a root file system for x86-64 (UAPI.2 Discoverable Partitions Specification).
const TYPE_ROOT_X86_64: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";

/// FAT32 needs at least 65,525 clusters (Microsoft FAT specification 1.03, page 14); with clusters of one
/// sector that is 33 MiB.
const ESP_SIZE: u64 = 40 * MIB;

/// Bytes per inode (mke2fs.conf(5), `inode_ratio`).
const INODE_RATIO: u64 = 16384;

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// A disk with BIOS boot partition, ESP and root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// GRUB's core image for BIOS.
    pub bios_boot: Partition,
    /// The EFI system partition.
    pub esp: Partition,
    /// The root file system; last, so that it can grow.
    pub root: Partition,
}

impl Layout {
    /// Where the root file system starts on every disk of the Debian base: after the partition table, the BIOS boot partition and the ESP.
    pub const ROOT_START: u64 = MIB + MIB + ESP_SIZE;

    /// The smallest layout that fits the content, with free space for a first boot; the disk grows afterwards.
    pub fn for_content(content: Extent) -> Self {
        Self::with_esp(content, ESP_SIZE)
    }

    /// The same with an ESP of `esp_size` bytes, a multiple of one MiB: for a system that keeps its kernels there.
    pub fn with_esp(content: Extent, esp_size: u64) -> Self {
        // One inode of 256 bytes per entry and one for each [`INODE_RATIO`], 1 % reserved for root, a journal of 64
        // MiB, block bitmaps and extent trees.
        let tables = content.entries * 256 + content.bytes / 50;
        let needed = content.bytes + content.bytes / 50 + tables + 64 * MIB;
        // Many small files need more inodes than their size suggests; a tenth is for the files of the first boot.
        let needed = needed.max(content.entries * INODE_RATIO / 10 * 11);
        let spare = 256 * MIB;
        let bios_boot = Partition { start: MIB, size: MIB };
        let esp = Partition { start: bios_boot.start + bios_boot.size, size: esp_size };
        let root =
            Partition { start: esp.start + esp.size, size: (needed + spare).next_multiple_of(16 * MIB) };
        Self { bios_boot, esp, root }
    }

    /// The whole disk in bytes: the backup partition table takes the last MiB.
    pub fn size(&self) -> u64 {
        self.root.start + self.root.size + MIB
    }

    /// The table as input of sfdisk(8).
    pub fn sfdisk_script(&self, identifiers: &Identifiers) -> String {
        let row = |partition: Partition, kind: &str, guid: &str, name: &str| {
            let (start, size) = (partition.start / SECTOR, partition.size / SECTOR);
            format!("start={start}, size={size}, type={kind}, uuid={guid}, name=\"{name}\"\n")
        };
        let [bios_boot, esp, root] = &identifiers.partitions;
        format!("label: gpt\nlabel-id: {}\nunit: sectors\nsector-size: {SECTOR}\n\n", identifiers.disk)
            + &row(self.bios_boot, TYPE_BIOS_BOOT, bios_boot, "bios-boot")
            + &row(self.esp, TYPE_ESP, esp, "esp")
            + &row(self.root, TYPE_ROOT_X86_64, root, "root")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn partitions_are_contiguous_and_aligned_to_mebibytes() {
        let layout = Layout::for_content(Extent { bytes: 1_500_000_000, entries: 40_000 });
        assert_eq!(layout.esp.start, layout.bios_boot.start + layout.bios_boot.size);
        assert_eq!(layout.root.start, layout.esp.start + layout.esp.size);
        for partition in [layout.bios_boot, layout.esp, layout.root] {
            assert_eq!((partition.start % MIB, partition.size % MIB), (0, 0));
        }
        assert_eq!(layout.size() % MIB, 0);
        assert_eq!(layout.root.start, Layout::ROOT_START);
        assert!(layout.root.size > 1_500_000_000 + 300 * MIB);
    }

    #[test]
    fn the_esp_has_the_name_that_nixos_mounts() {
        let script = Layout::for_content(Extent { bytes: MIB, entries: 1 })
            .sfdisk_script(&Identifiers::of(&Digest::of_bytes(b"")));
        let module = concat!(env!("CARGO_MANIFEST_DIR"), "/../../nix/modules/disk.nix");
        let module = std::fs::read_to_string(module).unwrap();
        let name = module.split_once("/dev/disk/by-partlabel/").unwrap().1.split('"').next().unwrap();
        let esp = script.lines().find(|line| line.contains(TYPE_ESP)).unwrap();
        assert!(esp.ends_with(&format!("name=\"{name}\"")), "{esp}");
    }

    #[test]
    fn the_table_is_accepted_by_sfdisk() {
        let layout = Layout::for_content(Extent { bytes: MIB, entries: 1 });
        let script = layout.sfdisk_script(&Identifiers::of(&Digest::of_bytes(b"")));
        let rows: Vec<&str> = script.lines().skip(5).collect();
        assert!(rows[0].starts_with("start=2048, size=2048, type=21686148-"), "{script}");
        assert!(rows[1].starts_with("start=4096, size=81920, type=C12A7328-"), "{script}");
        assert!(rows[2].starts_with("start=86016, size="), "{script}");
    }
}
