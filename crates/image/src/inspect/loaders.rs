//! The boot loaders of a disk, for BIOS and for UEFI.

/// The boot code of an MBR (UEFI specification 2.10, table 5.1: 440 bytes), identified by the names that loaders leave
/// in it.
pub(super) fn bios(start: &[u8]) -> Option<String> {
    let code = start.get(..440)?;
    let signed = start.get(510..512) == Some(&[0x55, 0xaa]);
    if !signed || code.iter().all(|byte| *byte == 0) {
        return None;
    }
    let holds = |name: &str| code.windows(name.len()).any(|window| window == name.as_bytes());
    let name = ["GRUB", "SYSLINUX", "isolinux", "Limine"].into_iter().find(|name| holds(name));
    Some(name.unwrap_or("unknown").to_owned())
}

/// Bytes of an ESP that are searched: its tables and first folders.
pub(super) const ESP_SEARCHED: u64 = 4 << 20;

/// Whether a folder has an entry `BOOTX64.EFI`, as FAT writes it (Microsoft FAT specification 1.03, page 23), where
/// UEFI looks on removable media (UEFI specification 2.10, 3.5.1.1).
pub(super) fn has_uefi(esp: &[u8]) -> bool {
    esp.chunks_exact(32).any(|entry| &entry[..11] == b"BOOTX64 EFI")
}
