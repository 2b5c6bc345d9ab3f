//! The medium itself, for the disk of any base: a CD and a USB stick, for BIOS and UEFI.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::iso::{DIGESTS, SQUASHFS};
use rave_spec::Format;

use super::files;
use crate::digest::{Digest, Hasher};
use crate::disk::boot_loader::{GrubFolders, GrubTool, UEFI_MODULES};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;

/// The name of this stage.
pub(crate) const STAGE: &str = Format::Iso.as_str();

/// `/boot/grub/grub.cfg` of the ISO.
const CONFIGURATION: &str = include_str!("grub.cfg");

/// Modules besides those of a disk's boot loader, for both core images.
const MODULES: &[&str] = &["iso9660", "fat", "part_msdos", "search_label"];

/// KiB of the EFI system partition: the loader has 2 MiB.
const ESP_KIB: &str = "4096";

/// Files of the ISO's tree.
const KERNEL: &str = "boot/vmlinuz";
const INITRD: &str = "boot/initrd.img";
const ELTORITO: &str = "boot/grub/eltorito.img";

/// GRUB's platform for BIOS.
const BIOS: &str = "i386-pc";

/// Boot code of a disk's first sector, in the folder of GRUB's modules for BIOS.
const MBR: &str = "boot_hybrid.img";

/// The inputs of a medium.
pub(crate) struct LiveMedium<'a> {
    /// The whole disk, in a file called `disk.raw`.
    pub(crate) disk: &'a Utf8Path,
    /// Its bytes.
    pub(crate) size: u64,
    /// Its GPT disk GUID, in lower case: the medium's names are derived from it.
    pub(crate) guid: &'a str,
    /// Where its root file system starts, bytes.
    pub(crate) root_start: u64,
    /// The disk's own kernel, and its initrd, which knows the arguments `rave.live` and `rave.root-offset`.
    pub(crate) kernel: &'a Utf8Path,
    pub(crate) initrd: &'a Utf8Path,
    /// The kernel's other arguments.
    pub(crate) arguments: &'a str,
    pub(crate) grub: &'a GrubFolders,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub(crate) epoch: u64,
}

/// Names of the ISO, by which its own boot loader and initrd find it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct IsoNames {
    /// The volume's label: ISO 9660 allows capital letters, digits and `_` (ECMA-119, 7.4.1).
    label: String,
    /// GPT disk GUID.
    disk: String,
    /// Serial number of the EFI system partition's FAT.
    esp: String,
}

impl IsoNames {
    fn of(guid: &str) -> Self {
        let digest = Digest::of_bytes(guid.as_bytes());
        let esp = digest.uuid("iso-esp")[..8].to_owned();
        Self { label: format!("RAVE_{}", esp.to_uppercase()), disk: digest.uuid("iso"), esp }
    }
}

impl LiveMedium<'_> {
    /// Writes the ISO to `target`.
    pub(crate) fn write(&self, stages: &StageRunner<'_>, target: &Utf8Path) -> Result<(), Error> {
        // A compressed disk is at most as large as the disk.
        let scratch = stages.scratch(self.size)?;
        let names = IsoNames::of(self.guid);
        let work = Work { medium: self, stages, folder: scratch.path(), names };
        work.fill()?;
        work.run(&iso_argv(work.folder, target, &work.names, &self.grub.platform(BIOS)?.join(MBR)))
    }

    fn configuration(&self, names: &IsoNames) -> String {
        configuration(names, self.root_start, self.arguments)
    }
}

/// Adds the inputs of an ISO besides its disk, for the host's own GRUB.
pub(super) fn add_to_key(hasher: &mut Hasher, root_start: u64, arguments: &str) {
    let names = IsoNames { label: String::new(), disk: String::new(), esp: String::new() };
    hasher.field("boot configuration", configuration(&names, root_start, arguments).as_bytes());
    let argv = squashfs_argv("".into(), "".into());
    for argument in argv.into_iter().chain(iso_argv("".into(), "".into(), &names, MBR.into())) {
        hasher.field("argument", argument.as_bytes());
    }
}

fn configuration(names: &IsoNames, root_start: u64, arguments: &str) -> String {
    CONFIGURATION
        .replace("@label@", &names.label)
        .replace("@offset@", &root_start.to_string())
        .replace("@arguments@", arguments)
}

/// The command line (mksquashfs(1)). Times come from `SOURCE_DATE_EPOCH`; the pseudo file definition overrides modes
/// that depend on the umask.
fn squashfs_argv(disk: &Utf8Path, target: &Utf8Path) -> Vec<String> {
    let fixed = ["-comp", "zstd", "-Xcompression-level", "6", "-noappend", "-no-xattrs", "-all-root"];
    // Otherwise it uses a quarter of the machine's memory without being faster.
    let quiet = ["-mem", "128M", "-no-progress", "-quiet", "-p", "disk.raw m 444 0 0"];
    let args = ["mksquashfs", disk.as_str(), target.as_str()];
    args.iter().chain(&fixed).chain(&quiet).map(ToString::to_string).collect()
}

