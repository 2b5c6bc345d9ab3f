//! `rave publish` and the state folder of `rave verify`, from the command line.

use std::fs;

use duct::cmd;

use crate::release::Place;

#[test]
fn a_release_is_published_once_and_its_name_is_not_reused() {
    let place = Place::new();
    place.keygen("key");
    let release = place.release("key");
    let publish = ["publish", "release", "--to", "site", "--key", "key.allowed_signers"];
    let output = place.rave(&publish);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), "site/1.2.0\n"), "{}", output.stderr);
    assert!(output.stderr.contains("1.2.0 is published\nlatest names 1.2.0\n"), "{}", output.stderr);
    let output = place.rave(&[&publish[..], &["--json"]].concat());
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let found: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&found["new"], &found["latest"]["result"]), (&false.into(), &"unchanged".into()));
    let output = place.rave(&["verify", "site/latest", "--key", "key.allowed_signers"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);

    // Signed with another key, it is a different release.
    fs::remove_dir_all(&release).unwrap();
    place.keygen("next");
    place.release("next");
    let output = place.rave(&["publish", "release", "--to", "site", "--key", "next.allowed_signers"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    let first =
        "error: site/1.2.0 is already published with different content: the SHA-256 of its SHA256SUMS is ";
    assert!(output.stderr.contains(first) && output.stderr.contains("\nremedy: "), "{}", output.stderr);
}

#[test]
fn releases_that_do_not_verify_are_refused_with_every_reason() {
    let place = Place::new();
    place.keygen("key");
    let release = place.release("key");
    let output = place.rave(&["publish", "release", "--to", "site"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("error: release does not verify: SHA256SUMS.sig: signature unchecked"));
    fs::write(release.join("rave-1.2.0-headless-x86_64.qcow2"), "A disk").unwrap();
    fs::write(release.join("more"), "").unwrap();
    let output = place.rave(&["publish", "release", "--to", "site", "--key", "key.allowed_signers"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("more: it is not in SHA256SUMS"), "{}", output.stderr);
    assert!(output.stderr.contains("x86_64.qcow2: its SHA-256 is not"), "{}", output.stderr);
    assert!(!place.path("site").exists());
}

#[test]
fn an_unwritable_state_folder_is_a_warning_unless_trust_needs_it() {
    let place = Place::new();
    place.keygen("key");
    place.release("key");
    // Nobody can create a folder there, not even root.
    let in_proc = |arguments: &[&str]| {
        let script = r#"exec env RAVE_STATE=/proc/rave "$0" "$@""#;
        let args = ["-c", script, env!("CARGO_BIN_EXE_rave")].into_iter().chain(arguments.iter().copied());
        place.run(&cmd("sh", args))
    };
    let output = in_proc(&["verify", "release", "--key", "key.allowed_signers"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("warning: what was learned of keys and dates could not be saved"),
        "{}",
        output.stderr
    );
    assert!(output.stdout.contains("ok: RAVE 1.2.0"), "{}", output.stdout);
    let output = in_proc(&["verify", "release", "--trust", "key.allowed_signers"]);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("error: cannot create /proc/rave"), "{}", output.stderr);
    // A failed verification is reported first and last.
    fs::write(place.path("release/more"), "").unwrap();
    let output = in_proc(&["verify", "release", "--key", "key.allowed_signers"]);
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert!(output.stderr.contains("error: this release does not verify: more: "), "{}", output.stderr);
}
