//! GRUB for BIOS and UEFI, written into the image as GRUB's own tools do (grub-bios-setup's `util/setup.c`), without a
//! device to install to.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::assets::{GuestFile, GuestFileKind, Owner};
use rave_process::Cmd;

use crate::disk::Identifiers;
use crate::disk::layout::{Layout, Partition, SECTOR};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;

/// Arguments of the guest's kernel besides `root=`. Without `gpt_auto=0` systemd would mount the ESP, which nothing
/// reads: four seconds of a boot under software emulation. The kernel's test of its timer panics if a busy host
/// delivers ticks late; a virtual machine's timer needs no test.
pub const KERNEL_ARGUMENTS: &str = "ro console=tty0 console=ttyS0,115200 systemd.gpt_auto=0 no_timer_check";

/// The same without the arguments that shorten the boot.
pub const PLAIN_KERNEL_ARGUMENTS: &str = "ro console=tty0 console=ttyS0,115200";

/// `/boot/grub/grub.cfg`. The marker on the serial line shows the host that the boot loader is running. Holding shift
/// shows a menu.
pub const CONFIGURATION: &str = include_str!("grub.cfg");

/// Modules built into both core images, so that none is read from the disk.
const MODULES: &[&str] = &[
    "part_gpt",
    "ext2",
    "search",
    "search_fs_uuid",
    "configfile",
    "normal",
    "linux",
    "serial",
    "terminal",
    "echo",
    "test",
    "keystatus",
    "minicmd",
    "reboot",
    "halt",
];

/// Modules for a menu written by NixOS's install-grub.pl, which loads them by name or uses their commands.
const ESP_MODULES: &[&str] = &[
    "fat",
    "loadenv",
    "search_label",
    "search_fs_file",
    "all_video",
    "video",
    "font",
    "gfxterm",
    "gfxmenu",
    "png",
    "regexp",
    "sleep",
    "ls",
    "cat",
    "chain",
    "true",
];

/// Additional modules of the UEFI core image, besides [`MODULES`]: the display.
pub(crate) const UEFI_MODULES: &[&str] = &["efi_gop", "efi_uga"];

/// Modules for firmware older than UEFI that GRUB 2.14 dropped. A core image omits the missing ones.
const DROPPED: &[&str] = &["efi_uga"];

/// FAT32 needs at least 65,525 clusters (Microsoft FAT specification 1.03, page 14); some are taken by the tables.
const FAT32_CLUSTERS: u64 = 66_000;

/// Where boot.img keeps the 64-bit sector number of the core image (GRUB's `include/grub/i386/pc/boot.h`,
/// `GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const BOOT_KERNEL_SECTOR: usize = 0x5c;
/// A jump that boot.img skips on hard disks when it is two NOPs (`GRUB_BOOT_MACHINE_DRIVE_CHECK`).
const BOOT_DRIVE_CHECK: usize = 0x66;
const NOP: u8 = 0x90;
/// Boot code ends where the MBR's disk signature begins (UEFI specification 2.10, table 5.3).
const BOOT_CODE_END: usize = 440;
/// Where the core image's first sector keeps the list of its other sectors: the last of its 12-byte entries
/// (`GRUB_BOOT_MACHINE_LIST_SIZE`), whose first eight bytes are a sector number.
const CORE_BLOCK_LIST: usize = 0x1f4;

/// Paths of the guest's files that contain the disk's identifiers, without the leading slash.
pub(crate) const NAME_IDENTIFIERS: [&str; 2] = ["boot/grub/grub.cfg", "etc/fstab"];

/// The guest's files that contain the disk's identifiers.
pub(crate) fn guest_files(identifiers: &Identifiers, arguments: &str) -> Vec<GuestFile> {
    let entry = BootEntry {
        kernel: "/vmlinuz".into(),
        initrd: "/initrd.img".into(),
        arguments: format!("root=UUID={} {arguments}", identifiers.root),
    };
    let file = |path: &str, text: String| GuestFile {
        path: format!("/{path}"),
        owner: Owner::Root,
        kind: GuestFileKind::File { mode: 0o644, content: text.into_bytes() },
    };
    // x-systemd.growfs: the file system grows with its partition (systemd.mount(5)).
    let fstab = format!("UUID={} / ext4 defaults,errors=remount-ro,x-systemd.growfs 0 1\n", identifiers.root);
    let [grub_place, fstab_place] = NAME_IDENTIFIERS;
    vec![file(grub_place, entry.menu()), file(fstab_place, fstab)]
}

/// The entry of a menu. Paths are relative to the root of the file system that contains the menu.
#[derive(Debug, Clone)]
pub(crate) struct BootEntry {
    pub(crate) kernel: String,
    pub(crate) initrd: String,
    /// The kernel's arguments.
    pub(crate) arguments: String,
}

