//! What `doctor` reports of an installed nix; and an image built by nix is booted and checked like any other.

use rave_testing::or_skip;
use std::fs;

use super::project::Project;
use crate::tool::{HEADLESS, finish, shared_cache, shared_out};

#[test]
fn doctor_reports_the_installed_nix() {
    let project = or_skip!(Project::new());
    let mut doctor = project.xtask(&["doctor", "--json"]);
    doctor.env("RAVE_BASE", "nixos").env("RAVE_NIXOS_SUBSTITUTERS", "file:///nowhere");
    let doctor_output = finish(&doctor);
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&doctor_output.stdout).expect(&doctor_output.stderr);
    let row = |name: &str| {
        let found = rows.iter().find(|row| row["name"] == name);
        found.unwrap_or_else(|| panic!("no row {name} in {rows:?}"))
    };
    assert_eq!((&row("nix")["state"], &row("nix")["found"]), (&"ok".into(), &"nix (Nix) 2.26.3".into()));
    let store = row("nix store")["found"].as_str().unwrap();
    assert!(store.contains("MiB in ") && store.ends_with("/nix/store"), "{store}");
    assert!(!row("nix builders")["found"].as_str().unwrap().is_empty());
    // In single-user mode the store trusts its owner.
    assert_eq!(row("nix user")["found"], "trusted");
    assert!(rows.iter().all(|row| row["name"] != "mmdebstrap"), "only the Debian base needs it");
}

#[test]
fn images_built_by_nix_are_booted_and_checked() {
    let project = or_skip!(Project::new());
    shared_cache(HEADLESS);
    // The fixture's disk is empty, so a bootable one replaces it; builds are not sandboxed here and can read its path.
    let disk = shared_out(HEADLESS).join("rave-debian-headless.qcow2");
    let flake = project.checkout().join("flake.nix");
    let text = fs::read_to_string(&flake).unwrap();
    let bootable = format!(
        r#"qemu-headless = build "rave-bootable" "mkdir $out; cp '{}' $out/nixos.qcow2";"#,
        disk.display()
    );
    let other = text.replace(r#"qemu-headless = of "qemu" "nixos.qcow2";"#, &bootable);
    assert_ne!(other, text);
    fs::write(&flake, other).unwrap();
    // The flake does not see this file, so the image has a different password.
    fs::write(project.checkout().join("rave.local.toml"), "[guest]\npassword = \"of-no-image\"\n").unwrap();
    let checks = "ssh-key,ssh-password,clean-shutdown";
    let smoked =
        finish(&project.xtask(&["smoke", "--base", "nixos", "--profile", HEADLESS, "--only", checks]));
    smoked.expect_code(0);
    assert!(smoked.stderr.contains("say of guest.password is not in the image"), "{}", smoked.stderr);
    assert!(smoked.stdout.contains("nixos.qcow2 as qemu-bios under "), "{}", smoked.stdout);
    assert!(smoked.stdout.contains("3 passed, 0 failed"), "{}", smoked.stdout);
}
