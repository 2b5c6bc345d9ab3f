//! The variables of `rave.toml` as a shell reads them.

use crate::host::{command, run, text, write_guest};
use rave_guest::config::GuestConfig;

#[test]
fn a_shell_gets_every_value_unchanged() {
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
