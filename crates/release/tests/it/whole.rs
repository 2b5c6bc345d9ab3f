//! A release from its artifacts to the proof.

use rave_testing::or_skip;

use crate::fixture::{Fixture, files};

#[test]
fn a_release_verifies_until_a_byte_is_flipped() {
    let fixture = or_skip!(Fixture::new());
    let folder = fixture.release();
    let verdict = fixture.verify(&folder);
    assert_eq!(verdict.problems, []);
    assert_eq!(verdict.signer.unwrap().principal, "releases");
    let found = files(&folder);
    for name in [
        "RELEASE_NOTES.md",
        "SHA256SUMS",
        "SHA256SUMS.sig",
        "manifest.json",
        "provenance.intoto.jsonl",
        "rave-1.2.0-headless-x86_64-vmware.ova",
        "rave-1.2.0-headless-x86_64.img.zst",
        "rave-1.2.0-headless-x86_64.qcow2",
        "sbom/rave-1.2.0-headless-x86_64.cdx.json",
        "sbom/rave-1.2.0-headless-x86_64.spdx.json",
        "smoke/headless/report.json",
    ] {
        assert!(found.iter().any(|file| file == name), "{name}: {found:?}");
    }
    let disk = folder.join("rave-1.2.0-headless-x86_64.qcow2");
    let mut bytes = std::fs::read(&disk).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&disk, bytes).unwrap();
    let problems = fixture.verify(&folder).problems;
    let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(messages, ["rave-1.2.0-headless-x86_64.qcow2: its SHA-256 is not the one in SHA256SUMS"]);
}
