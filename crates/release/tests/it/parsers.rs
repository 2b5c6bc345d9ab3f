//! Parsers of untrusted input accept or refuse any bytes quickly.

use rave_release::cut::ReleasePart;
use rave_release::dsse::{Envelope, IN_TOTO};
use rave_release::fuzzing::PARSERS;
use rave_release::inputs::{entries, write};
use rave_release::key::SigningKey;
use rave_release::key_statement::{KeyChange, KeyStatement};
use rave_release::sbom::{Algorithm, Component, Hash, Inventory, cyclonedx, purl};
use rave_release::statement::{SLSA, Statement, Subject};
use rave_release::{manifest, signers, sshsig};
use rave_testing::parsers::{Sample, feed_any, feed_mutated, save_seeds};

const MANIFEST: &str = r#"{"schema":1,"name":"rave","version":"1.2.0","base":"debian","commit":"0123","source_date_epoch":1,
"profiles":[{"profile":"headless","arch":"x86_64","default_password":false,"artifacts":[{"format":"raw","files":[{"name":"a.img.zst",
"size":3,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","unpacked":{"size":9,"sha256":
"0000000000000000000000000000000000000000000000000000000000000000"},"parts":[{"name":"a.img.zst.part-000","size":3,"sha256":
"0000000000000000000000000000000000000000000000000000000000000000"}]}]}],"bills":[]}]}"#;

fn named_samples() -> Vec<Sample> {
    PARSERS.iter().map(|(name, _)| *name).zip(samples()).collect()
}

/// A valid sample for each parser, in their order.
fn samples() -> Vec<Vec<u8>> {
    let [key, other] = ["a", "b"].map(|name| SigningKey::in_memory(name).unwrap());
    let digest = rave_image::digest::Digest::of_bytes(b"");
    let predicate = serde_json::json!({"runDetails": {"metadata": {"finishedOn": "2026-11-28T12:00:00Z"}}});
    let statement = Statement::new(SLSA, vec![Subject::new("a", digest)], predicate).to_bytes();
    let envelope = Envelope::sign(IN_TOTO, statement.clone(), &[&key]).unwrap().to_json();
    let change = KeyChange::Rotate { successor: other.public().clone(), principal: "b".into() };
    let rotation = KeyStatement { key: key.public().clone(), serial: 1, change };
    let rotation = rotation.sign(&[&key, &other]).unwrap().to_json() + "\n";
    let component = Component {
        purl: purl::npm("@scope/tool", "1"),
        name: "@scope/tool".into(),
        version: "1".into(),
        hashes: vec![Hash { algorithm: Algorithm::Sha256, value: digest.to_string() }],
        licence: None,
    };
    let bill = cyclonedx::render(&Inventory::new("a".into(), "1".into(), 0, vec![component]));
    vec![
        envelope.into(),
        sshsig::sign(&key, b"message").unwrap().into(),
        MANIFEST.into(),
        format!("{digest}  a\n{digest}  sbom/b\n").into(),
        statement,
        rotation.into(),
        signers::line("me", key.public()).into(),
        bill.into(),
        part(),
        archive(),
        patch(),
        packed(),
    ]
}

/// A patch between two disks of 64 KiB.
fn patch() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let folder = camino::Utf8Path::from_path(folder.path()).unwrap();
    let older = vec![7; 1 << 16];
    let mut newer = older.clone();
    newer[9000..12_000].fill(0);
    newer[20_480..32_768].fill(0);
    let disk = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).unwrap();
        let sha256 = rave_image::digest::Digest::of_bytes(bytes);
        serde_json::json!({"version": name, "size": bytes.len(), "sha256": sha256})
    };
    let (base, target) = (disk("1.2.0", &older), disk("1.3.0", &newer));
    let header = serde_json::json!({
        "schema": 1, "profile": "headless", "base": base, "target": target, "name": "a.img", "chunk": 16384, "reach": 4096,
        "conversions": [{"format": "qemu", "name": "a.qcow2", "disk": 65536, "sha256": target["sha256"], "tool": "qemu-img", "version": "10"}]
    });
    let header = rave_release::patch::Header::parse(header.to_string().as_bytes()).unwrap();
    let open = |name: &str| std::fs::File::open(folder.join(name)).unwrap();
    let path = folder.join("a.patch");
    rave_release::patch::make(&header, (&open("1.2.0"), &open("1.3.0")), &path).unwrap();
    std::fs::read(path).unwrap()
}

/// An archive with an empty file, one of three bytes, and zeros after the last member.
fn packed() -> Vec<u8> {
    [crate::newc::archive(&[("./init", b"abc"), ("etc/empty", b"")]), vec![0; 64]].concat()
}

/// The description of a part with the manifest's profile.
fn part() -> Vec<u8> {
    let manifest: serde_json::Value = serde_json::from_str(MANIFEST).unwrap();
    let part = serde_json::json!({
        "schema": 1, "version": "1.2.0", "base": "debian", "commit": "0123", "source_date_epoch": 1,
        "second_build": true, "part_limit": 9, "has_claude": true, "started": 1, "sources": [], "profiles": manifest["profiles"],
        "reports": [rave_image::digest::Digest::of_bytes(b"")], "searched": [{"disks": 1, "files": 2}],
        "inputs": {"name": "inputs.tar", "size": 1, "sha256": rave_image::digest::Digest::of_bytes(b"")}
    });
    part.to_string().into_bytes()
}

fn archive() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let folder = camino::Utf8Path::from_path(folder.path()).unwrap();
    let inputs = crate::fixture::inputs(folder);
    let target = folder.join("inputs.tar");
    write(&inputs, &rave_release::inputs::Index::new(entries(&inputs).unwrap()), 1, &target).unwrap();
    std::fs::read(target).unwrap()
}

#[test]
fn each_sample_is_accepted() {
    let samples = samples();
    assert_eq!(samples.len(), PARSERS.len());
    assert!(Envelope::parse(&samples[0]).is_ok());
    assert!(sshsig::Signature::parse(&samples[1]).is_ok());
    manifest::Manifest::parse(&samples[2]).unwrap();
    assert!(Statement::parse(&samples[4]).unwrap().finished().is_some());
    assert!(rave_release::sbom::diff::packages(&samples[7]).unwrap().contains_key("npm/@scope/tool"));
    ReleasePart::parse("part".into(), &samples[8]).unwrap();
    rave_release::inputs::read(&mut samples[9].as_slice(), &mut |_, _| Ok(())).unwrap();
    rave_release::patch::read_header(&mut samples[10].as_slice()).unwrap();
    save_seeds(&named_samples());
}

#[test]
fn mutated_samples_are_parsed_or_refused_quickly() {
    feed_mutated(PARSERS, &named_samples());
}

#[test]
fn any_bytes_are_parsed_or_refused() {
    feed_any(PARSERS);
}
