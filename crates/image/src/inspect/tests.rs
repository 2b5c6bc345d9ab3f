//! Real images made by qemu-img and sfdisk, intact, truncated and garbled.

use std::os::unix::fs::FileExt as _;

use camino::Utf8PathBuf;
use proptest::prelude::*;
use rave_process::Cmd;

use super::*;
use crate::digest::Digest;
use crate::formats::{tests::export_spec, virtualbox, vmware};

struct Folder {
    _guard: tempfile::TempDir,
    path: Utf8PathBuf,
}

impl Folder {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        Self { _guard: guard, path }
    }

    /// A raw disk of 8 MiB with a table, boot code and something that looks like a loader's entry in its ESP.
    fn disk(&self) -> Utf8PathBuf {
        let path = self.path.join("a.img");
        File::create(&path).unwrap().set_len(8 << 20).unwrap();
        let script = "label: gpt\nlabel-id: 5CE9D1F8-0000-4000-8000-000000000001\n\
                      start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=\"bios-boot\"\n\
                      start=4096, size=4096, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"esp\"\n";
        let partition = Cmd::new("sfdisk").args(["-q", path.as_str()]).stdin_bytes(script.into());
        partition.output().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(b"..GRUB ..", 380).unwrap();
        file.write_all_at(b"BOOTX64 EFI", (2 << 20) + 4096 + 64).unwrap();
        path
    }

    fn convert(&self, disk: &Utf8Path, name: &str, arguments: &[&str]) -> Utf8PathBuf {
        let target = self.path.join(name);
        let command = Cmd::new("qemu-img").args(["convert", "-f", "raw"]).args(arguments.iter().copied());
        command.args([disk.as_str(), target.as_str()]).output().unwrap();
        target
    }

    fn ova(&self, vmdk: &Utf8Path) -> Utf8PathBuf {
        let target = self.path.join("a.ova");
        let size = std::fs::metadata(vmdk).unwrap().len();
        let text = virtualbox::descriptor(&export_spec(), size).render();
        let sha256 = Digest::of_file(vmdk).unwrap();
        let payload = ova::Payload { name: "rave-debian-simple-disk1.vmdk", path: vmdk, sha256 };
        ova::write(&target, "rave-debian-simple", &text, payload, 0).unwrap();
        target
    }

    fn zst(&self, disk: &Utf8Path) -> Utf8PathBuf {
        let target = self.path.join("a.img.zst");
        zst::compress(disk, &target, &self.path.join("log")).unwrap();
        target
    }

    /// One of each kind.
    fn images(&self) -> Vec<Utf8PathBuf> {
        let disk = self.disk();
        let vmdk = |kind| ["-O", "vmdk", "-o", kind];
        let stream = self.convert(&disk, "s.vmdk", &vmdk("subformat=streamOptimized"));
        let (ovf, vmx) = (self.path.join("a.ovf"), self.path.join("a.vmx"));
        std::fs::write(&ovf, vmware::descriptor(&export_spec(), 5).render()).unwrap();
        std::fs::write(&vmx, vmware::machine(&export_spec()).render()).unwrap();
        vec![
            self.convert(&disk, "a.qcow2", &["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
            self.convert(&disk, "m.vmdk", &vmdk("subformat=monolithicSparse")),
            self.ova(&stream),
            self.zst(&disk),
            stream,
            disk,
            ovf,
            vmx,
        ]
    }
}

#[test]
fn the_same_disk_is_found_in_every_format() {
    let folder = Folder::new();
    let mut seen = Vec::new();
    for image in folder.images() {
        let found = inspect(&image, Depth::Files).unwrap();
        assert_eq!(found.problems, Vec::<String>::new(), "{image}");
        let kind = serde_json::to_value(&found.kind).unwrap()["format"].as_str().unwrap().to_owned();
        if let Some(disk) = found.disk {
            assert_eq!(disk.virtual_size, 8 << 20, "{image}");
            let table = disk.table.unwrap();
            assert_eq!(table.guid, "5ce9d1f8-0000-4000-8000-000000000001");
            let shape =
                table.partitions.iter().map(|p| (p.name.as_str(), p.start, p.size)).collect::<Vec<_>>();
            assert_eq!(shape, [("bios-boot", 1 << 20, 1 << 20), ("esp", 2 << 20, 2 << 20)]);
            assert_eq!((disk.bios_loader.as_deref(), disk.uefi_loader), (Some("GRUB"), true), "{image}");
        }
        seen.push(kind);
    }
    assert_eq!(seen, ["qcow2", "vmdk", "ova", "zst", "vmdk", "raw", "ovf", "vmx"]);
}

#[test]
fn a_package_shows_its_machine_and_a_changed_disk_is_detected() {
    let folder = Folder::new();
    let vmdk = folder.convert(&folder.disk(), "s.vmdk", &["-O", "vmdk", "-o", "subformat=streamOptimized"]);
    let ova = folder.ova(&vmdk);
    let ImageKind::Ova(facts) = inspect(&ova, Depth::Files).unwrap().kind else { panic!("an OVA") };
    assert_eq!(facts.digests_hold, 2);
    let machine = facts.machine.unwrap();
    assert_eq!((machine.controllers, machine.cards), (vec!["AHCI".into()], vec!["E1000".into()]));
    assert_eq!(machine.forwards, ["gateway 127.0.0.1:3002 -> 3002", "ssh 127.0.0.1:2223 -> 22"]);
    let member = ova::locate_disk(&ova).unwrap();
    let file = File::options().write(true).open(&ova).unwrap();
    file.write_all_at(b"x", member.offset + member.size - 1).unwrap();
    let problems = inspect(&ova, Depth::Files).unwrap().problems;
    assert!(problems[0].starts_with("the SHA-256 of rave-debian-simple-disk1.vmdk is "), "{problems:?}");
}

#[test]
fn special_files_are_refused_immediately() {
    let folder = Folder::new();
    let pipe = folder.path.join("pipe");
    Cmd::new("mkfifo").arg(pipe.as_str()).output().unwrap();
    for path in [&pipe, &folder.path, Utf8Path::new("/dev/zero")] {
        let error = inspect(path, Depth::Files).unwrap_err().to_string();
        assert_eq!(error, format!("{path}: it is not a regular file"));
    }
}

#[test]
fn no_other_file_is_opened() {
    let folder = Folder::new();
    let overlay = folder.path.join("o.qcow2");
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/dev/zero", overlay.as_str(), "1M"];
    Cmd::new("qemu-img").args(arguments).output().unwrap();
    let found = inspect(&overlay, Depth::Files).unwrap();
    assert_eq!(found.disk, None);
    assert!(found.problems[0].starts_with("it needs another file"), "{:?}", found.problems);
}

/// Truncated or garbled, every kind gets a report, with or without problems, and nothing panics.
#[test]
fn damaged_images_are_reported_without_a_panic() {
    let folder = Folder::new();
    let images: Vec<Vec<u8>> = folder.images().iter().map(|image| std::fs::read(image).unwrap()).collect();
    let damage =
        (0..images.len(), any::<prop::sample::Index>(), any::<[u8; 8]>(), any::<bool>(), 0_usize..2048);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let target = folder.path.join("damaged");
    let run = runner.run(&damage, |(which, cut, noise, truncate, at)| {
        let mut bytes = images[which].clone();
        if truncate {
            bytes.truncate(cut.index(bytes.len()));
        } else {
            let at = at.min(bytes.len() - noise.len());
            bytes[at..at + noise.len()].copy_from_slice(&noise);
        }
        std::fs::write(&target, bytes).unwrap();
        inspect(&target, Depth::Files).unwrap();
        Ok(())
    });
    run.unwrap();
}

proptest! {
    #[test]
    fn random_headers_are_refused(mut bytes in proptest::collection::vec(any::<u8>(), 512..1024)) {
        bytes[..8].copy_from_slice(b"EFI PART");
        if let Some(header) = gpt::Header::parse(&bytes) {
            let _ = header.table(&bytes);
        }
        bytes[..4].copy_from_slice(&qcow2::MAGIC);
        let _ = qcow2::Header::parse(&bytes);
        let _ = loaders::has_uefi(&bytes);
        let _ = iso_facts(&bytes);
    }
}
