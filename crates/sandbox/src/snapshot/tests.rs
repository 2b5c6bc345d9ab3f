use super::*;
use crate::store::Store;
use rave_process::Cmd;

struct Stopped {
    _scratch: tempfile::TempDir,
    place: Place,
    lock: LifeLock,
}

/// A stopped sandbox, with a layer over an image.
fn stopped() -> Stopped {
    let scratch = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(scratch.path()).unwrap();
    let img = |words: &[&str]| drop(Cmd::new("qemu-img").args(words).output().unwrap());
    let image = root.join("image.qcow2");
    img(&["create", "-q", "-f", "qcow2", image.as_str(), "1M"]);
    let store = Store::new(root);
    let name: SandboxName = "demo".parse().unwrap();
    let (lock, place) = (store.claim(&name, &mut || {}).unwrap(), store.place(&name));
    place.disk().hold(&image, "d").unwrap();
    fs::write(place.disk().folder().join("manifest.json"), "{}").unwrap();
    begin(&place, "base.qcow2");
    Stopped { _scratch: scratch, place, lock }
}

/// Creates the active layer, as a start does.
fn begin(place: &Place, beneath: &str) {
    let active = place.layers().active().unwrap();
    let words = ["create", "-q", "-f", "qcow2", "-u", "-b", beneath, "-F", "qcow2", active.as_str(), "1M"];
    Cmd::new("qemu-img").args(words).output().unwrap();
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn take_one(sandbox: &Stopped, text: &str) -> Result<Taken, Error> {
    take(&sandbox.place, None, &label(text), &mut |to| keep(sandbox.place.folder(), to), &sandbox.lock)
}

/// Stands in for a workspace's record.
fn keep(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    private_dir(&to.join("workspace"))?;
    copy(&from.join("workspace/base.json"), &to.join("workspace/base.json"))
}

fn prepare_one(sandbox: &Stopped, label: &Label) -> Result<Restoring, Error> {
    prepare(&sandbox.place, label, &mut |from, to| keep(from, to), &sandbox.lock)
}

fn restore(sandbox: &Stopped, label: &Label) -> Result<Saved, Error> {
    prepare_one(sandbox, label)?.commit(&sandbox.lock)
}

/// Sets the files that are restored with the disk.
fn set(place: &Place, what: &str) {
    private_dir(&place.folder().join("workspace")).unwrap();
    fs::write(place.folder().join("workspace/base.json"), what).unwrap();
    fs::write(place.identity(), what).unwrap();
}

/// The number of the active layer, the identities and the workspace.
fn state(place: &Place) -> (u32, [Option<String>; 3]) {
    let text = |path: &Utf8Path| fs::read_to_string(path).ok();
    let base = place.folder().join("workspace/base.json");
    (
        place.layers().number().unwrap(),
        [&place.identity(), &place.identity_before(), &base].map(|path| text(path)),
    )
}

fn all(what: &str) -> [Option<String>; 3] {
    [Some(what.to_owned()), None, Some(what.to_owned())]
}

#[test]
fn files_of_a_disk_are_saved_before_the_cut_and_restored_with_it() {
    let sandbox = stopped();
    let place = &sandbox.place;
    set(place, "then");
    let mut cut = None;
    let mut keep_late = |to: &Utf8Path| {
        cut = Some(place.layers().number().unwrap());
        keep(place.folder(), to)
    };
    take(place, None, &label("one"), &mut keep_late, &sandbox.lock).unwrap();
    assert_eq!((cut, place.layers().number().unwrap()), (Some(0), 1));
    begin(place, "disk.qcow2");
    take_one(&sandbox, "two").unwrap();
    set(place, "now");
    restore(&sandbox, &label("one")).unwrap();
    assert_eq!(state(place), (1, all("then")));
}

#[test]
fn memory_is_distinguished_from_disks() {
    let sandbox = stopped();
    let place = &sandbox.place;
    take_one(&sandbox, "one").unwrap();
    let disk = sizes(place).disk;
    fs::write(folder(place, &label("one")).join("memory"), vec![1; 1 << 20]).unwrap();
    let sizes = sizes(place);
    assert!(disk > 0 && sizes.disk == disk && sizes.memory >= 1 << 20, "{sizes:?}");
    let current = crate::state::current_state(place);
    assert_eq!(current.saved_memory, sizes.memory);
    assert!(current.disk < sizes.memory && list(place).unwrap()[0].bytes == sizes.disk + sizes.memory);
}

#[test]
fn a_killed_or_failed_restore_is_complete_or_absent() {
    let sandbox = stopped();
    let place = &sandbox.place;
    set(place, "then");
    take_one(&sandbox, "one").unwrap();
    begin(place, "disk.qcow2");
    take_one(&sandbox, "two").unwrap();
    set(place, "now");
    let (one, now) = (label("one"), (2, all("now")));
    // Failures while preparing, and preparing without committing.
    let failed = prepare(place, &one, &mut |_, _| Err(unknown(place, &one)), &sandbox.lock);
    assert!(failed.is_err() && state(place) == now && !place.folder().join("disk.new").exists());
    drop(prepare_one(&sandbox, &one).unwrap());
    assert!(state(place) == now && !place.folder().join("disk.new").exists());
    // Killed before the exchange.
    std::mem::forget(prepare_one(&sandbox, &one).unwrap());
    crate::restore::finish(place, &sandbox.lock).unwrap();
    assert!(state(place) == now && !place.folder().join("disk.new").exists());
    // Killed after the exchange, and after each of the following steps.
    for steps in 0..3 {
        restore(&sandbox, &label("two")).unwrap();
        set(place, "now");
        std::mem::forget(prepare_one(&sandbox, &one).unwrap());
        let (disk, new, other) =
            (place.disk().folder().to_owned(), place.folder().join("disk.new"), place.folder().join("x"));
        for (from, to) in [(&disk, &other), (&new, &disk), (&other, &new)] {
            fs::rename(from, to).unwrap();
        }
        if steps > 0 {
            fs::remove_dir_all(place.folder().join("workspace")).unwrap();
        }
        if steps > 1 {
            fs::rename(disk.join("restored/workspace"), place.folder().join("workspace")).unwrap();
            fs::copy(disk.join("restored/identity.json"), place.identity()).unwrap();
        }
        crate::restore::finish(place, &sandbox.lock).unwrap();
        assert_eq!(state(place), (1, all("then")), "after {steps} steps");
        assert!(
            !new.exists() && !disk.join("restored").exists() && !place.folder().join("restored.old").exists()
        );
    }
}

#[test]
fn a_label_is_a_valid_folder_name() {
    let long = "a".repeat(64);
    for bad in ["", "..", ".new", "a/b", "A", &long] {
        let error = bad.parse::<Label>().unwrap_err().to_string();
        assert!(error.contains("not a name for a snapshot"), "{error}");
    }
    assert_eq!(label("before-2").to_string(), "before-2");
}

#[test]
fn a_restore_brings_back_disk_and_identity() {
    let sandbox = stopped();
    let place = &sandbox.place;
    fs::write(place.identity(), "then").unwrap();
    let taken = take_one(&sandbox, "one").unwrap();
    assert_eq!((taken.saved, place.layers().number().unwrap()), (Saved::Disk, 1));
    begin(place, "disk.qcow2");
    let error = take_one(&sandbox, "one").unwrap_err().to_string();
    assert!(error.contains("already has a snapshot one"), "{error}");
    take_one(&sandbox, "two").unwrap();
    begin(place, "disk-1.qcow2");
    fs::write(place.identity(), "now").unwrap();

    assert_eq!(restore(&sandbox, &label("one")).unwrap(), Saved::Disk);
    assert_eq!(place.layers().number().unwrap(), 1);
    assert!(!place.layers().active().unwrap().exists(), "later writes are gone");
    assert_eq!(fs::read_to_string(place.identity()).unwrap(), "then");
    assert!(place.disk().base().is_some() && !place.identity_before().exists());
    // It can be restored again, and so can the later snapshot.
    restore(&sandbox, &label("two")).unwrap();
    assert_eq!(place.layers().number().unwrap(), 2);
    remove(place, &label("two"), &sandbox.lock).unwrap();
    assert!(place.layers().file(1).exists(), "the disk has its own hard links");
    let labels: Vec<String> = list(place).unwrap().iter().map(|one| one.label.to_string()).collect();
    assert_eq!(labels, ["one"]);
    let error = restore(&sandbox, &label("two")).unwrap_err();
    assert!(matches!(error, Error::UnknownSnapshot { .. }), "{error}");
}

#[test]
fn leftovers_are_ignored_and_damage_is_reported_before_any_loss() {
    let sandbox = stopped();
    let place = &sandbox.place;
    private_dir(&place.snapshots()).unwrap();
    let half = place.snapshots().join(".new");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("memory"), "half").unwrap();
    assert!(list(place).unwrap().is_empty());
    take_one(&sandbox, "one").unwrap();
    assert!(!half.exists() && !folder(place, &label("one")).join("memory").exists());
    begin(place, "disk.qcow2");
    let active = place.layers().active().unwrap();
    fs::remove_file(folder(place, &label("one")).join("moment.json")).unwrap();
    assert!(list(place).unwrap()[0].damage.is_some());
    let error = restore(&sandbox, &label("one")).unwrap_err().to_string();
    assert!(error.contains("is damaged") && active.exists(), "{error}");
    // A failed snapshot leaves nothing behind.
    let failed = take(place, None, &label("two"), &mut |_| Err(unknown(place, &label("x"))), &sandbox.lock);
    assert!(failed.is_err() && !half.exists() && list(place).unwrap().len() == 1);
}

#[test]
fn a_killed_removal_is_completed_by_the_next_snapshot() {
    let sandbox = stopped();
    set(&sandbox.place, "one");
    let left = sandbox.place.snapshots().join(OLD);
    private_dir(&sandbox.place.snapshots()).unwrap();
    fs::create_dir(&left).unwrap();
    fs::write(left.join("memory"), "of a removed snapshot").unwrap();
    take_one(&sandbox, "one").unwrap();
    assert!(!left.exists());
}
