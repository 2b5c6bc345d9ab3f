//! `inspect` on the guest's files.

use crate::command::Command;
use std::fs;

use crate::tool::{HEADLESS, Place, finish, shared_cache, shared_out, stages_of};

/// Where the root file system starts on every disk.
const ROOT: u64 = rave_image::disk::layout::Layout::ROOT_START;

fn inspected(place: &Place, image: &std::path::Path, code: i32) -> serde_json::Value {
    let mut command = place.xtask(&["inspect", "--json"]);
    command.arg(image);
    let found = finish(&command);
    found.expect_code(code);
    serde_json::from_str::<serde_json::Value>(&found.stdout).unwrap()["content"].clone()
}

#[test]
fn inspect_lists_the_guests_files_and_detects_a_changed_one() {
    let stages = shared_cache(HEADLESS).join("stages");
    let place = Place::new();
    let name = "rave-debian-headless.qcow2";
    let artifact = shared_out(HEADLESS).join(name);
    let content = inspected(&place, &artifact, 0);
    assert_eq!(content["result"], "same", "{content}");

    let disk = stages_of(HEADLESS).into_iter().find(|name| name.starts_with("disk-")).unwrap();
    let (changed, manifest) = (place.path(name), "manifest.json");
    let mut copy = Command::new("cp");
    copy.arg("--sparse=always").arg(stages.join(disk).join("disk.raw")).arg(&changed);
    assert!(copy.status().unwrap().success());
    fs::copy(shared_out(HEADLESS).join(manifest), place.path(manifest)).unwrap();
    let image = format!("{}?offset={ROOT}", changed.display());
    let request = "set_inode_field /etc/hostname mode 0100600";
    assert!(
        Command::new("/usr/sbin/debugfs").args(["-w", "-R", request, &image]).status().unwrap().success()
    );
    let content = inspected(&place, &changed, 1);
    assert_eq!(content["result"], "differs", "{content}");
    assert_ne!(content["sha256"], content["manifest"]);
}

/// From these the notes of a release mark security fixes.
#[test]
fn the_image_has_the_changelogs_of_its_packages() {
    let stages = shared_cache(HEADLESS).join("stages");
    let disk = stages_of(HEADLESS).into_iter().find(|name| name.starts_with("disk-")).unwrap();
    let image = format!("{}?offset={ROOT}", stages.join(disk).join("disk.raw").display());
    let request = "stat /usr/share/doc/nginx/changelog.Debian.gz";
    let found = Command::new("/usr/sbin/debugfs").args(["-R", request, &image]).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("Type: regular"), "{found}");
}
