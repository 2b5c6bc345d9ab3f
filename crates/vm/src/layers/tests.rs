use super::*;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use crate::moment::{Moment, Saved};
use rave_process::Cmd;

const BYTES: u64 = 1 << 20;

struct Disk {
    _scratch: tempfile::TempDir,
    root: Utf8PathBuf,
    layers: Layers,
    on: Utf8PathBuf,
}

fn io(file: &Utf8Path, command: &str) -> String {
    let done = Cmd::new("qemu-io").args(["-f", "qcow2", "-c", command, file.as_str()]).output().unwrap();
    done.text()
}

/// Writes a byte throughout one 64 KiB piece of a disk.
fn write(file: &Utf8Path, piece: u32, byte: u8) {
    assert!(io(file, &format!("write -P {byte} {}k 64k", piece * 64)).contains("wrote"));
}

fn has(file: &Utf8Path, piece: u32, byte: u8) -> bool {
    !io(file, &format!("read -P {byte} {}k 64k", piece * 64)).contains("Pattern verification failed")
}

impl Disk {
    /// An image with a byte in its first piece, and a layer over it.
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        let folder = root.join("disk");
        fs::create_dir(&folder).unwrap();
        let on = folder.join("base.qcow2");
        let create = ["create", "-q", "-f", "qcow2", on.as_str(), "1M"];
        Cmd::new("qemu-img").args(create).output().unwrap();
        fs::write(folder.join("base.json"), "{}").unwrap();
        write(&on, 0, 1);
        let layers = Layers::at(&folder);
        let disk = Self { _scratch: scratch, root, layers, on };
        disk.begin(on_name(&disk.on));
        disk
    }

    /// Creates the active layer, as the start of a machine does.
    fn begin(&self, backing: &str) {
        overlay_of_size(&self.layers.active().unwrap(), backing, BYTES).unwrap();
    }
}

fn on_name(on: &Utf8Path) -> &str {
    on.file_name().unwrap()
}

#[test]
fn a_fork_keeps_its_disk_when_its_parent_changes_or_is_removed() {
    let disk = Disk::new();
    write(&disk.layers.active().unwrap(), 1, 2);
    let top = disk.layers.freeze(&disk.on).unwrap();
    assert_eq!((top, disk.layers.number().unwrap(), disk.layers.height().unwrap()), (Some(0), 1, 2));
    let moment = Moment::at(&disk.root.join("moment"));
    assert!(moment.check().is_err());
    moment.take_disk(&disk.layers, top).unwrap();
    assert!(!moment.exists(), "without a note it does not exist");
    moment.finish(&disk.layers, top).unwrap();
    assert_eq!(moment.check().unwrap(), Saved::Disk);
    disk.begin("disk.qcow2");
    write(&disk.layers.active().unwrap(), 1, 3);

    let fork = Layers::at(&disk.root.join("fork"));
    moment.begin_disk(fork.folder()).unwrap();
    assert_eq!((fork.number().unwrap(), fork.active().unwrap().exists()), (1, false));
    let half = share(&disk.layers.file(0));
    assert!(half > 0 && half * 3 <= fs::metadata(disk.layers.file(0)).unwrap().blocks() * 512);
    for gone in [disk.layers.folder(), moment.folder()] {
        fs::remove_dir_all(gone).unwrap();
    }
    overlay_of_size(
        &fork.active().unwrap(),
        fork.backing_layer().unwrap().unwrap().file_name().unwrap(),
        BYTES,
    )
    .unwrap();
    let active = fork.active().unwrap();
    assert!(has(&active, 0, 1) && has(&active, 1, 2) && has(&active, 2, 0));
}

#[test]
fn many_layers_are_merged_and_shared_ones_kept() {
    let disk = Disk::new();
    for number in 0..3_u8 {
        write(&disk.layers.active().unwrap(), u32::from(number) + 1, number + 5);
        let top = disk.layers.freeze(&disk.on).unwrap();
        assert_eq!(top, Some(u32::from(number)));
        disk.begin(on_name(&disk.layers.backing_layer().unwrap().unwrap()));
    }
    let other = disk.root.join("other");
    fs::hard_link(disk.layers.file(1), &other).unwrap();
    write(&disk.layers.active().unwrap(), 1, 9);
    assert_eq!(disk.layers.height().unwrap(), 4);
    disk.layers.collapse(&disk.on).unwrap();
    assert_eq!((disk.layers.height().unwrap(), disk.layers.backing_layer().unwrap()), (1, None));
    let active = disk.layers.active().unwrap();
    assert!([(0, 1), (1, 9), (2, 6), (3, 7)].into_iter().all(|(piece, byte)| has(&active, piece, byte)));
    assert!(!disk.layers.file(1).exists() && other.exists());
    // It can be frozen again.
    assert_eq!(disk.layers.freeze(&disk.on).unwrap(), Some(3));
}

