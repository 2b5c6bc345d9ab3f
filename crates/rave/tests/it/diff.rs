//! `diff` on a terminal and without one. The terminal is script(1)'s.

use std::fs;

use crate::sandbox::{State, work};

/// A stopped sandbox with one change, which contains an escape sequence that would clear a screen.
fn changed() -> (State, tempfile::TempDir) {
    let state = State::new();
    let place = state.make("demo", &[]);
    let scratch = tempfile::tempdir().unwrap();
    let source = state.path().join("project");
    fs::create_dir_all(source.join("src")).unwrap();
    fs::write(source.join("src/a"), "one\n").unwrap();
    work(&place, &source, &scratch.path().join("copy"), |copy| {
        fs::write(copy.join("src/a"), "two\x1b[2J\n").unwrap();
        fs::write(copy.join(".envrc"), "runs\n").unwrap();
    });
    (state, scratch)
}

const REMOVED: &str = "\x1b[31m-one";

#[test]
fn colours_and_pager_are_only_for_a_terminal() {
    let (state, _scratch) = changed();
    if state.shell(&[], "command -v script && command -v less").code != Some(0) {
        rave_testing::skip!("script(1) or less(1) is not installed");
    }
    let on_terminal = |settings: &str, arguments: &str| {
        let line = format!("{settings} script -qec \"$RAVE diff demo {arguments}\" /dev/null");
        state.shell(
            &["env", "-u", "LESS", "-u", "PAGER", "-u", "GIT_PAGER", "-u", "NO_COLOR", "TERM=xterm"],
            &line,
        )
    };
    let shown = on_terminal("", "");
    assert!(shown.expect(0).stdout.contains(REMOVED), "{}", shown.stdout);
    assert!(!shown.stdout.contains("\x1b[2J"), "what a guest has written does nothing to the terminal");

    // This pager reports whether its input has colours.
    let pager = "GIT_PAGER=\"sed 's/^/paged /'\"";
    let shown_by_pager = on_terminal(pager, "");
    assert!(shown_by_pager.expect(0).stdout.contains("paged "), "{}", shown_by_pager.stdout);
    assert!(!on_terminal(pager, "--no-pager").expect(0).stdout.contains("paged "));
    // Plain less without options: FRX are in its environment.
    let plain = on_terminal("PAGER=less", "");
    assert!(plain.expect(0).stdout.contains(REMOVED), "{}", plain.stdout);
    let none = on_terminal("PAGER=no-such-pager", "");
    assert!(none.expect(0).stdout.contains(REMOVED), "without one it is printed: {}", none.stdout);
    assert!(!on_terminal("NO_COLOR=1", "").expect(0).stdout.contains(REMOVED));

    let piped = state.shell(&["env", "GIT_PAGER=false"], "$RAVE diff demo | cat");
    assert!(piped.expect(0).stdout.contains("\n-one\n"), "{}", piped.stdout);
    assert!(!piped.stdout.contains('\x1b'));
}

#[test]
fn a_diff_tool_gets_two_read_only_folders_and_git_selects_none() {
    let (state, _scratch) = changed();
    let source = state.path().join("project");
    for arguments in [
        ["init", "-q"].as_slice(),
        &["config", "diff.tool", "evil"],
        &["config", "difftool.evil.cmd", "touch /evil"],
    ] {
        duct::cmd("git", arguments).dir(&source).run().unwrap();
    }
    let tool = source.with_file_name("tool");
    let seen = "set -e; cat before/src/a after/src/a; test ! -e after/.envrc; stat -c %a before after/src after/src/a; pwd > \"$SEEN\"";
    fs::write(&tool, format!("#!/bin/sh\n{seen}\nexit 1\n")).unwrap();
    let line = format!("SEEN=$RAVE_STATE/seen $RAVE diff --tool 'sh {tool}' demo");
    let done = state.shell(&[], &line);
    assert_eq!(done.expect(0).stdout, "one\ntwo\x1b[2J\n500\n500\n400\n");
    done.expect_output(".envrc is left out");
    let folder = fs::read_to_string(state.path().join("seen")).unwrap();
    assert!(!std::path::Path::new(folder.trim()).exists(), "the folders go with the tool");
    state.shell(&[], "$RAVE diff --tool no-such-tool demo").expect(3).expect_output("no-such-tool failed");
}
