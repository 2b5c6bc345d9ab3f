//! `image` under faults: killed, interrupted, twice at once, disk full, no network.

use crate::command::Command;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::stage::{OTHER_FORMATS, STAGES};
use crate::tool::{HEADLESS, Place, copy_checkout, finish, shared_cache, wait_until};

/// The stage left nothing under a final name.
fn expect_nothing_finished(place: &Place, stage: &str) {
    let finished = |folder: &str, prefix: &str| -> Vec<String> {
        let entries = fs::read_dir(place.path(folder)).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .filter(|name| name.starts_with(prefix) && !name.ends_with(".partial"))
            .collect()
    };
    assert_eq!(finished("cache/stages", &format!("{stage}-")), Vec::<String>::new());
    assert_eq!(finished("out", "rave-"), Vec::<String>::new());
    assert_eq!(finished("out", "manifest"), Vec::<String>::new());
}

#[test]
fn a_kill_at_any_stage_leaves_no_process_and_no_final_file() {
    for (stage, before) in STAGES {
        let place = Place::new();
        place.seed(before);
        let child = place.image(&[]).start_until(&format!("{stage}: started"));
        child.signal("KILL");
        child.wait();
        place.expect_no_process();
        expect_nothing_finished(&place, stage);

        // The next run needs no manual cleanup: it redoes the killed stage. The slowest one is taken from the shared
        // cache.
        place.seed(if *stage == "rootfs" { &["rootfs", "disk"] } else { &["disk"] });
        finish(&place.image(&[])).expect_code(0);
        assert_eq!(place.unfinished(), Vec::<std::path::PathBuf>::new());
        assert_eq!(fs::read_dir(place.path("cache/scratch")).map_or(0, Iterator::count), 0);
    }
}

#[test]
fn ctrl_c_at_any_stage_ends_with_130_and_cleans_up_at_once() {
    for (stage, before) in STAGES {
        let place = Place::new();
        place.seed(before);
        let child = place.image(&[]).start_until(&format!("{stage}: started"));
        child.signal("INT");
        assert_eq!(child.wait().code(), Some(130), "{stage}");
        place.expect_no_process();
        expect_nothing_finished(&place, stage);
        assert_eq!(place.unfinished(), Vec::<std::path::PathBuf>::new(), "{stage}");
    }
}

#[test]
fn an_interrupt_in_any_other_format_leaves_no_final_file() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest", "disk"]);
    for stage in OTHER_FORMATS {
        let child = place.image(&["--format", stage]).start_until(&format!("{stage}: started"));
        wait_until("it is being written", || {
            place.unfinished().iter().any(|path| path.starts_with(place.path("out")))
        });
        child.signal("KILL");
        child.wait();
        place.expect_no_process();
        expect_nothing_finished(&place, "vmdk");

        let child = place.image(&["--format", stage]).start_until(&format!("{stage}: started"));
        child.signal("INT");
        assert_eq!(child.wait().code(), Some(130), "{stage}");
        place.expect_no_process();
        expect_nothing_finished(&place, "vmdk");
        assert_eq!(place.unfinished(), Vec::<std::path::PathBuf>::new(), "{stage}");
    }
}

#[test]
fn a_second_build_waits_and_names_the_holder() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest"]);
    let first = place.image(&[]).start_until("disk: started");
    let second = place.image(&[]).start_until("waiting for another build (process ");
    let waiting_for = place.processes();
    assert!(waiting_for.contains_key(&first.id()));
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn a_changed_artifact_is_named_with_its_digest_and_rebuilt() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest", "disk"]);
    finish(&place.image(&[])).expect_code(0);
    let artifact = place.path("out/rave-debian-headless.qcow2");
    let whole = fs::read(&artifact).unwrap();
    finish(&place.image(&[])).expect_code(0).expect_said("nothing changed");

    let mut edited = whole.clone();
    edited[1 << 20] ^= 1;
    fs::write(&artifact, edited).unwrap();
    for command in ["run", "smoke"] {
        let mut refused = place.xtask(&[command, "--base", "debian", "--out"]);
        refused.arg(place.path("out"));
        finish(&refused).expect_code(4).expect_said("is not what its manifest describes: its SHA-256 is ");
    }
    finish(&place.image(&[])).expect_code(0).expect_said("its SHA-256 is ").expect_said("it is recreated");
    assert!(fs::read(&artifact).unwrap() == whole, "the same inputs give the same bytes");

    fs::write(&artifact, &whole[..whole.len() / 2]).unwrap();
    let output = finish(&place.image(&[]));
    output.expect_code(0).expect_said(&format!("the manifest says {}", whole.len()));
    assert!(fs::read(&artifact).unwrap() == whole);
}

/// A command with a small tmpfs mounted over a folder, in a separate mount namespace.
fn on_small_disk(place: &Place, folder: &str, mebibytes: u64, arguments: &[&str]) -> Command {
    on_disk_that_fills(place, folder, mebibytes, 0, arguments)
}

