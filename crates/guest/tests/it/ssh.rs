//! The settings of sshd and sudo, as those programs read them.

use crate::host::{command, has, run, text, write_guest};
use rave_guest::config::GuestConfig;
use rave_testing::{or_skip, skip};
use std::fs;

/// The effective settings of sshd for a guest, as `sshd -T` prints them.
fn effective(config: &GuestConfig) -> String {
    let root = tempfile::tempdir().unwrap();
    write_guest(config, root.path());
    let mut settings = fs::read_to_string(root.path().join("etc/ssh/sshd_config.d/rave.conf")).unwrap();
    for kind in ["ed25519", "ecdsa"] {
        let key = root.path().join(kind);
        run(command("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&key));
        settings = settings.replace(&format!("/etc/ssh/ssh_host_{kind}_key"), key.to_str().unwrap());
    }
    // OpenSSH 9.8 added this; an older one on this host does not support it.
    settings = settings.replace("PerSourcePenaltyExemptList", "#");
    let file = root.path().join("sshd_config");
    fs::write(&file, settings).unwrap();
    let output = run(command("/usr/sbin/sshd").arg("-T").arg("-f").arg(&file));
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

#[test]
fn sshd_follows_the_profiles_password_setting_and_never_admits_root() {
    or_skip!(has("sshd"));
    // sshd requires it even to print its settings; it exists on a machine where sshd runs.
    let empty = std::path::Path::new("/run/sshd");
    if !empty.is_dir() && fs::create_dir(empty).is_err() {
        skip!("{} is missing and this user cannot create it", empty.display());
    }
    for (hardened, expected) in [(false, "passwordauthentication yes"), (true, "passwordauthentication no")] {
        let environment = vec![("A".to_owned(), "x y".to_owned()), ("B".to_owned(), "q\"q".to_owned())];
        let settings = effective(&GuestConfig { hardened, environment, ..GuestConfig::default() });
        for line in [
            expected,
            "permitrootlogin no",
            "kbdinteractiveauthentication no",
            "permitemptypasswords no",
            "authorizedkeysfile .ssh/authorized_keys /run/rave/authorized_keys.d/%u",
            "port 22",
            "setenv A=x y",
            "setenv B=q\"q",
        ] {
            assert!(settings.lines().any(|found| found == line), "no `{line}` in:\n{settings}");
        }
    }
}

#[test]
fn sudo_accepts_the_sudoers_file() {
    or_skip!(has("visudo"));
    let root = tempfile::tempdir().unwrap();
    write_guest(&GuestConfig::default(), root.path());
    let output = run(command("visudo").args(["-c", "-f"]).arg(root.path().join("etc/sudoers.d/rave")));
    let out = text(&output);
    assert!(output.status.success(), "{out}");
}
