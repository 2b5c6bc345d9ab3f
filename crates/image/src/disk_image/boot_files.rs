//! The files on the ESP beside the boot loader, named as by NixOS's install-grub.pl: the first rebuild in the machine
//! finds the kernel and the initrd that it would copy, and rewrites the menu.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use super::request::DiskImageRequest;
use crate::closure::store_path::STORE;
use crate::disk::boot_loader::{BootEntry, EspFile};
use crate::error::{Error, IoContext as _};

/// Maximum number of links to a kernel; the limit of Linux (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// The folder of kernels and initrds.
const KERNELS: &str = "kernels";
/// The folder of the menu.
const GRUB: &str = "grub";

/// Kernel and initrd with their names, and the menu that starts them.
pub(super) struct BootFiles {
    kernel: Utf8PathBuf,
    initrd: Utf8PathBuf,
    pub(super) entry: BootEntry,
}

impl BootFiles {
    pub(super) fn of(request: &DiskImageRequest<'_>) -> Result<Self, Error> {
        let kernel = resolved(request.kernel, request.store)?;
        let initrd = resolved(request.initrd, request.store)?;
        let place = |file: &Utf8Path| format!("/{KERNELS}/{}", name(file, request.store));
        let entry = BootEntry {
            kernel: place(&kernel),
            initrd: place(&initrd),
            arguments: request.arguments.to_owned(),
        };
        Ok(Self { kernel, initrd, entry })
    }

    /// The files for the ESP; the menu is written into `work` first.
    pub(super) fn on_the_esp(&self, work: &Utf8Path) -> Result<Vec<EspFile>, Error> {
        let menu = work.join("grub.cfg");
        fs::write(&menu, self.entry.menu()).at("write", &menu)?;
        let kernel = |source: &Utf8PathBuf, place: &str| EspFile {
            source: source.clone(),
            folder: KERNELS,
            name: place.rsplit('/').next().unwrap_or(place).to_owned(),
        };
        let mut files = vec![EspFile { source: menu, folder: GRUB, name: "grub.cfg".into() }];
        files.push(kernel(&self.kernel, &self.entry.kernel));
        files.push(kernel(&self.initrd, &self.entry.initrd));
        Ok(files)
    }
}

/// Resolves a link; links into the guest's store lead into `store`.
fn resolved(file: &Utf8Path, store: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    let mut at = file.to_owned();
    for _ in 0..MOST_LINKS {
        if !fs::symlink_metadata(&at).at("read", &at)?.is_symlink() {
            return Ok(at);
        }
        let target = at.read_link_utf8().at("read", &at)?;
        at = match target.strip_prefix(STORE) {
            Ok(below) => store.join(below),
            // Joining an absolute path replaces the base.
            Err(_) => at.parent().unwrap_or(Utf8Path::new("/")).join(target),
        };
    }
    Err(Error::Input { what: file.to_string(), detail: "too many links lead to it".into() })
}

/// `/nix/store/HASH-linux/bzImage` becomes `HASH-linux-bzImage`, as in install-grub.pl.
fn name(file: &Utf8Path, store: &Utf8Path) -> String {
    match file.strip_prefix(store) {
        Ok(below) => below.as_str().replace('/', "-"),
        Err(_) => file.file_name().unwrap_or("file").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_names_match_nixos_for_any_store_location() {
        let temporary = tempfile::tempdir().unwrap();
        let store = Utf8Path::from_path(temporary.path()).unwrap();
        fs::create_dir(store.join("aaa-linux")).unwrap();
        fs::create_dir(store.join("bbb-system")).unwrap();
        fs::write(store.join("aaa-linux/bzImage"), "k").unwrap();
        std::os::unix::fs::symlink("/nix/store/aaa-linux/bzImage", store.join("bbb-system/kernel")).unwrap();
        let file = resolved(&store.join("bbb-system/kernel"), store).unwrap();
        assert_eq!(name(&file, store), "aaa-linux-bzImage");
        std::os::unix::fs::symlink("loop", store.join("loop")).unwrap();
        assert!(resolved(&store.join("loop"), store).unwrap_err().to_string().contains("too many links"));
    }
}
