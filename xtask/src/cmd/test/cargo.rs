//! The command lines of cargo, with and without cargo-nextest, and the closing lines of their runners.

use std::env;

use rave_process::Cmd;

/// The cargo that runs this program.
pub(super) fn cargo() -> Cmd {
    Cmd::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Everything except the tests that run only by name.
pub(super) const CLIPPY: &[&str] = &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
/// The tests that run only by name, which `--all-targets` skips even with a name beside it. `--workspace`, because a
/// single package has different features, for which its dependencies would be checked again.
pub(super) const CLIPPY_BY_NAME: &[&str] =
    &["clippy", "--workspace", "--test", "e2e", "--test", "proxy", "--", "--deny", "warnings"];

/// The output of passing tests is requested because it reports what they could not run.
pub(super) fn unit_arguments(has_nextest: bool) -> &'static [&'static str] {
    if has_nextest {
        &[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--success-output=immediate",
            "--failure-output=final",
        ]
    } else {
        &["test", "--workspace", "--no-fail-fast", "--", "--show-output"]
    }
}

/// Two at a time: most wait for a single-threaded compressor, for packages or for a guest, and a guest has two
/// processors. `--workspace` gives the same features as the previous step, so that nothing is built twice.
pub(super) fn faults_arguments(has_nextest: bool) -> Vec<&'static str> {
    if has_nextest {
        vec![
            "nextest",
            "run",
            "--workspace",
            "--test",
            "e2e",
            "--test-threads=2",
            "--no-fail-fast",
            "--success-output=immediate",
            "--failure-output=final",
        ]
    } else {
        vec![
            "test",
            "--workspace",
            "--test",
            "e2e",
            "--no-fail-fast",
            "--",
            "--test-threads=2",
            "--show-output",
        ]
    }
}

/// The slow ones of the same tests, except those of the profile `cloud` and of releases.
pub(super) fn matrix_arguments(has_nextest: bool) -> Vec<&'static str> {
    let mut arguments = faults_arguments(has_nextest);
    arguments.extend_from_slice(if has_nextest {
        &["--run-ignored=only", "-E", "not test(/^(cloud|release)::/)"]
    } else {
        &["--ignored", "--skip=cloud::", "--skip=release::"]
    });
    arguments
}

/// The boots of the profile `cloud`.
pub(super) fn cloud_arguments(has_nextest: bool) -> Vec<&'static str> {
    ignored_arguments(has_nextest, ["test(/^cloud::/)", "cloud::"])
}

/// A real release.
pub(super) fn release_arguments(has_nextest: bool) -> Vec<&'static str> {
    ignored_arguments(has_nextest, ["test(/^release::/)", "release::"])
}

/// The slow ones of one module, by its filters for nextest and for libtest.
fn ignored_arguments(has_nextest: bool, [nextest, libtest]: [&'static str; 2]) -> Vec<&'static str> {
    let mut arguments = faults_arguments(has_nextest);
    if has_nextest {
        arguments.extend(["--run-ignored=only", "-E", nextest]);
    } else {
        arguments.extend(["--ignored", libtest]);
    }
    arguments
}

/// A build with all traffic through a proxy.
pub(super) fn proxy_arguments(has_nextest: bool) -> Vec<&'static str> {
    let test = ["--workspace", "--test", "proxy"];
    let (before, after): (&[_], &[_]) = if has_nextest {
        (&["nextest", "run"], &["--success-output=immediate"])
    } else {
        (&["test"], &["--", "--show-output"])
    };
    [before, &test, after].concat()
}

/// The closing line of nextest, or those of libtest, which nextest also prints for every single test.
pub(super) fn is_closing(line: &str, has_nextest: bool) -> bool {
    line.trim_start().starts_with(if has_nextest { "Summary [" } else { "test result: " })
}

/// How many lines of failed tests are kept: the log has all of them.
const FAILURE_LINES: usize = 200;

/// Collects libtest's output for failed tests: with `--no-fail-fast` other crates' tests follow it. nextest prints it
/// last.
#[derive(Debug, Default)]
pub(super) struct Failures {
    pub(super) lines: Vec<String>,
    is_inside: bool,
}

impl Failures {
    /// Takes a line of the output.
    pub(super) fn take(&mut self, line: &str) {
        match line {
            "failures:" => self.is_inside = true,
            _ if line.starts_with("test result: ") => self.is_inside = false,
            _ if self.is_inside && self.lines.len() < FAILURE_LINES => self.lines.push(line.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ignored_test_belongs_to_one_step() {
        let has = |arguments: &[&str], text: &str| arguments.iter().any(|argument| argument.contains(text));
        for has_nextest in [true, false] {
            let matrix = matrix_arguments(has_nextest);
            assert!(has(&matrix, "ignored"));
            for (name, own) in
                [("cloud::", cloud_arguments(has_nextest)), ("release::", release_arguments(has_nextest))]
            {
                assert!(has(&own, "ignored") && has(&own, name));
                assert!(!has(&own, "not ") && !has(&own, "--skip"));
                assert!(
                    has(&matrix, "not test(/^(cloud|release)::/)") || has(&matrix, &format!("--skip={name}"))
                );
            }
        }
    }

    #[test]
    fn output_is_kept_only_for_failed_tests() {
        let mut failures = Failures::default();
        let output = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nfine\n\nfailures:\n\n---- b stdout ----\n\
            panicked: left\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed\n\ntest c ... ok";
        output.lines().for_each(|line| failures.take(line));
        assert_eq!(failures.lines, ["", "---- b stdout ----", "panicked: left", "", "    b", ""]);
    }

    #[test]
    fn summary_lines_of_both_runners_are_recognised() {
        let summary = "     Summary [   3.1s] 120 tests run: 120 passed, 0 skipped";
        let result = "test result: ok. 44 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert!(is_closing(summary, true) && !is_closing(result, true));
        assert!(is_closing(result, false) && !is_closing(summary, false));
        assert!(!is_closing("test host::plan::tests::root_needs_no_sudo ... ok", false));
    }
}
