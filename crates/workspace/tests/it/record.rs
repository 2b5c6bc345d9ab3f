//! The record of a workspace follows the sandbox: to forks, into snapshots, and back.

use std::fs;
use std::time::Duration;

use rave_workspace::Error;
use rave_workspace::apply::Outcome;
use rave_workspace::record::{Place, Record};

use crate::fixture::Bench;

const SOON: Duration = Duration::from_millis(50);

#[test]
fn a_copy_is_complete_or_absent_and_replaces_the_old_one() {
    let bench = Bench::new();
    bench.ours("a", "a\n");
    bench.push();
    let other = bench.sandbox().with_file_name("other");
    fs::create_dir_all(other.join("workspace/contents")).unwrap();
    fs::write(other.join("workspace/apply.json"), "of another").unwrap();
    // What a killed copy left.
    fs::create_dir_all(other.join(".workspace.new/contents")).unwrap();
    fs::write(other.join(".workspace.new/base.json"), "half").unwrap();
    bench.place.copy_to(&other).unwrap();
    assert_eq!(Record::get(&Place::new(&other)).unwrap(), bench.record());
    assert!(!other.join(".workspace.new").exists() && !other.join("workspace/apply.json").exists());

    // A copy that fails leaves the previous one in place.
    fs::remove_file(bench.sandbox().join("workspace/base.json")).unwrap();
    fs::create_dir(bench.sandbox().join("workspace/base.json")).unwrap();
    assert!(bench.place.copy_to(&other).is_err());
    assert!(Record::get(&Place::new(&other)).is_ok() && !other.join(".workspace.new").exists());
}

#[test]
fn a_folder_in_use_is_not_copied_and_waiters_get_the_current_one() {
    let bench = Bench::new();
    bench.ours("a", "a\n");
    bench.push();
    let other = bench.sandbox().with_file_name("other");
    fs::create_dir(&other).unwrap();
    let lock = bench.place.lock().unwrap();
    assert!(matches!(bench.place.hold(SOON), Err(Error::Busy)));
    drop(lock);
    let held = bench.place.hold(SOON).unwrap();
    assert!(matches!(bench.place.try_lock(SOON), Err(Error::Busy)));
    held.copy_to(&other).unwrap();

    // A restore replaces the folder while another command waits.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| bench.place.lock().unwrap());
        std::thread::sleep(SOON);
        fs::remove_dir_all(bench.sandbox().join("workspace")).unwrap();
        fs::rename(other.join("workspace"), bench.sandbox().join("workspace")).unwrap();
        drop(held);
        let _lock = waits.join().unwrap();
        assert!(
            matches!(bench.place.try_lock(SOON), Err(Error::Busy)),
            "the lock is that of the current folder"
        );
    });
}

#[test]
fn a_merge_base_older_than_the_disk_loses_nothing() {
    let bench = Bench::new();
    bench.ours("a", "a\n");
    bench.push();
    let other = bench.sandbox().with_file_name("other");
    fs::create_dir(&other).unwrap();
    bench.place.copy_to(&other).unwrap();
    // A push between the copy of the base and the snapshot of the disk.
    bench.ours("b", "b\n");
    bench.push();
    fs::remove_dir_all(bench.sandbox().join("workspace")).unwrap();
    fs::rename(other.join("workspace"), bench.sandbox().join("workspace")).unwrap();
    let outcomes = bench.apply();
    assert!(outcomes.values().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    assert_eq!((bench.read("a"), bench.read("b")), ("a\n".to_owned(), "b\n".to_owned()));
}
