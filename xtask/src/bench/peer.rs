//! The programs that RAVE is compared with. They are run directly, with duct: a floor has no watchdog and no events.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use camino::Utf8Path;

/// Lines of a peer's output that an error shows.
const SHOWN: usize = 10;

/// Runs a command line to its end and returns its duration. stdin is empty, stdout is discarded.
pub(super) fn time<S: AsRef<str>>(argv: &[S], folder: Option<&Utf8Path>) -> anyhow::Result<Duration> {
    let parts: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
    let (program, arguments) = parts.split_first().context("an empty command line")?;
    let command = duct::cmd(*program, arguments).stdin_null().stdout_null().stderr_capture().unchecked();
    let command = match folder {
        Some(folder) => command.dir(folder),
        None => command,
    };
    let started = Instant::now();
    let output = command.run().with_context(|| format!("cannot run {}", parts.join(" ")))?;
    let elapsed = started.elapsed();
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = stderr.lines().collect();
        let tail = lines[lines.len().saturating_sub(SHOWN)..].join("\n  ");
        bail!("{} ended with {}:\n  {tail}", parts.join(" "), output.status);
    }
    Ok(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_peer_is_named_with_its_last_lines() {
        assert!(time(&["true"], None).is_ok());
        let error = time(&["sh", "-c", "echo why >&2; exit 3"], None).unwrap_err().to_string();
        assert!(error.contains("exit 3") && error.contains("\n  why"), "{error}");
        assert!(time(&["/no/such/program"], None).is_err());
    }
}
