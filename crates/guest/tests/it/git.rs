//! git's settings, as git itself reads them.

use std::os::unix::fs::PermissionsExt as _;

use crate::host::{command, has, run, text, write_guest};
use rave_guest::config::GuestConfig;

#[test]
fn git_uses_the_credential_helper() {
    rave_testing::or_skip!(has("git"));
    let root = tempfile::tempdir().unwrap();
    write_guest(&GuestConfig::default(), root.path());
    let asset = std::fs::read_to_string(root.path().join("etc/gitconfig")).unwrap();
    let (settings, helper) = (root.path().join("gitconfig"), root.path().join("rave-guest"));
    std::fs::write(&settings, asset.replace("/usr/lib/rave/rave-guest", &helper.display().to_string()))
        .unwrap();
    // Replaces the program, which reads the guest's own /etc: it prints its arguments and its input.
    let script =
        "#!/bin/sh\nprintf 'username=%s\\npassword=%s\\n' \"$1,$2\" \"$(grep host= | tr -d '\\n')\"\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let line = "printf 'protocol=https\\nhost=git.example\\n\\n' | git credential fill";
    let output = run(command("sh")
        .args(["-c", line])
        .env("GIT_CONFIG_SYSTEM", &settings)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .current_dir(root.path()));
    let printed = text(&output);
    assert!(printed.contains("username=git-credential,get\npassword=host=git.example\n"), "{printed}");
}
