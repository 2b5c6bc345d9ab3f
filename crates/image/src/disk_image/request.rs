//! The inputs of a disk.

use camino::Utf8Path;

use crate::error::Error;

/// The default of [`DiskImageRequest::esp_mib`]. Each generation keeps its kernel and initrd there, 40 MB; the boot
/// loader keeps five generations and the one being added.
pub const ESP_MIB: u64 = 512;

/// The minimum size of FAT32 with clusters of one sector.
const ESP_MIB_AT_LEAST: u64 = 40;
/// A larger value is probably a mistake.
const ESP_MIB_AT_MOST: u64 = 16 << 10;

/// What to write. Paths are on this host unless stated otherwise.
#[derive(Debug, Clone)]
pub struct DiskImageRequest<'a> {
    /// The registration of the store: [`crate::closure::registration`].
    pub registration: &'a Utf8Path,
    /// The store's folder.
    pub store: &'a Utf8Path,
    /// The system to start, a path in the guest's store.
    pub system: &'a str,
    /// Its kernel.
    pub kernel: &'a Utf8Path,
    /// Its initrd.
    pub initrd: &'a Utf8Path,
    /// The kernel's arguments.
    pub arguments: &'a str,
    /// A folder whose content goes into the guest's root folder, writable for root.
    pub files: Option<&'a Utf8Path>,
    /// UUID of the root file system, which the system names.
    pub root_uuid: &'a str,
    /// MiB of the ESP, which the system mounts at `/boot`.
    pub esp_mib: u64,
    /// Folders with GRUB's modules; the host's own if empty.
    pub grub: &'a [camino::Utf8PathBuf],
    /// The disk.
    pub output: &'a Utf8Path,
    /// Timestamp of files outside the store, seconds since 1970.
    pub epoch: u64,
}

impl DiskImageRequest<'_> {
    /// Checks everything that can be checked without reading a file.
    pub(super) fn validate(&self) -> Result<(), Error> {
        if !is_uuid(self.root_uuid) {
            return refuse(
                "--root-uuid",
                "not a UUID in lower case, such as 5a1d0c3e-7d3f-4b7e-9a51-7261766572ff",
            );
        }
        if !(ESP_MIB_AT_LEAST..=ESP_MIB_AT_MOST).contains(&self.esp_mib) {
            return refuse("--esp-mib", "it must be from 40 to 16384");
        }
        check_arguments(self.arguments)?;
        check_output(self.output)?;
        Ok(())
    }
}

/// Refuses characters that would break GRUB's menu, which is a script: the kernel's arguments are one line of plain
/// words.
pub(crate) fn check_arguments(arguments: &str) -> Result<(), Error> {
    if arguments.chars().any(|c| c.is_control() || "\"'\\$;{}<>|&#".contains(c)) {
        return refuse(
            "--arguments",
            "it contains a control character, or one that is special in GRUB's menu",
        );
    }
    Ok(())
}

/// Refuses to overwrite a file.
pub(crate) fn check_output(output: &Utf8Path) -> Result<(), Error> {
    if output.exists() {
        return refuse(output.as_str(), "it already exists; move it, or choose another name with --out");
    }
    Ok(())
}

fn refuse(what: &str, detail: &str) -> Result<(), Error> {
    Err(Error::Input { what: what.into(), detail: detail.into() })
}

fn is_uuid(text: &str) -> bool {
    let digits = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || digits(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_formatted_as_by_blkid() {
        assert!(is_uuid("5a1d0c3e-7d3f-4b7e-9a51-7261766572ff"));
        for wrong in [
            "",
            "5A1D0C3E-7d3f-4b7e-9a51-7261766572ff",
            "5a1d0c3e7d3f4b7e9a517261766572ff",
            "5a1d0c3e-7d3f-4b7e-9a51-7261766572fg",
        ] {
            assert!(!is_uuid(wrong), "{wrong}");
        }
    }

    #[test]
    fn requests_that_break_the_menu_or_the_esp_are_refused_early() {
        let good = DiskImageRequest {
            registration: "r".into(),
            store: "/nix/store".into(),
            system: "s",
            kernel: "k".into(),
            initrd: "i".into(),
            arguments: "init=/nix/store/a/init console=ttyS0,115200 loglevel=4 x.y-z=1:2",
            files: None,
            root_uuid: "5a1d0c3e-7d3f-4b7e-9a51-7261766572ff",
            esp_mib: ESP_MIB,
            grub: &[],
            output: "/nonexistent/disk.img".into(),
            epoch: 0,
        };
        good.validate().unwrap();
        for arguments in ["a\nb", "a;reboot", "a$b", "a }"] {
            let error = DiskImageRequest { arguments, ..good.clone() }.validate().unwrap_err();
            assert!(error.to_string().starts_with("--arguments: "), "{error}");
        }
        let error = DiskImageRequest { esp_mib: 39, ..good.clone() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "--esp-mib: it must be from 40 to 16384");
        let error = DiskImageRequest { output: "/".into(), ..good }.validate().unwrap_err();
        assert_eq!(error.to_string(), "/: it already exists; move it, or choose another name with --out");
    }
}