/// The command line (xorrisofs(1)), as in grub-mkrescue. Dates come from `SOURCE_DATE_EPOCH`. The EFI system partition
/// is appended once and is both El Torito image and GPT partition.
///
/// `mbr` is the boot code of a disk's first sector, which xorriso patches with the position of the El Torito image
/// (GRUB's `grub-mkrescue.c`, `--grub2-mbr`).
fn iso_argv(work: &Utf8Path, target: &Utf8Path, names: &IsoNames, mbr: &Utf8Path) -> Vec<String> {
    let tree = work.join("tree");
    let esp = work.join("esp.img");
    let args = [
        "xorriso",
        // Ignore the startup files of the host and the user; must be the first argument (xorriso(1)).
        "-no_rc",
        "-as",
        "mkisofs",
        "-quiet",
        // Allows files of 4 GiB and more.
        "-iso-level",
        "3",
        "-rational-rock",
        "-volid",
        &names.label,
        "--gpt_disk_guid",
        &names.disk,
        "--grub2-mbr",
        mbr.as_str(),
        "-eltorito-boot",
        ELTORITO,
        "-no-emul-boot",
        "-boot-load-size",
        "4",
        "-boot-info-table",
        "--grub2-boot-info",
        "-append_partition",
        "2",
        "0xef",
        esp.as_str(),
        "-appended_part_as_gpt",
        "-eltorito-alt-boot",
        "-e",
        "--interval:appended_partition_2:all::",
        "-no-emul-boot",
        "-o",
        target.as_str(),
        tree.as_str(),
    ];
    args.map(String::from).into()
}

/// A medium whose files are being assembled.
struct Work<'a> {
    medium: &'a LiveMedium<'a>,
    stages: &'a StageRunner<'a>,
    folder: &'a Utf8Path,
    names: IsoNames,
}

impl Work<'_> {
    fn place(&self, file: &str) -> Utf8PathBuf {
        self.folder.join("tree").join(file)
    }

    fn fill(&self) -> Result<(), Error> {
        let medium = self.medium;
        for folder in ["tree/boot/grub", "tree/rave"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder).at("create", &folder)?;
        }
        self.run(&squashfs_argv(medium.disk, &self.place(SQUASHFS)))?;
        // The boot loader reads them directly from the ISO: through squashfs and ext4 the firmware's calls would take
        // minutes.
        for (source, place) in [(medium.kernel, KERNEL), (medium.initrd, INITRD)] {
            fs::copy(source, self.place(place)).at("copy", source)?;
        }
        self.boot_loaders()?;
        let tree = self.folder.join("tree");
        let digests = files::digests(&tree, &[KERNEL, INITRD, SQUASHFS])?;
        let place = self.place(DIGESTS);
        fs::write(&place, digests).at("write", &place)?;
        files::set_times(&tree, medium.epoch)
    }

    fn boot_loaders(&self) -> Result<(), Error> {
        let early = self.folder.join("early.cfg");
        let search = format!(
            "search.fs_label {} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n",
            self.names.label
        );
        fs::write(&early, search).at("write", &early)?;
        let place = self.place("boot/grub/grub.cfg");
        fs::write(&place, self.medium.configuration(&self.names)).at("write", &place)?;

        let LiveMedium { epoch, grub: folders, .. } = *self.medium;
        let grub = GrubTool { stages: self.stages, stage: STAGE, epoch, folders };
        let bios = [MODULES, &["biosdisk"]].concat();
        let core = grub.core_image(&format!("{BIOS}-eltorito"), &bios, self.folder, &early)?;
        let place = self.place(ELTORITO);
        fs::copy(&core, &place).at("copy", &core)?;

        let esp = self.folder.join("esp.img");
        let format =
            ["mkfs.vfat", "--invariant", "-n", "ESP", "-i", &self.names.esp, "-C", esp.as_str(), ESP_KIB];
        self.run(&format.map(String::from))?;
        let uefi = [MODULES, UEFI_MODULES].concat();
        let loader = grub.core_image("x86_64-efi", &uefi, self.folder, &early)?;
        grub.fill_esp(esp.as_str(), &loader)
    }

    fn run(&self, argv: &[String]) -> Result<(), Error> {
        tool(&argv[0])
            .args(&argv[1..])
            .env("SOURCE_DATE_EPOCH", self.medium.epoch.to_string())
            .env("LC_ALL", "C.UTF-8")
            .log_file(self.stages.log(STAGE))
            .run(&mut |_| ())
            .stage(STAGE)
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "5a1d0c3e-7d3f-4b7e-9a51-7261766572ff";

    fn names() -> IsoNames {
        IsoNames::of(GUID)
    }

    #[test]
    fn names_come_from_the_disk_and_fit_their_fields() {
        let names = names();
        assert!(names.label.len() <= 32 && names.label.starts_with("RAVE_"), "{names:?}");
        assert!(names.label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'));
        assert_ne!(names, IsoNames::of("another"));
        assert_ne!(names.disk, GUID, "both may be in one machine");
    }

    #[test]
    fn command_lines() {
        assert_eq!(
            squashfs_argv("d/disk.raw".into(), "s".into()).join(" "),
            "mksquashfs d/disk.raw s -comp zstd -Xcompression-level 6 -noappend -no-xattrs -all-root \
             -mem 128M -no-progress -quiet -p disk.raw m 444 0 0"
        );
        let names = IsoNames { label: "RAVE_1".into(), disk: "GUID".into(), esp: "E".into() };
        assert_eq!(
            iso_argv("w".into(), "a.iso".into(), &names, "/g/boot_hybrid.img".into()).join(" "),
            "xorriso -no_rc -as mkisofs -quiet -iso-level 3 -rational-rock -volid RAVE_1 --gpt_disk_guid GUID \
             --grub2-mbr /g/boot_hybrid.img \
             -eltorito-boot boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
             -append_partition 2 0xef w/esp.img -appended_part_as_gpt \
             -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot -o a.iso w/tree"
        );
    }

    #[test]
    fn the_boot_configuration_names_this_iso_and_has_no_placeholders() {
        let text = configuration(&names(), 44_040_192, "init=/x ro");
        assert!(text.contains(&format!("rave.live={} ", names().label)), "{text}");
        assert!(text.contains("rave.root-offset=44040192 init=/x ro $*"), "{text}");
        assert!(!text.contains('@'), "{text}");
    }
}
