//! A hybrid ISO: CD and USB stick, BIOS and UEFI. It carries the whole raw disk once, in a squashfs: the live session
//! lays memory over the disk's root file system, and the installer streams the disk to another.

mod files;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::iso::{DIGESTS, SQUASHFS};
use rave_process::Cmd;
use rave_spec::Format;

use super::definition::{ExportResult, FormatDef, Make, OutputFile, SizeEstimate};
use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use crate::digest::{Digest, Hasher};
use crate::disk::boot_loader::{self, GrubFolders, GrubTool, UEFI_MODULES};
use crate::disk::layout::Layout;
use crate::disk::{Identifiers, RawDisk};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;

/// The name of this stage.
const STAGE: &str = Format::Iso.as_str();

/// Changes when this file makes another ISO from the same disk.
const REVISION: &[u8] = b"1";

/// `/boot/grub/grub.cfg` of the ISO.
const CONFIGURATION: &str = include_str!("iso/grub.cfg");

/// Modules beside those of a disk's boot loader, for both core images.
const MODULES: &[&str] = &["iso9660", "fat", "part_msdos", "search_label"];

/// KiB of the EFI system partition: the loader has 2 MiB.
const ESP_KIB: &str = "4096";

/// Files of the ISO's tree.
const KERNEL: &str = "boot/vmlinuz";
const INITRD: &str = "boot/initrd.img";
const ELTORITO: &str = "boot/grub/eltorito.img";

/// Boot code of a disk's first sector, which xorriso tells where the El Torito image lies (GRUB's
/// `grub-mkrescue.c`, `--grub2-mbr`).
const MBR: &str = "/usr/lib/grub/i386-pc/boot_hybrid.img";

/// What the ISO is called, by which its own boot loader and initrd find it.
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
    fn of(identifiers: &Identifiers) -> Self {
        let digest = Digest::of_bytes(identifiers.disk.as_bytes());
        let esp = digest.uuid("iso-esp")[..8].to_owned();
        Self { label: format!("RAVE_{}", esp.to_uppercase()), disk: digest.uuid("iso"), esp }
    }
}

/// The format.
pub(crate) const FORMAT: FormatDef = FormatDef {
    format: Format::Iso,
    files: |_| &[OutputFile { ending: ".iso", size: SizeEstimate::CompressedData }],
    order: 1,
    add_to_key,
    make: Make::OfBuiltDisk(make),
};

fn make(exporter: &Exporter<'_>, disk: &RawDisk, files: &[Utf8PathBuf]) -> ExportResult {
    write(exporter.stages, disk, &files[0], exporter.spec.epoch)?;
    Ok(None)
}

fn add_to_key(_: &ExportSpec, hasher: &mut Hasher) {
    let names = IsoNames { label: String::new(), disk: String::new(), esp: String::new() };
    hasher.field("revision", REVISION).field("boot configuration", configuration(&names).as_bytes());
    for argument in
        squashfs_argv("".into(), "".into()).into_iter().chain(iso_argv("".into(), "".into(), &names))
    {
        hasher.field("argument", argument.as_bytes());
    }
}

fn configuration(names: &IsoNames) -> String {
    CONFIGURATION
        .replace("@label@", &names.label)
        .replace("@offset@", &Layout::ROOT_START.to_string())
        .replace("@arguments@", boot_loader::KERNEL_ARGUMENTS)
}

/// The command line (mksquashfs(1)). Times come from `SOURCE_DATE_EPOCH`; the pseudo file definition sets what the
/// umask decided.
fn squashfs_argv(disk: &Utf8Path, target: &Utf8Path) -> Vec<String> {
    let fixed = ["-comp", "zstd", "-Xcompression-level", "6", "-noappend", "-no-xattrs", "-all-root"];
    // Without it a quarter of the machine's memory is taken, for no gain in time.
    let quiet = ["-mem", "128M", "-no-progress", "-quiet", "-p", "disk.raw m 444 0 0"];
    let words = ["mksquashfs", disk.as_str(), target.as_str()];
    words.iter().chain(&fixed).chain(&quiet).map(ToString::to_string).collect()
}

/// The command line (xorrisofs(1)), as grub-mkrescue has it. Dates come from `SOURCE_DATE_EPOCH`. The EFI system
/// partition is appended once and is both El Torito image and GPT partition.
fn iso_argv(work: &Utf8Path, target: &Utf8Path, names: &IsoNames) -> Vec<String> {
    let tree = work.join("tree");
    let esp = work.join("esp.img");
    let words = [
        "xorriso",
        // Not the startup files of the host and the user; it must be the first argument (xorriso(1)).
        "-no_rc",
        "-as",
        "mkisofs",
        "-quiet",
        // Files of 4 GiB and more.
        "-iso-level",
        "3",
        "-rational-rock",
        "-volid",
        &names.label,
        "--gpt_disk_guid",
        &names.disk,
        "--grub2-mbr",
        MBR,
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
    words.map(String::from).into()
}

/// Writes the ISO of a disk to `target`; `epoch` is `SOURCE_DATE_EPOCH`.
fn write(stages: &StageRunner<'_>, disk: &RawDisk, target: &Utf8Path, epoch: u64) -> Result<(), Error> {
    // A compressed disk is at most as large as the disk.
    let scratch = stages.scratch(disk.size)?;
    let iso = Iso { stages, disk, epoch, work: scratch.path(), names: IsoNames::of(&disk.identifiers) };
    for folder in ["tree/boot/grub", "tree/rave"] {
        let folder = iso.work.join(folder);
        fs::create_dir_all(&folder).at("create", &folder)?;
    }
    iso.run(&squashfs_argv(&disk.path, &iso.place(SQUASHFS)))?;
    iso.take_kernel()?;
    iso.boot_loaders()?;
    let digests = files::digests(&iso.work.join("tree"), &[KERNEL, INITRD, SQUASHFS])?;
    let place = iso.place(DIGESTS);
    fs::write(&place, digests).at("write", &place)?;
    files::set_times(&iso.work.join("tree"), epoch)?;
    iso.run(&iso_argv(iso.work, target, &iso.names))
}

struct Iso<'a> {
    stages: &'a StageRunner<'a>,
    disk: &'a RawDisk,
    epoch: u64,
    work: &'a Utf8Path,
    names: IsoNames,
}