impl BootEntry {
    /// GRUB's menu with this entry.
    pub(crate) fn menu(&self) -> String {
        CONFIGURATION
            .replace("@kernel@", &self.kernel)
            .replace("@initrd@", &self.initrd)
            .replace("@arguments@", &self.arguments)
    }
}

/// A file for the ESP.
#[derive(Debug, Clone)]
pub(crate) struct EspFile {
    /// Where its content is.
    pub(crate) source: Utf8PathBuf,
    /// Its folder on the ESP, one level below its root.
    pub(crate) folder: &'static str,
    /// Its name there.
    pub(crate) name: String,
}

/// Where the core images find their menu.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MenuPlace<'a> {
    /// `/boot/grub` of the root file system, where the tree has it.
    Root,
    /// `/grub` of the ESP, among these files. The system mounts the ESP at `/boot` and rewrites the menu; the core
    /// images read whatever it wrote.
    Esp(&'a [EspFile]),
}

impl MenuPlace<'_> {
    /// The commands that a core image runs first.
    fn early(self, identifiers: &Identifiers) -> String {
        let (uuid, prefix) = match self {
            Self::Root => (identifiers.root.clone(), "boot/grub"),
            // GRUB reads a FAT's serial number as two groups of capital digits.
            Self::Esp(_) => {
                let (high, low) = identifiers.esp.split_at(4);
                (format!("{high}-{low}").to_uppercase(), "grub")
            }
        };
        format!("search.fs_uuid {uuid} root\nset prefix=($root)/{prefix}\nconfigfile $prefix/grub.cfg\n")
    }

    fn files(&self) -> &[EspFile] {
        match self {
            Self::Root => &[],
            Self::Esp(files) => files,
        }
    }

    /// Additional modules of the core images for this menu.
    fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Root => &[],
            Self::Esp(_) => ESP_MODULES,
        }
    }
}

/// Folders with GRUB's modules, each by platform: `i386-pc`, `x86_64-efi`.
#[derive(Debug, Clone)]
pub struct GrubFolders(Vec<Utf8PathBuf>);

impl Default for GrubFolders {
    fn default() -> Self {
        Self(vec!["/usr/lib/grub".into()])
    }
}

impl GrubFolders {
    /// These folders, or the host's own if there are none.
    pub fn of(folders: &[Utf8PathBuf]) -> Self {
        if folders.is_empty() { Self::default() } else { Self(folders.to_vec()) }
    }

    /// The modules of a platform.
    pub(crate) fn platform(&self, name: &str) -> Result<Utf8PathBuf, Error> {
        self.0.iter().map(|folder| folder.join(name)).find(|folder| folder.is_dir()).ok_or_else(|| {
            let searched = self.0.iter().map(|folder| folder.as_str()).collect::<Vec<_>>().join(", ");
            Error::Input { what: format!("GRUB's modules for {name}"), detail: format!("none in {searched}") }
        })
    }
}

/// The disk to install boot loaders to.
pub(crate) struct BootLoaders<'a> {
    pub(crate) image: &'a Utf8Path,
    pub(crate) layout: &'a Layout,
    pub(crate) identifiers: &'a Identifiers,
    pub(crate) menu: MenuPlace<'a>,
}

/// Installs both boot loaders.
pub(crate) fn install(disk: &BootLoaders<'_>, tool: &GrubTool<'_>) -> Result<(), Error> {
    let work = disk.image.with_extension("boot");
    fs::create_dir(&work).at("create", &work)?;
    let early = work.join("early.cfg");
    fs::write(&early, disk.menu.early(disk.identifiers)).at("write", &early)?;
    tool.install_bios(disk, &work, &early)?;
    tool.install_uefi(disk, &work, &early)?;
    fs::remove_dir_all(&work).at("remove", &work)
}

/// Runs GRUB's programs and the programs that fill an ESP.
pub(crate) struct GrubTool<'a> {
    pub(crate) stages: &'a StageRunner<'a>,
    pub(crate) stage: &'static str,
    pub(crate) epoch: u64,
    pub(crate) folders: &'a GrubFolders,
}

