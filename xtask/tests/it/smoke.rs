//! `cargo xtask smoke` as far as it needs no machine.

use expect_test::expect;

use crate::checkout::{read, shows, xtask};

fn smoke(arguments: &[&str]) -> crate::checkout::Ran {
    let arguments: Vec<&str> = ["smoke", "--base", "debian"].iter().chain(arguments).copied().collect();
    xtask(&read("rave.toml".into()), &arguments)
}

#[test]
fn the_list_shows_what_was_chosen_in_the_order_in_which_it_runs() {
    let chosen = ["--list", "--only", "reboot,sudo,kanban-api", "--skip", "kanban-api", "--only", "tool-git"];
    shows(
        &smoke(&chosen),
        0,
        &expect![[r#"
            CHECK     GROUP   NEEDS  PASSES WHEN
            sudo      system         the user becomes root without a password
            tool-git  tools          git is there
            reboot    life           a reboot comes back ready with the same host keys
        "#]],
    );
}

#[test]
fn a_check_that_is_not_there_is_wrong_usage_and_the_nearest_is_named() {
    shows(
        &smoke(&["--only", "kanban-answer"]),
        2,
        &expect![[r#"
        error: there is no check "kanban-answer"
        remedy: did you mean kanban-answers? `cargo xtask smoke --list` shows them all
    "#]],
    );
    shows(
        &smoke(&["--skip", "xyz", "--list"]),
        2,
        &expect![[r#"
        error: there is no check "xyz"
        remedy: `cargo xtask smoke --list` shows them all
    "#]],
    );
    shows(
        &smoke(&["--only", "sudo", "--skip", "sudo"]),
        2,
        &expect![[r#"
        error: --only and --skip together leave no check
    "#]],
    );
}

#[test]
fn a_report_folder_that_cannot_be_made_is_told_before_anything_is_built() {
    for flag in ["--report", "--screenshot"] {
        let ran = smoke(&[flag, "rave.toml"]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert_eq!(
            ran.stderr,
            "error: cannot make the folder rave.toml: File exists (os error 17)\n\
             remedy: name a folder that can be made or is there\n"
        );
    }
}