impl Iso<'_> {
    fn place(&self, file: &str) -> Utf8PathBuf {
        self.work.join("tree").join(file)
    }

    /// The boot loader reads them from the ISO itself: through squashfs and ext4 the firmware's calls take minutes.
    fn take_kernel(&self) -> Result<(), Error> {
        // "?offset=" is how e2fsprogs names a file system inside a file (unix_io.c).
        let root = format!("{}?offset={}", self.disk.path, Layout::ROOT_START);
        for (link, place) in [("/vmlinuz", KERNEL), ("/initrd.img", INITRD)] {
            let text = self.debugfs(&root, &format!("stat {link}"))?;
            let target = files::link_target(&text).ok_or_else(|| Error::Input {
                what: format!("{link} of the guest"),
                detail: format!("debugfs shows no link: {text}"),
            })?;
            let place = self.place(place);
            self.debugfs(&root, &format!("dump /{target} {place}"))?;
            // debugfs reports no failure by its exit code.
            fs::metadata(&place).at("copy the guest's kernel to", &place)?;
        }
        Ok(())
    }

    fn debugfs(&self, root: &str, request: &str) -> Result<String, Error> {
        let command = Cmd::new("debugfs").args(["-R", request, root]);
        let output = command.log_file(self.stages.log(STAGE)).output().stage(STAGE)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn boot_loaders(&self) -> Result<(), Error> {
        let early = self.work.join("early.cfg");
        let search = format!(
            "search.fs_label {} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n",
            self.names.label
        );
        fs::write(&early, search).at("write", &early)?;
        let place = self.place("boot/grub/grub.cfg");
        fs::write(&place, configuration(&self.names)).at("write", &place)?;

        let folders = GrubFolders::default();
        let grub = GrubTool { stages: self.stages, stage: STAGE, epoch: self.epoch, folders: &folders };
        let bios = [MODULES, &["biosdisk"]].concat();
        let core = grub.core_image("i386-pc-eltorito", &bios, self.work, &early)?;
        let place = self.place(ELTORITO);
        fs::copy(&core, &place).at("copy", &core)?;

        let esp = self.work.join("esp.img");
        let format =
            ["mkfs.vfat", "--invariant", "-n", "ESP", "-i", &self.names.esp, "-C", esp.as_str(), ESP_KIB];
        self.run(&format.map(String::from))?;
        let uefi = [MODULES, UEFI_MODULES].concat();
        let loader = grub.core_image("x86_64-efi", &uefi, self.work, &early)?;
        grub.fill_esp(esp.as_str(), &loader)
    }

    fn run(&self, argv: &[String]) -> Result<(), Error> {
        tool(&argv[0])
            .args(&argv[1..])
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
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

    fn names() -> IsoNames {
        IsoNames::of(&Identifiers::of(&Digest::of_bytes(b"")))
    }

    #[test]
    fn names_are_the_disks_own_and_fit_their_fields() {
        let names = names();
        assert!(names.label.len() <= 32 && names.label.starts_with("RAVE_"), "{names:?}");
        assert!(names.label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'));
        assert_ne!(names, IsoNames::of(&Identifiers::of(&Digest::of_bytes(b"another"))));
        assert_ne!(names.disk, Identifiers::of(&Digest::of_bytes(b"")).disk, "both may be in one machine");
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
            iso_argv("w".into(), "a.iso".into(), &names).join(" "),
            "xorriso -no_rc -as mkisofs -quiet -iso-level 3 -rational-rock -volid RAVE_1 --gpt_disk_guid GUID \
             --grub2-mbr /usr/lib/grub/i386-pc/boot_hybrid.img \
             -eltorito-boot boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info \
             -append_partition 2 0xef w/esp.img -appended_part_as_gpt \
             -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot -o a.iso w/tree"
        );
    }

    #[test]
    fn the_boot_configuration_names_this_iso_and_leaves_no_placeholder() {
        let text = configuration(&names());
        assert!(text.contains(&format!("rave.live={} ", names().label)), "{text}");
        assert!(text.contains("rave.root-offset=44040192 "), "{text}");
        assert!(!text.contains('@'), "{text}");
    }
}
