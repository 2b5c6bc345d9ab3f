//! UEFI firmware (OVMF): which files belong together, and where distributions install them.

mod descriptors;
mod files;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;
use crate::machine::{Arch, Firmware};

pub use files::UefiFiles;

/// Pairs of code and variables without enforced secure boot, the 4 MiB builds first: Debian and Ubuntu, Fedora and
/// RHEL, Arch, openSUSE, QEMU's own build (Homebrew, upstream's `make install`).
const X86_64: [(&str, &str); 7] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
    ("/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd"),
    ("/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"),
];

/// The UEFI firmware of this host: the first that its descriptors name, otherwise the first at a known path.
pub fn find_uefi(arch: Arch) -> Result<Firmware, Error> {
    let own = std::env::var("XDG_CONFIG_HOME").ok().map(Utf8PathBuf::from).or_else(|| {
        let home = std::env::var("HOME").ok().filter(|home| !home.is_empty())?;
        Some(Utf8PathBuf::from(home).join(".config"))
    });
    let own = own.filter(|folder| folder.is_absolute()).map(|folder| folder.join("qemu/firmware"));
    let folders: Vec<_> = own.into_iter().chain(descriptors::FOLDERS.map(Utf8PathBuf::from)).collect();
    let root = Utf8Path::new("/");
    let files = descriptors::first(&folders, root, arch).map_or_else(|| first_pair(root, arch), Ok)?;
    Ok(Firmware::Uefi { code: files.code, vars_template: files.vars })
}

/// The first pair of which both files exist, with `root` before each path.
fn first_pair(root: &Utf8Path, arch: Arch) -> Result<UefiFiles, Error> {
    let pairs: &[(&str, &str)] = match arch {
        Arch::X86_64 => &X86_64,
    };
    let under = |path: &str| root.join(path.trim_start_matches('/'));
    pairs
        .iter()
        .map(|(code, vars)| UefiFiles { code: under(code), vars: under(vars) })
        .find(|pair| pair.code.is_file() && pair.vars.is_file())
        .ok_or_else(|| Error::FirmwareMissing {
            looked_for: pairs.iter().map(|(code, _)| Utf8PathBuf::from(*code)).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_pair_counts_only_if_both_files_exist() {
        let root = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(root.path()).unwrap();
        let folder = root.join("usr/share/OVMF");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("OVMF_CODE_4M.fd"), "").unwrap();
        fs::write(folder.join("OVMF_CODE.fd"), "").unwrap();
        fs::write(folder.join("OVMF_VARS.fd"), "").unwrap();
        assert_eq!(first_pair(root, Arch::X86_64).unwrap().code, folder.join("OVMF_CODE.fd"));
        fs::write(folder.join("OVMF_VARS_4M.fd"), "").unwrap();
        assert_eq!(first_pair(root, Arch::X86_64).unwrap().vars, folder.join("OVMF_VARS_4M.fd"));
    }

    #[test]
    fn a_missing_firmware_error_lists_the_searched_paths() {
        let root = tempfile::tempdir().unwrap();
        let error = first_pair(Utf8Path::from_path(root.path()).unwrap(), Arch::X86_64).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/usr/share/OVMF/OVMF_CODE_4M.fd") && error.remedy().unwrap().contains("ovmf"),
            "{text}"
        );
    }
}