/// The same, with a file of another program that takes `taken` MiB once the disk, or an artifact, is being written.
fn on_disk_that_fills(
    place: &Place,
    folder: &str,
    mebibytes: u64,
    taken: u64,
    arguments: &[&str],
) -> Command {
    let folder = place.path(folder);
    fs::create_dir_all(&folder).unwrap();
    // The existing stages stay accessible beside the small disk.
    let seeded = place.path("cache/stages");
    let aside = place.path("aside");
    if seeded.is_dir() && folder == place.path("cache") {
        fs::rename(&seeded, &aside).unwrap();
    }
    let script = r#"
        set -e
        mount -t tmpfs -o size="$2"m tmpfs "$1"
        if [ -d "$3" ]; then mkdir "$1/stages"; for entry in "$3"/*; do ln -s "$entry" "$1/stages/"; done; fi
        if [ "$4" -gt 0 ]; then
            (until [ -e "$1"/stages/disk-*.partial/disk.raw ] || [ -e "$1"/.rave-debian-*.partial ] || ! kill -0 $$
             do sleep 0.02; done
             exec dd if=/dev/zero of="$1/taken" bs=1M count="$4") >/dev/null 2>&1 &
        fi
        shift 4
        exec "$@"
    "#;
    // Packages contain files of many owners, so a user needs the subordinate ids of subuid(5) as well.
    let namespace: &[&str] =
        if is_root() { &["--mount"] } else { &["--mount", "--map-root-user", "--map-auto"] };
    let mut command = Command::new("unshare");
    command
        .args(namespace)
        .args(["sh", "-c", script, "sh"])
        .arg(&folder)
        .arg(mebibytes.to_string())
        .arg(&aside)
        .arg(taken.to_string());
    place.image(arguments).behind(&command)
}

pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

#[test]
fn too_little_space_is_reported_before_writing() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest"]);
    let output = finish(&on_small_disk(&place, "cache", 64, &[]));
    output
        .expect_code(4)
        .expect_said("not enough space in ")
        .expect_said(": need ")
        .expect_said("remedy: free some space");
}

#[test]
fn a_disk_that_fills_up_during_the_image_leaves_no_files() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest"]);
    // Enough space when it is checked, but only 64 MiB when it is written.
    let room = 2048;
    let output = finish(&on_disk_that_fills(&place, "cache", room, room - 64, &[]));
    output.expect_code(4).expect_said("mke2fs").expect_said("remedy: the disk is full");
    expect_nothing_finished(&place, "disk");
}

#[test]
fn a_disk_that_fills_up_during_the_artifact_leaves_no_files() {
    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest", "disk"]);
    // Smaller than any compressed result: reported before anything is written.
    let output = finish(&on_small_disk(&place, "out", 100, &[]));
    output.expect_code(4).expect_said("not enough space in ").expect_said(": need ");

    let place = Place::new();
    place.seed(&["rootfs", "tools", "guest", "disk"]);
    let room = 1024;
    let output = finish(&on_disk_that_fills(&place, "out", room, room - 64, &[]));
    output.expect_code(4).expect_said("qemu-img convert").expect_said("remedy: the disk is full");
}

#[test]
fn a_small_tmpdir_is_skipped_and_a_full_disk_below_the_tar_is_reported() {
    let place = Place::new();
    place.seed(&["tools", "guest"]);
    let checkout = place.path("checkout");
    copy_checkout(&checkout);
    // Few packages, so that the tar is written soon: their files fit, the tar does not.
    fs::write(checkout.join("rave.local.toml"), "[debian]\npackages = [\"less\"]\n").unwrap();
    let mut command = on_small_disk(&place, "cache", 64, &[]);
    // The cache itself is the small disk, and accessible to others.
    command.env("TMPDIR", place.path("cache")).current_dir(&checkout);
    let output = finish(&command);
    output.expect_code(4).expect_said("mmdebstrap").expect_said("remedy: the disk is full");
    expect_nothing_finished(&place, "rootfs");
}

/// mmdebstrap, apt and dpkg see these names; few packages, so that the tree is unpacked quickly.
#[test]
fn cache_and_temporary_folders_may_contain_spaces() {
    let place = Place::new();
    place.seed(&["tools", "guest"]);
    let [checkout, cache, temporary] = ["checkout", "a cache", "an 'ä' folder"].map(|name| place.path(name));
    copy_checkout(&checkout);
    fs::write(checkout.join("rave.local.toml"), "[debian]\npackages = [\"less\"]\n").unwrap();
    fs::rename(place.path("cache"), &cache).unwrap();
    fs::create_dir(&temporary).unwrap();
    fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = place.image(&[]);
    command.env("RAVE_CACHE", &cache).env("TMPDIR", &temporary).current_dir(&checkout);
    // The log has mmdebstrap's message about the folder that it unpacked in.
    finish(&command).expect_code(0).expect_said("rootfs: done in");
    let log = fs::read_to_string(place.path("state/logs/rootfs.log")).unwrap();
    assert!(log.contains("an 'ä' folder/"), "{log}");
}

/// A user becomes root of a namespace with all its subordinate ids, because a build as root needs more than one.
fn without_network() -> &'static [&'static str] {
    if is_root() { &["--net"] } else { &["--net", "--map-root-user", "--map-auto"] }
}

#[test]
fn without_a_network_a_new_build_fails_clearly_and_a_cached_one_works() {
    let offline = |place: &Place| {
        let out = place.path("out");
        let arguments = ["image", "--base", "debian", "--out", out.to_str().unwrap()];
        place.xtask_by("unshare", without_network(), &arguments)
    };
    let place = Place::new();
    place.seed(&["tools", "guest"]);
    finish(&offline(&place)).expect_code(4).expect_said("remedy: the package archive could not be reached");
    place.seed(&["rootfs"]);
    finish(&offline(&place)).expect_code(0);
}

/// An image with only a few packages, built quickly; without a kernel it does not boot.
fn small_image(
    place: &Place,
    checkout: &std::path::Path,
    network: bool,
    arguments: &[&str],
) -> crate::tool::Finished {
    let out = place.path("out");
    let all = [&["image", "--base", "debian", "--out", out.to_str().unwrap()], arguments].concat();
    let mut command =
        if network { place.xtask(&all) } else { place.xtask_by("unshare", without_network(), &all) };
    command.current_dir(checkout);
    finish(&command)
}

#[test]
fn an_unavailable_package_is_replaced_or_refused_and_downloads_are_reused() {
    let place = Place::new();
    place.seed(&["tools", "guest"]);
    let checkout = place.path("checkout");
    copy_checkout(&checkout);
    fs::write(checkout.join("rave.local.toml"), "[debian]\npackages = [\"less\"]\n").unwrap();
    // `less` in a version that never existed, in a lock that covers it.
    let file = checkout.join("debian.lock");
    let lock = fs::read_to_string(&file).unwrap();
    let less = lock.lines().find(|line| line.starts_with("package less ")).unwrap();
    let version = less.split(' ').nth(2).unwrap();
    let unavailable = less.replacen(version, "0.made-up", 1);
    let lock: Vec<String> = lock
        .lines()
        .map(|line| match line.split_once(' ') {
            Some(("profile", rest)) if rest.starts_with("headless ") => "profile headless less".to_owned(),
            _ => line.replace(less, &unavailable),
        })
        .collect();
    fs::write(&file, lock.join("\n") + "\n").unwrap();

    let frozen = small_image(&place, &checkout, true, &["--frozen"]);
    frozen.expect_code(4).expect_said("less 0.made-up: the archive has ").expect_said("cargo xtask update");
    let offline = small_image(&place, &checkout, false, &["--offline"]);
    offline.expect_code(4).expect_said("not in the cache").expect_said("without --offline");

    let first = small_image(&place, &checkout, true, &[]);
    first.expect_said("less: 0.made-up of debian.lock is no longer available; using ");
    first.expect_code(0).expect_said("rootfs: done in");
    fs::remove_dir_all(place.path("out")).unwrap();
    for entry in fs::read_dir(place.path("cache/stages")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("rootfs-") {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
    let second = small_image(&place, &checkout, false, &["--offline"]);
    second.expect_code(0).expect_said("rootfs: done in");
    assert!(!second.stderr.contains("packages: started"), "nothing is fetched twice:\n{}", second.stderr);
}

#[test]
fn an_unwritable_cache_is_named() {
    if is_root() {
        // Root can write everywhere; a read-only mount is the equivalent of a closed folder.
        let place = Place::new();
        fs::create_dir_all(place.path("cache")).unwrap();
        let script = r#"mount -t tmpfs -o ro tmpfs "$1"; shift; exec "$@""#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(place.path("cache"));
        finish(&place.image(&[]).behind(&command)).expect_code(4).expect_said("Read-only file system");
    } else {
        let place = Place::new();
        fs::create_dir_all(place.path("cache")).unwrap();
        fs::set_permissions(place.path("cache"), fs::Permissions::from_mode(0o500)).unwrap();
        finish(&place.image(&[])).expect_code(4).expect_said("Permission denied");
    }
}

#[test]
fn an_unchanged_build_is_fast_and_a_changed_setting_reruns_only_its_stages() {
    let place = Place::new();
    shared_cache(HEADLESS);
    place.seed(&["rootfs", "tools", "guest", "disk"]);
    finish(&place.image(&[])).expect_code(0);
    let repeated = finish(&place.image(&[]));
    repeated.expect_code(0).expect_said("nothing changed");
    assert!(!repeated.stderr.contains("reused"), "no stage is even looked up:\n{}", repeated.stderr);
    fs::remove_file(place.path("out/rave-debian-headless.qcow2")).unwrap();
    finish(&place.image(&[])).expect_code(0).expect_said("disk: reused").expect_said("qemu: done in");

    let mut port = place.image(&[]);
    port.env("RAVE_GUEST_USER", "worker");
    let output = finish(&port);
    output
        .expect_code(0)
        .expect_said("rootfs: reused")
        .expect_said("tools: reused")
        .expect_said("guest: reused");
    output.expect_said("disk: done in").expect_said("qemu: done in");
    wait_until("the old artifact is replaced", || place.path("out/rave-debian-headless.qcow2").exists());
}
