//! Distinguishes the exit status of a command in the guest from ssh's own.
//!
//! ssh(1) exits with 255 for its own failures, for a command that exited with 255, and for one that was killed by a
//! signal. So the guest's shell runs the command as a child and then writes the child's status to standard error. If
//! that report is missing, the connection was lost.

use rave_process::{Status, shell_quote};

/// The prefix of the report's line. The status follows.
const REPORT: &str = "rave: exit status ";

/// Exit codes with which a shell reports that a signal killed its child: 128 plus the signal's number, 1 to 31
/// (signal(7)).
const KILLED: std::ops::RangeInclusive<i32> = 129..=159;

/// The command line for the guest's shell that runs `command` and reports its status. sshd(8) sets `SHELL`.
pub(super) fn wrap(command: &str) -> String {
    let command = shell_quote(command);
    // The newline ends an incomplete last line.
    format!("\"$SHELL\" -c {command}; s=$?; printf '\\n{REPORT}%d\\n' \"$s\" >&2; exit \"$s\"")
}

/// The reported status, and the lines of standard error without the report.
pub(super) fn take(mut stderr: Vec<String>) -> (Option<Status>, Vec<String>) {
    // A background process of the command may write after the report.
    let found = stderr.iter().rposition(|line| status(line).is_some());
    let Some(at) = found else { return (None, stderr) };
    let reported = status(&stderr.remove(at));
    if at > 0 && stderr[at - 1].is_empty() {
        stderr.remove(at - 1);
    }
    (reported, stderr)
}

fn status(line: &str) -> Option<Status> {
    let code = line.strip_prefix(REPORT)?.parse().ok()?;
    Some(if KILLED.contains(&code) { Status::Signal(code - 128) } else { Status::Code(code) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(lines: &[&str]) -> (Option<Status>, Vec<String>) {
        take(lines.iter().map(|&line| line.to_owned()).collect())
    }

    #[test]
    fn the_report_is_found_and_removed() {
        let none = Vec::<String>::new();
        assert_eq!(parsed(&["", "rave: exit status 0"]), (Some(Status::Code(0)), none.clone()));
        assert_eq!(parsed(&["rave: exit status 255"]), (Some(Status::Code(255)), none));
        let (status, rest) = parsed(&["a", "", "", "rave: exit status 139", "late"]);
        assert_eq!(
            (status, rest),
            (Some(Status::Signal(11)), vec!["a".into(), String::new(), "late".into()])
        );
    }

    #[test]
    fn without_a_report_lines_are_unchanged() {
        for lines in
            [&["Connection closed by remote host"][..], &["rave: exit status"], &["rave: exit status x"], &[]]
        {
            assert_eq!(parsed(lines), (None, lines.iter().map(|&line| line.to_owned()).collect()));
        }
    }
}
