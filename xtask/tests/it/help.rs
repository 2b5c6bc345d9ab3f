//! The first screen of help, and its independence of the terminal's width. The help texts themselves are in
//! `docs/cli.md`.

use crate::checkout::{read, xtask};

#[test]
fn help_without_arguments_has_the_main_commands_and_examples() {
    let ran = xtask("", &[]);
    let first_screen = ran.stdout.lines().take(24).collect::<Vec<_>>().join("\n");
    for example in ["cargo xtask image --format qemu", "cargo xtask run --ssh", "cargo xtask smoke --yes"] {
        assert!(first_screen.contains(example), "{first_screen}");
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ran.stdout);
}

#[test]
fn help_matches_the_reference() {
    let reference = read("docs/cli.md".into());
    for arguments in [&["--help"][..], &["image", "--help"], &["ci", "matrix", "--help"]] {
        let ran = xtask("", arguments);
        let help = ran.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert!(reference.contains(help.trim_end()), "{arguments:?} prints what docs/cli.md lacks:\n{help}");
        assert_eq!(ran.code, 0);
    }
}
