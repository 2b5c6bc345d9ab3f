//! GRUB for BIOS and UEFI, written into the image by its own tools' rules (grub-bios-setup's
//! `util/setup.c`), without a device to install to.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::assets::{GuestFile, GuestFileKind, Owner};
use rave_process::Cmd;

use crate::disk::layout::{Layout, Partition, SECTOR};
use crate::disk::{Identifiers, STAGE};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;

/// Arguments of the guest's kernel beside `root=`. Without `gpt_auto=0` systemd would mount the ESP, which nothing reads:
/// four seconds of a boot under software emulation. The kernel's test of its timer panics where a busy host delivers
/// ticks late; a virtual machine's timer needs no test.
pub const KERNEL_ARGUMENTS: &str = "ro console=tty0 console=ttyS0,115200 systemd.gpt_auto=0 no_timer_check";

/// The same without what makes the boot shorter.
pub const PLAIN_KERNEL_ARGUMENTS: &str = "ro console=tty0 console=ttyS0,115200";

/// `/boot/grub/grub.cfg`. The marker on the serial line tells the host that the boot loader runs. Holding shift
/// shows a menu.
pub const CONFIGURATION: &str = include_str!("grub.cfg");

/// Modules that both core images hold, so that none is read from the disk.
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

/// Where the guest's files that name the disk's identifiers lie, without the leading slash.
pub(crate) const NAME_IDENTIFIERS: [&str; 2] = ["boot/grub/grub.cfg", "etc/fstab"];

/// The guest's files that name the disk's identifiers.
pub(crate) fn guest_files(identifiers: &Identifiers, arguments: &str) -> Vec<GuestFile> {
    let file = |path: &str, text: String| GuestFile {
        path: format!("/{path}"),
        owner: Owner::Root,
        kind: GuestFileKind::File { mode: 0o644, content: text.into_bytes() },
    };
    let grub = CONFIGURATION.replace("@root@", &identifiers.root).replace("@arguments@", arguments);
    // x-systemd.growfs: the file system follows its partition (systemd.mount(5)).
    let fstab = format!("UUID={} / ext4 defaults,errors=remount-ro,x-systemd.growfs 0 1\n", identifiers.root);
    let [grub_place, fstab_place] = NAME_IDENTIFIERS;
    vec![file(grub_place, grub), file(fstab_place, fstab)]
}

/// Installs both boot loaders.
pub(crate) fn install(
    image: &Utf8Path,
    layout: &Layout,
    identifiers: &Identifiers,
    epoch: u64,
    stages: &StageRunner<'_>,
) -> Result<(), Error> {
    let work = image.with_extension("boot");
    fs::create_dir(&work).at("create", &work)?;
    let early = work.join("early.cfg");
    let search = format!(
        "search.fs_uuid {} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n",
        identifiers.root
    );
    fs::write(&early, search).at("write", &early)?;
    let tool = GrubTool { stages, stage: STAGE, epoch };
    tool.install_bios(image, layout, &work, &early)?;
    tool.install_uefi(image, layout.esp, identifiers, &work, &early)?;
    fs::remove_dir_all(&work).at("remove", &work)
}

/// Runs GRUB's programs and those that fill an ESP.
pub(crate) struct GrubTool<'a> {
    pub(crate) stages: &'a StageRunner<'a>,
    pub(crate) stage: &'static str,
    pub(crate) epoch: u64,
}

impl GrubTool<'_> {
    fn install_bios(
        &self,
        image: &Utf8Path,
        layout: &Layout,
        work: &Utf8Path,
        early: &Utf8Path,
    ) -> Result<(), Error> {
        let core = self.core_image("i386-pc", &["biosdisk"], work, early)?;
        let mut core = fs::read(&core).at("read", &core)?;
        let place = layout.bios_boot;
        if core.len() as u64 > place.size {
            let detail = format!("{} bytes do not fit the boot partition of {}", core.len(), place.size);
            return Err(Error::Input { what: "GRUB's core image".into(), detail });
        }
        let first = place.start / SECTOR;
        core[CORE_BLOCK_LIST..CORE_BLOCK_LIST + 8].copy_from_slice(&(first + 1).to_le_bytes());
        write_at(image, place.start, &core)?;

        let path = Utf8PathBuf::from("/usr/lib/grub/i386-pc/boot.img");
        let mut boot = fs::read(&path).at("read", &path)?;
        boot[BOOT_KERNEL_SECTOR..BOOT_KERNEL_SECTOR + 8].copy_from_slice(&first.to_le_bytes());
        boot[BOOT_DRIVE_CHECK..BOOT_DRIVE_CHECK + 2].fill(NOP);
        write_at(image, 0, &boot[..BOOT_CODE_END])
    }

    fn install_uefi(
        &self,
        image: &Utf8Path,
        esp: Partition,
        identifiers: &Identifiers,
        work: &Utf8Path,
        early: &Utf8Path,
    ) -> Result<(), Error> {
        let loader = self.core_image("x86_64-efi", &["fat", "efi_gop", "efi_uga"], work, early)?;
        // --invariant: no time stamps (mkfs.fat(8)). One sector a cluster makes FAT32 of a small partition.
        let offset = (esp.start / SECTOR).to_string();
        let blocks = (esp.size / 1024).to_string();
        let format =
            ["--invariant", "-F", "32", "-s", "1", "-n", "ESP", "-i", &identifiers.esp, "--offset", &offset];
        self.run(Cmd::new("mkfs.vfat").args(format).args([image.as_str(), &blocks]))?;
        let drive = format!("{image}@@{}", esp.start);
        self.fill_esp(&drive, &loader)
    }

    /// Puts a loader into a FAT file system; `drive` is a file, with `@@` and an offset where it starts later (mtools(1)).
    pub(crate) fn fill_esp(&self, drive: &str, loader: &Utf8Path) -> Result<(), Error> {
        self.run(Cmd::new("mmd").args(["-i", drive, "::/EFI", "::/EFI/BOOT"]))?;
        // The removable-media path (UEFI specification 2.10, section 3.5.1.1): no firmware variable is needed.
        self.run(Cmd::new("mcopy").args(["-i", drive, loader.as_str(), "::/EFI/BOOT/BOOTX64.EFI"]))
    }

    /// A core image with [`MODULES`] and those of `modules`, which runs the commands of the file `early`.
    pub(crate) fn core_image(
        &self,
        format: &str,
        modules: &[&str],
        work: &Utf8Path,
        early: &Utf8Path,
    ) -> Result<Utf8PathBuf, Error> {
        let output = work.join(format);
        let fixed = ["-O", format, "-p", "/boot/grub", "-c", early.as_str(), "-o", output.as_str()];
        self.run(Cmd::new("grub-mkimage").args(fixed).args(MODULES).args(modules))?;
        Ok(output)
    }

    fn run(&self, command: Cmd) -> Result<(), Error> {
        command
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            // FAT keeps local time.
            .env("TZ", "UTC")
            .log_file(self.stages.log(self.stage))
            .run(&mut |_| ())
            .stage(self.stage)
            .map(drop)
    }
}

/// Writes bytes at an offset of the image.
fn write_at(image: &Utf8Path, offset: u64, bytes: &[u8]) -> Result<(), Error> {
    let file = File::options().write(true).open(image).at("open", image)?;
    file.write_all_at(bytes, offset).at("write", image)
}
