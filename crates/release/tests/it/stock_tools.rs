//! Programs that every host has agree: ssh-keygen and sha256sum.

use std::fs;

use rave_process::{Cmd, find_program};
use rave_release::signers;
use rave_spec::Format;
use rave_testing::{or_skip, skip};

use crate::fixture::Fixture;

#[test]
fn ssh_keygen_and_sha256sum_accept_the_release_and_refuse_a_changed_one() {
    if find_program("ssh-keygen").is_none() {
        skip!("ssh-keygen was not found");
    }
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    let folder = fixture.release();
    let signers = fixture.path("allowed_signers");
    fs::write(&signers, signers::line("releases", fixture.key.public()) + "\n").unwrap();
    let check = |principal: &str| {
        let script = r#"ssh-keygen -Y verify -f "$0" -I "$1" -n rave-release -s SHA256SUMS.sig < SHA256SUMS"#;
        let command = Cmd::new("sh").args(["-c", script, signers.as_str(), principal]);
        command.current_dir(folder.as_std_path()).output()
    };
    let message = check("releases").unwrap().text();
    assert!(message.starts_with("Good \"rave-release\" signature for releases"), "{message}");
    assert!(check("somebody").is_err());
    let sums = || {
        Cmd::new("sha256sum")
            .args(["--strict", "-c", "SHA256SUMS"])
            .current_dir(folder.as_std_path())
            .output()
    };
    assert!(sums().unwrap().text().lines().all(|line| line.ends_with(": OK")));
    // A signature by ssh-keygen itself is accepted too.
    let path = folder.join("SHA256SUMS");
    let key = fixture.path("key");
    fs::remove_file(folder.join("SHA256SUMS.sig")).unwrap();
    let line = format!("ssh-keygen -q -Y sign -f {key} -n rave-release {path}");
    let askpass = fixture.path("askpass");
    fs::write(&askpass, "#!/bin/sh\necho correct horse battery\n").unwrap();
    fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let sign = Cmd::new("sh").args(["-c", &line]).env("SSH_ASKPASS", askpass.as_str());
    sign.env("SSH_ASKPASS_REQUIRE", "force").env_remove("SSH_AUTH_SOCK").output().unwrap();
    assert_eq!(fixture.verify(&folder).problems, []);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen('a', "b", 1)).unwrap();
    assert!(check("releases").is_err());
    assert!(sums().is_err());
}

#[test]
fn a_generated_key_is_accepted_by_ssh_keygen() {
    if find_program("ssh-keygen").is_none() {
        skip!("ssh-keygen was not found");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(folder.path()).unwrap().join("key");
    let passphrase = zeroize::Zeroizing::new("correct horse battery".to_owned());
    rave_release::key::generate(&path, "me", &passphrase).unwrap();
    let public = fs::read_to_string(format!("{path}.pub")).unwrap();
    let output =
        Cmd::new("ssh-keygen").args(["-y", "-P", "correct horse battery", "-f", path.as_str()]).output();
    assert_eq!(output.unwrap().text().trim(), public.trim());
    let wrong = Cmd::new("ssh-keygen").args(["-y", "-P", "another passphrase", "-f", path.as_str()]).output();
    assert!(wrong.is_err());
}
