//! The variables of `rave.toml`, as a shell reads them.

use crate::host::{command, run, text, write_guest};
use rave_guest::config::GuestConfig;

#[test]
fn a_shell_reads_every_value_unchanged() {
    let hard = "it's \"$5\" \\ `x` $(y) 50% # ; é @home@";
    let root = tempfile::tempdir().unwrap();
    let environment = vec![("HARD".to_owned(), hard.to_owned()), ("EMPTY".to_owned(), String::new())];
    write_guest(&GuestConfig { environment, ..GuestConfig::default() }, root.path());
    let profile = root.path().join("etc/profile.d/rave.sh");
    let script = format!(
        "set -u; HOME=/h; PATH=/bin; . {0}; . {0}; printf '%s|%s|%s' \"$HARD\" \"$EMPTY\" \"$PATH\"",
        profile.display()
    );
    let output = run(command("/bin/sh").args(["-c", &script]));
    assert_eq!(text(&output), format!("{hard}||/h/.local/bin:/bin"));
}

#[test]
fn a_login_shell_reads_every_profile_and_bash_starts_no_program_for_it() {
    let root = tempfile::tempdir().unwrap();
    write_guest(&GuestConfig::default(), root.path());
    let folder = root.path().join("etc/profile.d");
    for (name, text) in [("a.sh", "A=a"), ("b.sh", "B=$A$HOME"), ("none.txt", "A=wrong")] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let asset = std::fs::read_to_string(root.path().join("etc/profile")).unwrap();
    let profile = root.path().join("profile");
    std::fs::write(&profile, asset.replace("/etc/profile.d", &folder.display().to_string())).unwrap();
    // What Debian's own starts. dash has no EUID and needs the first.
    let programs = "id() { echo id >&2; }; run-parts() { echo run-parts >&2; };";
    for (shell, begin) in [("bash", programs), ("dash", "")] {
        let script =
            format!("{begin} set -u; HOME=/h; . {}; printf '%s|%s' \"$PATH\" \"$B\"", profile.display());
        let output = run(command(shell).args(["-c", &script]));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{shell}");
        let (found, b) = text(&output).rsplit_once('|').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(
            found.starts_with("/h/.local/bin:/usr/local/") && found.contains(":/usr/bin:"),
            "{shell}: {found}"
        );
        assert_eq!(b, "a/h", "{shell}");
    }
}

#[test]
fn a_refusal_is_shown_once_before_the_next_prompt() {
    let root = tempfile::tempdir().unwrap();
    write_guest(&GuestConfig::default(), root.path());
    let asset = std::fs::read_to_string(root.path().join("etc/rave/denied.bash")).unwrap();
    let (script, denied) = (root.path().join("denied.bash"), root.path().join("denied"));
    std::fs::write(&script, asset.replace("/run/rave/denied", &denied.display().to_string())).unwrap();
    let lines = format!(
        r#"set -u; PROMPT_COMMAND='printf other,'
printf '5\tbefore\n' >{denied}
. {script}; . {script}
prompt() {{ eval "$PROMPT_COMMAND"; printf 'prompt;'; }}
exec 2>&1
prompt
printf '5\tbefore\n7\tone\nx\tnoise\n9\ttwo\n' >{denied}
prompt; prompt
printf '9\ttwo\n12\tone\n' >{denied}
prompt; rm {denied}; prompt
"#,
        denied = denied.display(),
        script = script.display()
    );
    let output = run(command("bash").args(["--norc", "-c", &lines]));
    let expected =
        "other,prompt;rave: one\nrave: two\nother,prompt;other,prompt;rave: one\nother,prompt;other,prompt;";
    assert_eq!(text(&output), expected);
}
