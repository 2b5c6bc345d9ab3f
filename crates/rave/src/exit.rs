//! How a command ends: exit codes as types, and the one failure that carries a code.

use std::fmt;
use std::process::ExitCode;

/// What the process ends with; the numbers are part of the interface (DESIGN.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All went well.
    Ok,
    /// A check of the smoke suite, or a test, failed.
    CheckFailed,
    /// Wrong usage or a bad rave.toml. clap ends with the same number.
    Usage,
    /// The host lacks something; the message says what and how to get it.
    HostNotReady,
    /// Building an image failed.
    BuildFailed,
    /// Ctrl-C or SIGTERM: 128 + 2, as a shell reports a program ended by SIGINT.
    Interrupted,
    /// `run --exec`: the code of the command in the guest.
    Guest(u8),
}

impl Code {
    /// The number that the process ends with.
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::CheckFailed => 1,
            Self::Usage => 2,
            Self::HostNotReady => 3,
            Self::BuildFailed => 4,
            Self::Interrupted => 130,
            Self::Guest(code) => code,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        code.number().into()
    }
}

/// An error that says what to end with and what to do about it. Commands return it through
/// `anyhow`; `main` finds it again and prints it once.
#[derive(Debug)]
pub struct Failure {
    /// What the process ends with.
    pub code: Code,
    /// What failed, one line, lower case.
    pub what: String,
    /// Facts: the command, its last lines, what was expected.
    pub detail: Vec<String>,
    /// What to do next; empty where nothing is known to help.
    pub remedy: String,
}

impl Failure {
    /// A failure without facts and remedy so far.
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), detail: Vec::new(), remedy: String::new() }
    }

    /// Wrong usage, or a bad rave.toml.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, what)
    }

    /// The host lacks something.
    pub fn host_not_ready(what: impl Into<String>) -> Self {
        Self::new(Code::HostNotReady, what)
    }

    /// What a command of ours failed with: its words and at most `shown` of the last lines that it printed.
    pub fn of_command(
        code: Code,
        what: impl Into<String>,
        error: &rave_process::Error,
        shown: usize,
    ) -> Self {
        let failure = Self::new(code, what).detail(format!("command: {}", error.command()));
        let tail = error.tail();
        if tail.is_empty() {
            return failure.detail(error.to_string());
        }
        tail[tail.len().saturating_sub(shown)..]
            .iter()
            .fold(failure, |failure, line| failure.detail(format!("  {line}")))
    }

    /// Adds one fact.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.detail.push(line.into());
        self
    }

    /// Sets what to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// The code that an error ends the process with. An error that nobody classified means that
/// something could not be done: the host's fault until somebody says otherwise.
pub fn code_of(error: &anyhow::Error) -> Code {
    error.downcast_ref::<Failure>().map_or(Code::HostNotReady, |failure| failure.code)
}

/// The lines of an error for stderr: what failed, then causes and facts, then the remedy.
pub fn lines_of(error: &anyhow::Error) -> Vec<String> {
    let mut lines = vec![format!("error: {error}")];
    lines.extend(error.chain().skip(1).map(|cause| format!("  cause: {cause}")));
    if let Some(failure) = error.downcast_ref::<Failure>() {
        lines.extend(failure.detail.iter().flat_map(|fact| fact.lines()).map(|line| format!("  {line}")));
        if !failure.remedy.is_empty() {
            lines.push(format!("remedy: {}", failure.remedy));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_keeps_its_code_and_remedy_under_context() {
        let failure =
            Failure::host_not_ready("qemu was not found").detail("looked in PATH").remedy("install it");
        let error = Err::<(), _>(failure).context("cannot boot the image").unwrap_err();
        assert_eq!(code_of(&error), Code::HostNotReady);
        assert_eq!(
            lines_of(&error),
            [
                "error: cannot boot the image",
                "  cause: qemu was not found",
                "  looked in PATH",
                "remedy: install it"
            ]
        );
    }

    #[test]
    fn a_failed_command_is_shown_with_its_last_lines() {
        let error =
            rave_process::Cmd::new("sh").args(["-c", "echo one; echo two; exit 7"]).output().unwrap_err();
        let failure = Failure::of_command(Code::CheckFailed, "it failed", &error, 1);
        assert_eq!(failure.detail, ["command: sh -c 'echo one; echo two; exit 7'", "  two"]);
        let error = rave_process::Cmd::new("false").output().unwrap_err();
        let failure = Failure::of_command(Code::CheckFailed, "it failed", &error, 1);
        assert_eq!(failure.detail, ["command: false".to_owned(), error.to_string()]);
    }

    #[test]
    fn the_numbers_are_the_published_ones() {
        let all = [Code::Ok, Code::CheckFailed, Code::Usage, Code::HostNotReady, Code::BuildFailed];
        assert_eq!(all.map(Code::number), [0, 1, 2, 3, 4]);
        assert_eq!(Code::Interrupted.number(), 130);
    }
}
