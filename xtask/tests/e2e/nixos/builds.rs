//! What is built, where it goes, and what is reused.

use rave_testing::or_skip;
use std::fs;

use super::project::Project;
use crate::tool::finish;

const FILES: [&str; 7] =
    ["nixos.qcow2", "nixos.ova", "nixos.vmdk", "nixos.vmx", "nixos-vmware.ova", "nixos.img", "nixos.iso"];

fn manifest(project: &Project) -> serde_json::Value {
    let text = fs::read_to_string(project.out("headless").join("manifest.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn one_nix_command_builds_every_format_as_in_the_manifest() {
    let project = or_skip!(Project::new());
    let built = project.image(&["--profile", "headless", "--format", "all"]);
    built.expect_code(0).expect_said("these 7 derivations will be built");
    built.expect_said("evaluation: done in").expect_said("7 of 7 builds");
    let out = project.out("headless");
    let paths: Vec<String> = FILES.iter().map(|name| out.join(name).display().to_string()).collect();
    assert_eq!(built.stdout.lines().collect::<Vec<_>>(), paths);

    let manifest = manifest(&project);
    assert_eq!((&manifest["schema"], &manifest["base"]), (&4.into(), &"nixos".into()));
    let outputs = manifest["outputs"].as_array().unwrap();
    let formats: Vec<&str> = outputs.iter().map(|output| output["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["qemu", "virtualbox", "vmware", "raw", "iso"]);
    for output in outputs {
        assert!(output["drv_path"].as_str().unwrap().contains("-rave-"), "{output}");
        assert!(output["nar_hash"].as_str().unwrap().starts_with("sha256-"), "{output}");
        assert!(output["closure_size"].as_u64().unwrap() > 30_000, "{output}");
    }
    assert_eq!(manifest["packages"][0]["name"], "bash");
    for file in paths {
        let inspected = finish(&project.xtask(&["inspect", "--no-content", "--json", &file]));
        let found: serde_json::Value = serde_json::from_str(&inspected.expect_code(0).stdout).unwrap();
        assert_eq!(found["manifest"]["result"], "same", "{file}: {found}");
    }

    let second = project.image(&["--profile", "headless", "--format", "all"]);
    second.expect_code(0).expect_said("nothing changed: all artifacts are up to date");
    assert!(!second.stderr.contains("build: started"), "{}", second.stderr);
    project.image(&["--profile", "headless", "--offline", "--format", "qemu"]).expect_code(0);
    assert!(project.log().starts_with("$ nix build '.#qemu-headless' "), "{}", project.log());
    assert!(project.log().lines().next().unwrap().ends_with(" --offline"), "{}", project.log());
}

#[test]
fn a_second_build_is_compared_with_the_first() {
    let project = or_skip!(Project::new());
    let same = project.image(&["--profile", "headless", "--format", "qemu,raw", "--check-reproducible"]);
    same.expect_code(0).expect_said("both builds produced the same bytes");
    assert!(same.stdout.contains("nixos.qcow2") && same.stdout.contains("nixos.img"), "{}", same.stdout);
    let other = project.image(&["--profile", "cloud", "--format", "raw", "--check-reproducible"]);
    other.expect_code(1).expect_said("rave-disk.drv' may not be deterministic");
}

#[test]
fn only_unlinked_outputs_are_garbage_collected() {
    let project = or_skip!(Project::new());
    project.image(&["--profile", "headless", "--format", "qemu,raw"]).expect_code(0);
    assert_eq!(project.roots().len(), 2);
    project.nix(&["store", "gc"]).expect_code(0);
    let disk = project.out("headless").join("nixos.qcow2");
    assert!(fs::metadata(&disk).is_ok(), "the garbage collector deleted {}", disk.display());

    fs::remove_dir_all(project.out("headless")).unwrap();
    let store = fs::read_link(&project.roots()[0]).unwrap();
    // The next build of any profile removes its root.
    project.image(&["--profile", "simple", "--format", "raw"]).expect_code(4);
    project.nix(&["store", "gc"]).expect_code(0);
    assert!(!store.exists(), "{} still exists", store.display());
}

#[test]
fn formats_of_the_same_flake_are_kept_and_others_removed() {
    let project = or_skip!(Project::new());
    let commit = project.commit_of_head();
    project.image(&["--profile", "headless", "--format", "raw"]).expect_code(0);
    project.image(&["--profile", "headless", "--format", "iso"]).expect_code(0);
    let formats = |manifest: &serde_json::Value| -> Vec<String> {
        let artifacts = manifest["artifacts"].as_array().unwrap().iter();
        artifacts.map(|artifact| artifact["format"].as_str().unwrap().to_owned()).collect()
    };
    let manifest_now = manifest(&project);
    assert_eq!(formats(&manifest_now), ["raw", "iso"]);
    assert_eq!(manifest_now["flake_revision"], commit.as_str());

    // The flake has changed, and this build does not include the raw disk: the existing one is from the previous flake.
    let flake = project.checkout().join("flake.nix");
    let text = fs::read_to_string(&flake).unwrap().replace("is made of", "is made now of");
    fs::write(&flake, text).unwrap();
    project.image(&["--profile", "headless", "--format", "iso"]).expect_code(0);
    let manifest_now = manifest(&project);
    assert_eq!(formats(&manifest_now), ["iso"]);
    assert_eq!(manifest_now["flake_revision"], format!("{commit}-dirty"));
    assert!(!project.out("headless").join("nixos.img").exists());
    assert_eq!(project.roots().len(), 1);
}

#[test]
fn a_changed_artifact_is_rebuilt_and_never_booted() {
    let project = or_skip!(Project::new());
    let vmware = ["--profile", "headless", "--format", "vmware"];
    project.image(&vmware).expect_code(0);
    let machine = project.out("headless").join("nixos.vmx");
    let before = fs::read_to_string(&machine).unwrap();
    fs::write(&machine, before.to_uppercase()).unwrap();
    let run = project.xtask(&[&["run", "--base", "nixos", "--headless", "--no-build"], &vmware[..]].concat());
    finish(&run).expect_code(4).expect_said("nixos.vmx is not what its manifest describes");
    project.image(&vmware).expect_code(0).expect_said("it is recreated");
    assert_eq!(fs::read_to_string(&machine).unwrap(), before);
}

#[test]
fn a_nixos_manifest_is_not_a_lock() {
    let project = or_skip!(Project::new());
    project.image(&["--profile", "headless", "--format", "iso"]).expect_code(0);
    let manifest = project.out("headless").join("manifest.json");
    let run = project.xtask(&["image", "--locked", manifest.to_str().unwrap()]);
    finish(&run).expect_code(2).expect_said("is of the nixos base");
}
