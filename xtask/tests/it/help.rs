//! The first screen of help, and its independence of the terminal's width. The help texts themselves are in
//! `docs/cli.md`.

use crate::checkout::{read, xtask};

#[test]
fn without_arguments_the_first_screen_shows_the_main_commands_with_examples() {
    let ran = xtask("", &[]);
    let first_screen = ran.stdout.lines().take(24).collect::<Vec<_>>().join("\n");
    for example in ["cargo xtask image --format qemu", "cargo xtask run --ssh", "cargo xtask smoke --yes"] {
        assert!(first_screen.contains(example), "{first_screen}");
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 100), "{}", ran.stdout);
}

#[test]
fn help_prints_what_the_reference_has() {
    let reference = read("docs/cli.md".into());
    for arguments in [&["--help"][..], &["image", "--help"], &["ci", "matrix", "--help"]] {
        let ran = xtask("", arguments);
        let help = ran.stdout.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert!(reference.contains(help.trim_end()), "{arguments:?} prints what docs/cli.md lacks:\n{help}");
        assert_eq!(ran.code, 0);
    }
}