impl GrubTool<'_> {
    fn install_bios(&self, disk: &BootLoaders<'_>, work: &Utf8Path, early: &Utf8Path) -> Result<(), Error> {
        let modules = [&["biosdisk"], disk.menu.modules()].concat();
        let core = self.core_image("i386-pc", &modules, work, early)?;
        let mut core = fs::read(&core).at("read", &core)?;
        let place = disk.layout.bios_boot;
        if core.len() as u64 > place.size {
            let detail = format!("{} bytes do not fit the boot partition of {}", core.len(), place.size);
            return Err(Error::Input { what: "GRUB's core image".into(), detail });
        }
        let first = place.start / SECTOR;
        core[CORE_BLOCK_LIST..CORE_BLOCK_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
        write_at(disk.image, place.start, &core)?;

        let path = self.folders.platform("i386-pc")?.join("boot.img");
        let mut boot = fs::read(&path).at("read", &path)?;
        boot[BOOT_KERNEL_SECTOR..BOOT_KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
        boot[BOOT_DRIVE_CHECK..BOOT_DRIVE_CHECK + 2].fill(NOP);
        write_at(disk.image, 0, &boot[..BOOT_CODE_END])
    }

    fn install_uefi(&self, disk: &BootLoaders<'_>, work: &Utf8Path, early: &Utf8Path) -> Result<(), Error> {
        let esp = disk.layout.esp;
        let modules = [&["fat"], UEFI_MODULES, disk.menu.modules()].concat();
        let loader = self.core_image("x86_64-efi", &modules, work, early)?;
        // --invariant: no timestamps (mkfs.fat(8)).
        let offset = (esp.start / SECTOR).to_string();
        let blocks = (esp.size / 1024).to_string();
        let cluster = cluster_sectors(esp).to_string();
        let serial = &disk.identifiers.esp;
        let format =
            ["--invariant", "-F", "32", "-s", &cluster, "-n", "ESP", "-i", serial, "--offset", &offset];
        self.run(tool("mkfs.vfat").args(format).args([disk.image.as_str(), &blocks]))?;
        let drive = format!("{}@@{}", disk.image, esp.start);
        self.fill_esp(&drive, &loader)?;
        self.copy_to_esp(&drive, disk.menu.files())
    }

    fn copy_to_esp(&self, drive: &str, files: &[EspFile]) -> Result<(), Error> {
        let folders: BTreeSet<&str> = files.iter().map(|file| file.folder).collect();
        for folder in folders {
            self.run(tool("mmd").args(["-i", drive, &format!("::/{folder}")]))?;
        }
        files.iter().try_for_each(|file| {
            let place = format!("::/{}/{}", file.folder, file.name);
            self.run(tool("mcopy").args(["-i", drive, file.source.as_str(), &place]))
        })
    }

    /// Copies a loader into a FAT file system; `drive` is a file, followed by `@@` and the file system's offset if
    /// there is one (mtools(1)).
    pub(crate) fn fill_esp(&self, drive: &str, loader: &Utf8Path) -> Result<(), Error> {
        self.run(tool("mmd").args(["-i", drive, "::/EFI", "::/EFI/BOOT"]))?;
        // The removable-media path (UEFI specification 2.10, section 3.5.1.1): no firmware variable is needed.
        self.run(tool("mcopy").args(["-i", drive, loader.as_str(), "::/EFI/BOOT/BOOTX64.EFI"]))
    }

    /// A core image with [`MODULES`] and `modules`, which runs the commands in the file `early`.
    pub(crate) fn core_image(
        &self,
        format: &str,
        modules: &[&str],
        work: &Utf8Path,
        early: &Utf8Path,
    ) -> Result<Utf8PathBuf, Error> {
        let output = work.join(format);
        let folder = self.folders.platform(format.trim_end_matches("-eltorito"))?;
        let fixed = ["-O", format, "-d", folder.as_str(), "-p", "/boot/grub", "-c", early.as_str()];
        let fixed = [&fixed[..], &["-o", output.as_str()]].concat();
        let modules = modules.iter().copied().filter(|module| is_available(&folder, module));
        self.run(tool("grub-mkimage").args(fixed).args(MODULES).args(modules))?;
        Ok(output)
    }

    fn run(&self, command: Cmd) -> Result<(), Error> {
        command
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            // FAT keeps local time.
            .env("TZ", "UTC")
            // Ignore the user's ~/.mtoolsrc (mtools(5)).
            .env("HOME", "/nonexistent")
            .log_file(self.stages.log(self.stage))
            .run(&mut |_| ())
            .stage(self.stage)
            .map(drop)
    }
}

/// Whether a core image gets this module of the folder. Only modules that GRUB dropped may be missing without an error.
fn is_available(folder: &Utf8Path, module: &str) -> bool {
    !DROPPED.contains(&module) || folder.join(format!("{module}.mod")).exists()
}

/// Sectors per cluster: as many as leave enough clusters for FAT32, and at most 4 KiB.
fn cluster_sectors(esp: Partition) -> u64 {
    [8, 4, 2].into_iter().find(|sectors| esp.size / SECTOR / sectors > FAT32_CLUSTERS).unwrap_or(1)
}

/// Writes bytes at an offset of the image.
fn write_at(image: &Utf8Path, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    let file = File::options().write(true).open(image).at("open", image)?;
    file.write_all_at(bytes, offset).at("write", image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_image_omits_modules_that_grub_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let chosen = || UEFI_MODULES.iter().filter(|module| is_available(path, module)).collect::<Vec<_>>();
        assert_eq!(chosen(), [&"efi_gop"], "GRUB 2.14 has no efi_uga.mod");
        fs::write(path.join("efi_uga.mod"), "").unwrap();
        assert_eq!(chosen(), [&"efi_gop", &"efi_uga"]);
    }
}
