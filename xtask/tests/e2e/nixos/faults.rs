//! Failing builds and unusable versions of nix, and how they are reported.

use super::project::Project;
use super::test_nix;
use crate::tool::{finish, wait_until};
use rave_testing::or_skip;

#[test]
fn a_failed_build_shows_its_last_lines_and_the_path_of_the_log() {
    let project = or_skip!(Project::new());
    let failed = project.image(&["--profile", "simple", "--format", "qemu"]);
    failed.expect_code(4).expect_said("-rave-broken.drv' failed with exit code 3");
    let lines: Vec<&str> = failed.stderr.lines().filter(|line| line.starts_with("    line ")).collect();
    assert_eq!((lines.len(), lines[0], lines[39]), (40, "    line 30", "    line 69"));
    assert!(!project.out("simple").join("manifest.json").exists());

    let command =
        failed.stderr.lines().find_map(|line| line.split_once("nix log ")).expect("nix log is named");
    let log = project.nix(&["log", command.1]);
    assert_eq!(log.expect_code(0).stdout.lines().count(), 60);
    assert!(project.log().contains("rave-broken> line 10\n"), "{}", project.log());
}

#[test]
fn an_evaluation_error_points_to_this_project_and_is_logged_completely() {
    let project = or_skip!(Project::new());
    let failed = project.image(&["--profile", "full", "--format", "raw"]);
    failed.expect_code(4).expect_said("error: the flake does not evaluate: the configuration is wrong\n");
    failed.expect_said("\n  rave.toml: vm.memory: missing\n  from wrong.nix:5:1\n");
    assert!(
        !failed.stderr.contains("while calling") && !failed.stderr.contains("/store/"),
        "{}",
        failed.stderr
    );
    assert!(project.log().contains("while calling the 'throw' builtin"), "{}", project.log());

    let failed = project.image(&["--profile", "full", "--format", "vmware"]);
    failed.expect_code(4).expect_said("does not provide attribute").expect_said("git add");
}

#[test]
fn an_output_without_its_file_is_named() {
    let project = or_skip!(Project::new());
    let failed = project.image(&["--profile", "simple", "--format", "raw"]);
    failed.expect_code(4).expect_said("-rave-empty contains no raw: nixos.img is missing");
    assert!(!project.out("simple").join("manifest.json").exists());
}

#[test]
fn an_interrupted_build_leaves_no_process_and_no_final_file() {
    let project = or_skip!(Project::new());
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(130)), ("KILL", None)] {
        let arguments = ["image", "--base", "nixos", "--profile", "full", "--format", "qemu"];
        let child = project.xtask(&arguments).start_until("build: started");
        wait_until("the builder runs", || project.is_built_now("rave-slow"));
        child.signal(signal);
        assert_eq!(child.wait().code(), code, "{signal}");
        wait_until("every process is gone", || project.processes().is_empty());
        assert!(!project.out("full").join("manifest.json").exists(), "{signal}");
    }
    // The next build needs no manual cleanup.
    project.image(&["--profile", "headless", "--format", "iso"]).expect_code(0);
}

#[test]
fn a_nix_without_flakes_is_not_ready() {
    let project = or_skip!(Project::new());
    for features in ["", "nix-command"] {
        let mut command = project.xtask(&["image", "--base", "nixos", "--format", "iso"]);
        command.env("NIX_CONFIG", format!("experimental-features = {features}"));
        let refused = finish(&command);
        refused.expect_code(3).expect_said("error: flakes are disabled in nix\n");
        refused.expect_said("experimental-features = nix-command flakes");
    }
}

#[test]
fn an_old_nix_is_not_ready() {
    let project = or_skip!(Project::with_nix_of(test_nix::OLD));
    let refused = project.image(&["--format", "iso"]);
    refused.expect_code(3).expect_said("error: nix 2.8 is too old: 2.18 or newer is needed\n");
}

#[test]
fn the_default_base_is_nixos_where_nix_works_and_debian_elsewhere() {
    let project = or_skip!(Project::new());
    let arguments = ["run", "--no-build", "--headless", "--profile", "headless"];
    let chosen = finish(&project.xtask(&arguments));
    chosen.expect_code(4).expect_said("using the nixos base: nix (Nix) 2.").expect_said("out/nixos-headless");

    let mut command = project.xtask(&arguments);
    command.env("NIX_CONFIG", "experimental-features =");
    let chosen = finish(&command);
    chosen
        .expect_code(4)
        .expect_said("using the debian base: flakes are disabled in nix; to use nixos: put this line");
    chosen.expect_said("out/debian-headless");
}
