//! Checks the workflows with actionlint, which knows the types of expressions and runs shellcheck. The commands that
//! they call are checked beside `cmd/ci.rs`.

use rave_process::{Cmd, find_program};
use rave_testing::skip;

use crate::checkout::root;

#[test]
fn actionlint_reports_no_problems() {
    if find_program("actionlint").is_none() {
        skip!("this host has no actionlint");
    }
    let output = Cmd::new("actionlint").arg("-no-color").current_dir(root().as_std_path()).output();
    output.unwrap_or_else(|error| panic!("{error}"));
}
