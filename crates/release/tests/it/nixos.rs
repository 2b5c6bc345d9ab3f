//! A release of the NixOS base: the flake's names, and a raw disk that it did not compress.

use std::fs;

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_image::formats::zst::MAGIC;
use rave_image::manifest::{ArtifactFile, NixPackage, NixosOrigin, Origin};
use rave_process::Cmd;
use rave_release::cut::{self, ReleasePart};
use rave_release::rebuild;
use rave_spec::{Base, Format};
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, files};

const BEFORE: &str = "rave-debian-headless";

/// Turns the fixture's build into what the flake leaves: files of a fixed name, and no compressed disk.
fn as_the_flake_builds(fixture: &mut Fixture) {
    let folder = fixture.built.out_dir.clone();
    let renamed = |file: &ArtifactFile| {
        let name = file.name.replace(BEFORE, "nixos");
        let (from, to) = (folder.join(&file.name), folder.join(&name));
        if to.extension() == Some("vmx") {
            let text = fs::read_to_string(&from).unwrap().replace(BEFORE, "nixos");
            fs::write(&to, text).unwrap();
        } else {
            fs::rename(&from, &to).unwrap();
        }
        ArtifactFile { name, size: fs::metadata(&to).unwrap().len(), sha256: Digest::of_file(&to).unwrap() }
    };
    let manifest = &mut fixture.built.manifest;
    for artifact in &mut manifest.artifacts {
        let plain = artifact.files.iter().filter(|file| Utf8Path::new(&file.name).extension() != Some("zst"));
        let files: Vec<_> = plain.map(renamed).collect();
        artifact.files = files.try_into().unwrap();
    }
    manifest.origin = Origin::Nixos(NixosOrigin {
        flake_revision: Some("0123456789".into()),
        flake_nar_hash: "sha256-d".into(),
        nix_version: "nix (Nix) 2.26.3".into(),
        outputs: Vec::new(),
        packages: vec![NixPackage {
            name: "bash".into(),
            version: "5.3p9".into(),
            output: None,
            nar_sha256: Digest::of_bytes(b"bash"),
        }],
        payload: false,
    });
    manifest.write(&folder).unwrap();
}

#[test]
fn a_release_of_the_nixos_base_is_cut_joined_and_verified() {
    let mut fixture = or_skip!(Fixture::new());
    as_the_flake_builds(&mut fixture);
    let mut plan = fixture.plan("release");
    (plan.base, plan.second_build, plan.inputs) = (Base::Nixos, false, false);
    fixture.cut(&plan).unwrap();
    let verdict = fixture.verify(&plan.out);
    assert_eq!(verdict.problems, []);
    let manifest = verdict.manifest.unwrap();
    assert_eq!((manifest.base, manifest.profiles[0].content), (Base::Nixos, None));
    let found = files(&plan.out);
    for ending in [".qcow2", ".ova", "-vmware.ova", ".vmx", ".vmdk", ".img.zst"] {
        let name = format!("rave-1.2.0-headless-x86_64{ending}");
        assert!(found.contains(&name), "{name}: {found:?}");
    }
    // The closure's packages are in the bills.
    let bill = fs::read_to_string(plan.out.join("sbom/rave-1.2.0-headless-x86_64.cdx.json")).unwrap();
    assert!(bill.contains("\"pkg:nix/bash@5.3p9\"") && !bill.contains("pkg:deb/"), "{bill}");
    // The compressed disk is that of the flake.
    let raw = manifest.profiles[0].artifacts.iter().find(|artifact| artifact.format == Format::Raw).unwrap();
    let file = plan.out.join(raw.files[0].name.as_str());
    assert_eq!(fs::read(&file).unwrap()[..4], MAGIC);
    let disk = fixture.path("unpacked");
    let arguments = ["-q", "-d", "-o", disk.as_str(), file.as_str()];
    Cmd::new("zstd").args(arguments).output().unwrap();
    let built = Digest::of_file(&fixture.built.out_dir.join("nixos.img")).unwrap();
    assert_eq!(Digest::of_file(&disk).unwrap(), built);
    assert_eq!(raw.files[0].unpacked.unwrap().sha256, built);
    assert!(rebuild::refusal(&manifest).unwrap().contains("rebuilt by nix itself"));

    // By two hosts, the same files.
    let mut part = plan.clone();
    part.out = fixture.path("part");
    cut::part(&part, &fixture, &|_| ()).unwrap();
    let part = ReleasePart::read(&part.out).unwrap();
    plan.out = fixture.path("joined");
    cut::join(&plan, &[part], &fixture.key, &|| NOW, &|_| ()).unwrap();
    let text = |folder: &Utf8Path| fs::read_to_string(folder.join("manifest.json")).unwrap();
    assert_eq!(text(&plan.out), text(&fixture.path("release")));
    assert_eq!(fixture.verify(&plan.out).problems, []);
}
