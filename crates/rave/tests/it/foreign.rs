//! How commands handle untrusted images.

use std::fs;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use rave::cmd::smoke;
use rave_guest::config::GuestConfig;
use rave_image::digest::Digest;
use rave_image::manifest::{Artifact, ArtifactFile, ArtifactFiles, Manifest, NixosOrigin, Origin, SCHEMA};
use rave_process::{Cmd, find_program};
use rave_spec::Format;

use crate::home::{copied_home, rave, rave_on_path};

/// A folder with a qcow2 whose backing file is outside of it, and a correct manifest of the qcow2.
fn foreign_image(place: &Utf8Path) -> (Utf8PathBuf, Manifest) {
    let (secret, out) = (place.join("secret"), place.join("out"));
    fs::write(&secret, vec![b's'; 1 << 20]).expect("written");
    fs::create_dir(&out).expect("a folder");
    let image = out.join("leak.qcow2");
    let args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret.as_str(), image.as_str(), "1M"];
    Cmd::new("qemu-img").args(args).output().expect("an image");
    let file = ArtifactFile {
        name: "leak.qcow2".into(),
        size: fs::metadata(&image).expect("the image").len(),
        sha256: Digest::of_file(&image).expect("the image"),
    };
    let nix = NixosOrigin {
        flake_revision: None,
        flake_nar_hash: String::new(),
        nix_version: String::new(),
        outputs: Vec::new(),
        packages: Vec::new(),
        payload: false,
    };
    let manifest = Manifest {
        schema: SCHEMA,
        origin: Origin::Nixos(nix),
        profile: "headless".into(),
        guest: GuestConfig::default(),
        artifacts: vec![Artifact {
            format: Format::Qemu,
            files: ArtifactFiles::try_from(vec![file]).expect("a name"),
            key: Digest::of_bytes(b""),
        }],
        build_tools: Vec::new(),
        npm_packages: Vec::new(),
    };
    manifest.write(&out).expect("written");
    (out, manifest)
}

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = Utf8PathBuf::from_path_buf(scratch.path().canonicalize().expect("a folder")).expect("UTF-8");
    (scratch, folder)
}

#[test]
fn run_and_smoke_refuse_an_image_that_names_a_host_file() {
    let ((_scratch, place), home) = (scratch(), copied_home());
    let (out, manifest) = foreign_image(&place);
    let refusal = "it needs another file, which was not opened: its backing file";

    let arguments = ["run", "--headless", "--no-build", "--format", "qemu", "--out", out.as_str()];
    let output = rave(place.as_std_path(), Some(home.path()), &arguments);
    assert!(output.stderr.contains(refusal), "{}", output.stderr);
    assert!(output.code.is_some_and(|code| code != 0), "{:?}", output.code);
    assert!(!output.stderr.contains("serial console"), "it was booted: {}", output.stderr);
    assert!(!place.join("state/run").exists(), "a machine was made");

    let error = smoke::artifacts(&out, &manifest, &[Format::Qemu]).expect_err("refused").to_string();
    assert!(error.contains(refusal), "{error}");
}

#[test]
fn an_unsupported_archive_is_refused_with_the_command() {
    let ((_scratch, place), home) = (scratch(), copied_home());
    let (programs, image) = (place.join("programs"), place.join("d.raw.lz4"));
    fs::create_dir(&programs).expect("a folder");
    for name in ["prlimit", "qemu-img"] {
        symlink(find_program(name).expect("a program that tests need"), programs.join(name)).expect("a link");
    }
    // The start of a frame (LZ4 frame format 1.6, "General Structure").
    fs::write(&image, [0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7, 0, 0, 0, 0]).expect("written");
    let arguments = ["convert", image.as_str(), "--format", "raw", "--out", "made"];
    let output =
        rave_on_path(place.as_std_path(), Some(home.path()), Some(programs.as_std_path()), &arguments);
    let refusal = format!(
        "it is compressed by lz4, which this host does not have: install it, or unpack the file elsewhere with `lz4 -d {image}`"
    );
    assert!(output.stderr.contains(&refusal), "{}", output.stderr);
    assert!(output.code.is_some_and(|code| code != 0), "{:?}", output.code);
    assert!(!place.join("made/d.img").exists());
}