#[test]
fn an_unused_layer_is_removed() {
    let disk = Disk::new();
    let new = disk.layers.put_on(0, BYTES).unwrap();
    assert_eq!((disk.layers.active().unwrap(), disk.layers.number().unwrap()), (new.clone(), 1));
    // If the process is killed now, the disk's contents are the same.
    write(&disk.layers.file(0), 4, 4);
    assert!(has(&new, 4, 4));
    disk.layers.take_off(0).unwrap();
    assert!(disk.layers.number().unwrap() == 0 && !new.exists());
    // An unreadable note must not cause writes to a layer that others use.
    fs::write(disk.layers.note_file(), "{").unwrap();
    assert!(disk.layers.active().is_err());
}

#[test]
fn a_killed_freeze_leaves_no_writable_shared_layer() {
    let disk = Disk::new();
    let mode = |number| fs::metadata(disk.layers.file(number)).unwrap().mode() & 0o777;
    // The note is written, but the mode is not set.
    disk.layers.activate(1).unwrap();
    assert!(mode(0) & ANY_WRITE != 0);
    assert_eq!(disk.layers.freeze(&disk.on).unwrap(), Some(0));
    assert_eq!(mode(0), FROZEN);
    // The same, and the machine was started since.
    disk.begin("disk.qcow2");
    fs::set_permissions(disk.layers.file(0), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(disk.layers.freeze(&disk.on).unwrap(), Some(1));
    assert_eq!([mode(0), mode(1)], [FROZEN, FROZEN]);
    // The mode cannot be set: the layer is no longer the active one.
    disk.begin("disk-1.qcow2");
    fs::remove_file(disk.layers.file(0)).unwrap();
    assert!(disk.layers.freeze(&disk.on).is_err());
    assert_eq!(disk.layers.number().unwrap(), 3);
}

#[test]
fn a_layer_that_is_open_for_writing_is_never_shared() {
    let folder = tempfile::tempdir().unwrap();
    let layers = Layers::at(Utf8Path::from_path(folder.path()).unwrap());
    let file = |number| fs::metadata(layers.file(number)).unwrap();
    for number in [0, 1] {
        fs::write(layers.file(number), "as it was frozen").unwrap();
    }
    let qemus = OpenOptions::new().write(true).open(layers.file(1)).unwrap();
    layers.part(1).unwrap();
    qemus.write_all_at(b"too late", 0).unwrap();
    assert_eq!(fs::read_to_string(layers.file(1)).unwrap(), "as it was frozen");
    assert_eq!([file(0), file(1)].map(|about| about.mode() & 0o777), [FROZEN, FROZEN]);
    // Once is enough: others may have linked to it by now.
    let before = [file(0), file(1)].map(|about| about.ino());
    layers.part(1).unwrap();
    assert_eq!([file(0), file(1)].map(|about| about.ino()), before);
}

#[test]
fn layers_that_name_other_files_are_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let (layers, on) = (Layers::at(folder), folder.join("base.qcow2"));
    fs::write(folder.join("secret"), vec![7; 1 << 16]).unwrap();
    let bytes = 1 << 20;
    for (file, backing) in [(&on, "secret"), (&layers.file(0), "base.qcow2")] {
        overlay_of_size(file, backing, bytes).unwrap();
    }
    layers.put_on(0, bytes).unwrap();
    // Each has the name that it should have.
    layers.check_names(layers.note().unwrap(), &on).unwrap();
    for name in ["secret", "../base.qcow2", "json:{}"] {
        overlay_of_size(&layers.file(0), name, bytes).unwrap();
        let error = layers.collapse(&on).unwrap_err().to_string();
        assert!(error.contains("disk.qcow2") && error.contains(name), "{error}");
    }
    // Data in another file.
    let header = OpenOptions::new().write(true).open(layers.file(1)).unwrap();
    header.write_all_at(&[1 << 2], 79).unwrap();
    let error = layers.collapse(&on).unwrap_err().to_string();
    assert!(error.contains("disk-1.qcow2") && error.contains("not a layer"), "{error}");
}
