//! Real small disks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_testing::or_skip;

use super::*;

/// A disk with a FAT and an ext4 partition, each with files, and an MBR.
fn disk(folder: &Utf8Path) -> Result<Utf8PathBuf, String> {
    const FAT: u32 = 2048;
    const ROOT: u32 = 6144;
    let tree = folder.join("tree/etc");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("hostname"), "sandbox\n").unwrap();
    std::os::unix::fs::symlink("hostname", tree.join("link")).unwrap();
    fs::write(folder.join("hello.txt"), "hello").unwrap();
    let path = folder.join("disk.img");
    let file = File::create(&path).unwrap();
    file.set_len(12 << 20).unwrap();
    let entry = |kind: u8, start: u32, size: u32| {
        let mut entry = vec![0, 0, 0, 0, kind, 0, 0, 0];
        entry.extend(start.to_le_bytes());
        entry.extend(size.to_le_bytes());
        entry
    };
    file.write_all_at(&entry(0xef, FAT, 4096), 446).unwrap();
    file.write_all_at(&entry(0x83, ROOT, 16384), 462).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    let run = |arguments: &[&str]| {
        let done = Cmd::new(arguments[0]).args(arguments[1..].iter().copied()).output();
        done.map(drop).map_err(|error| format!("{} failed: {error}", arguments[0]))
    };
    let at = format!("{}@@{}", path, FAT * 512);
    run(&["mformat", "-i", &at, "-T", "4096", "-h", "16", "-s", "32", "::"])?;
    run(&["mmd", "-i", &at, "::EFI"])?;
    run(&["mcopy", "-i", &at, folder.join("hello.txt").as_str(), "::EFI/hello.txt"])?;
    run(&["mattrib", "+h", "-i", &at, "::EFI/hello.txt"])?;
    let offset = format!("offset={}", ROOT * 512);
    let root = folder.join("tree");
    run(&["mke2fs", "-q", "-F", "-t", "ext4", "-E", &offset, "-d", root.as_str(), path.as_str(), "8M"])?;
    Ok(path)
}

fn shown(disk: &Utf8Path) -> (Vec<FileSystem>, Vec<String>) {
    let mut seen = Vec::new();
    let found = files(disk, &mut |path, entry| {
        seen.push(match entry {
            Visited::File { size, content } => {
                let mut text = String::new();
                content.read_to_string(&mut text)?;
                assert_eq!(text.len() as u64, size);
                format!("{path}: {text}")
            }
            Visited::Link { target } => format!("{path} -> {}", String::from_utf8_lossy(target)),
            Visited::Other => path.to_owned(),
        });
        Ok(())
    });
    (found.unwrap(), seen)
}

#[test]
fn every_file_of_every_file_system_is_listed_in_every_container() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let disk = or_skip!(disk(folder));
    let expected =
        ["EFI", "EFI/hello.txt: hello", "", "etc", "etc/hostname: sandbox\n", "etc/link -> hostname"];
    let (found, seen) = shown(&disk);
    assert_eq!(
        found.iter().map(|one| (one.kind, one.files)).collect::<Vec<_>>(),
        [(Kind::Fat, 1), (Kind::Ext4, 1)]
    );
    assert_eq!(
        seen.iter().filter(|line| *line != "lost+found").collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    for (format, options) in [("qcow2", "compression_type=zstd"), ("vmdk", "subformat=streamOptimized")] {
        let packed = folder.join(format!("disk.{format}"));
        let arguments = ["convert", "-f", "raw", "-O", format, "-o", options, disk.as_str(), packed.as_str()];
        or_skip!(Cmd::new("qemu-img").args(arguments).output().map_err(|error| error.to_string()));
        let opened = open(&packed).unwrap();
        assert_eq!(shown(opened.disk.as_ref().unwrap()), (found.clone(), seen.clone()), "{format}");
    }
    let packed = folder.join("disk.img.zst");
    let arguments = ["-q", "-o", packed.as_str(), disk.as_str()];
    or_skip!(Cmd::new("zstd").args(arguments).output().map_err(|error| error.to_string()));
    assert_eq!(shown(open(&packed).unwrap().disk.as_ref().unwrap()), (found, seen));
    fs::write(folder.join("a.vmx"), "config.version = \"8\"\n").unwrap();
    assert!(open(&folder.join("a.vmx")).unwrap().disk.is_none());
}

#[test]
fn a_truncated_image_is_an_error_and_not_an_empty_disk() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let disk = or_skip!(disk(folder));
    let packed = folder.join("disk.qcow2");
    let arguments = ["convert", "-f", "raw", "-O", "qcow2", disk.as_str(), packed.as_str()];
    or_skip!(Cmd::new("qemu-img").args(arguments).output().map_err(|error| error.to_string()));
    let file = File::options().write(true).open(&packed).unwrap();
    file.set_len(fs::metadata(&packed).unwrap().len() / 2).unwrap();
    assert!(open(&packed).is_err());
    // A root file system with an intact super block and damaged tables.
    let file = File::options().write(true).open(&disk).unwrap();
    file.write_all_at(&vec![0xff; 2 << 20], 6144 * 512 + 2048).unwrap();
    assert!(files(&disk, &mut |_, _| Ok(())).is_err());
}
