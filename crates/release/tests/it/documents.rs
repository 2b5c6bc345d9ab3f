//! Documents of a release: its schema, its notes, and nothing about the host.

use std::fs;

use rave_release::cut;
use rave_release::dsse::Envelope;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, files};

#[test]
fn the_manifest_matches_its_strict_schema() {
    let fixture = or_skip!(Fixture::new());
    let mut plan = fixture.plan("release");
    plan.part_limit = 100 << 10;
    fixture.cut(&plan).unwrap();
    let schema = include_str!("../../../../docs/release-manifest.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = fs::read_to_string(plan.out.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let errors: Vec<String> = validator.iter_errors(&manifest).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    for (pointer, value) in [
        ("/schema", serde_json::json!(2)),
        ("/commit", serde_json::json!("x")),
        ("/profiles/0/artifacts/0/files/0/name", serde_json::json!("../a")),
        ("/profiles/0/artifacts/0/files/0/size", serde_json::json!(-1)),
        ("/profiles/0/artifacts/0/format", serde_json::json!("vdi")),
    ] {
        let mut wrong = manifest.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&wrong), "{pointer}");
    }
}

#[test]
fn releases_of_one_commit_have_equal_manifests_and_sboms() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu, Format::Raw]));
    let plans = ["one", "two"].map(|name| fixture.plan(name));
    for plan in &plans {
        fixture.cut(plan).unwrap();
    }
    let same = files(&plans[0].out)
        .into_iter()
        .filter(|file| file == "manifest.json" || file.starts_with("sbom/") || file.starts_with("rave-"));
    let mut count = 0;
    for file in same {
        assert!(
            fs::read(plans[0].out.join(&file)).unwrap() == fs::read(plans[1].out.join(&file)).unwrap(),
            "{file}"
        );
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn no_host_details_are_written() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Vmware]));
    let folder = fixture.release();
    let place = fixture.path("");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for file in files(&folder) {
        let bytes = fs::read(folder.join(&file)).unwrap();
        // A short host name occurs inside words.
        let words = [place.as_str().trim_end_matches('/'), "/home/builder", host.trim()];
        for word in words.into_iter().filter(|word| word.len() > 6) {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{word} is in {file}");
        }
    }
    // A .vmx contains the disk's name in the release.
    let machine = fs::read_to_string(folder.join("rave-1.2.0-headless-x86_64.vmx")).unwrap();
    assert!(machine.contains("\"rave-1.2.0-headless-x86_64.vmdk\""), "{machine}");
}

#[test]
fn notes_have_changes_omissions_and_how_to_verify() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let first = fixture.release();
    let mut plan = fixture.plan("second");
    plan.version = "1.3.0".parse().unwrap();
    plan.second_build = false;
    plan.own_settings = vec!["guest.password".into()];
    plan.previous = Some(first.clone());
    // An earlier release with different packages.
    let bill = first.join("sbom/rave-1.2.0-headless-x86_64.cdx.json");
    let text = fs::read_to_string(&bill).unwrap();
    let text = text.replace("bash@5.2.37-2%2Bb10", "bash@5.2.36-1").replace("bsdutils", "old");
    fs::write(&bill, text).unwrap();
    fixture.cut(&plan).unwrap();
    let notes = fs::read_to_string(plan.out.join("RELEASE_NOTES.md")).unwrap();
    for text in [
        "# RAVE 1.3.0\n",
        "has the password of the sources",
        "It was built once",
        "It was built with settings that its commit does not have: `guest.password`.",
        "- Something new.",
        "- `headless`: the bills of materials give the licences of ",
        "## Packages of `headless` since 1.2.0",
        "- deb/debian/bash 5.2.36-1 -> 5.2.37-2+b10",
        "Added: 1\n\n- deb/debian/bsdutils 1:2.41.5-0+deb13u1",
        "Removed: 1\n\n- deb/debian/old",
        "| headless | qemu-bios | tcg | 6.5 | 6.5 | 1 |",
        "rave verify . --key KEY.allowed_signers --expect 1.3.0",
        "ssh-keygen -Y verify",
    ] {
        assert!(notes.contains(text), "no {text:?} in:\n{notes}");
    }
    let provenance = fs::read_to_string(plan.out.join("provenance.intoto.jsonl")).unwrap();
    let envelope = Envelope::parse(provenance.lines().next().unwrap().as_bytes()).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&envelope.payload).unwrap();
    let own = statement.pointer("/predicate/buildDefinition/externalParameters/ownSettings");
    assert_eq!(own, Some(&serde_json::json!(["guest.password"])));
    assert!(!fixture.calls.lock().unwrap().contains_key("second"));
    let finished = cut::work_folder(&plan.out);
    assert!(!finished.exists());
}
