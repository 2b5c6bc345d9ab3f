//! The error that ends a command: what failed, the facts, what to do next, and the exit code.
//!
//! Engines have errors of their own; `engines` turns each into this one.

mod engines;

use std::fmt;

use crate::exit::Code;

/// An error with an exit code and a remedy. Commands return it, or an engine's error, through `anyhow`; [`crate::run`]
/// prints it once.
#[derive(Debug, Clone)]
pub struct CommandError {
    /// The exit code of the process.
    pub code: Code,
    /// What failed, one line, lower case.
    pub what: String,
    /// Facts: the command, its last lines, what was expected.
    pub detail: Vec<String>,
    /// What to do next; empty if no remedy is known.
    pub remedy: String,
}

impl CommandError {
    /// A failure without details or a remedy.
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

    /// The failure of a command that was run: its command line and at most `shown` of the last lines that it printed.
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

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for CommandError {}

/// The exit code for an error. An unclassified error counts as a problem of the host.
pub fn code_of(error: &anyhow::Error) -> Code {
    error.chain().find_map(CommandError::of).map_or(Code::HostNotReady, |error| error.code)
}

/// The lines of an error for stderr: what failed, then causes and facts, then the remedy.
pub fn lines_of(error: &anyhow::Error) -> Vec<String> {
    let mut lines = Vec::new();
    for (depth, cause) in error.chain().enumerate() {
        let known = CommandError::of(cause);
        let what = known.as_ref().map_or_else(|| cause.to_string(), |known| known.what.clone());
        lines.push(if depth == 0 { format!("error: {what}") } else { format!("  cause: {what}") });
        // A known error already contains its causes.
        if let Some(known) = known {
            lines.extend(known.detail.iter().flat_map(|fact| fact.lines()).map(|line| format!("  {line}")));
            if !known.remedy.is_empty() {
                lines.push(format!("remedy: {}", known.remedy));
            }
            break;
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
            CommandError::host_not_ready("qemu was not found").detail("looked in PATH").remedy("install it");
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
    fn a_failed_command_is_shown_with_its_last_lines_of_output() {
        let error =
            rave_process::Cmd::new("sh").args(["-c", "echo one; echo two; exit 7"]).output().unwrap_err();
        let failure = CommandError::of_command(Code::CheckFailed, "it failed", &error, 1);
        assert_eq!(failure.detail, ["command: sh -c 'echo one; echo two; exit 7'", "  two"]);
        let error = rave_process::Cmd::new("false").output().unwrap_err();
        let failure = CommandError::of_command(Code::CheckFailed, "it failed", &error, 1);
        assert_eq!(failure.detail, ["command: false".to_owned(), error.to_string()]);
    }
}
