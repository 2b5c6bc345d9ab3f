//! The only place that starts programs in the guest.
#![expect(
    clippy::disallowed_types,
    reason = "rave-process ties children to a CLI on the host; here systemd does that"
)]

use crate::error::Error;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a program to its end and returns its output. Fails if it cannot be started, exits with anything but 0, or takes
/// longer than `limit`, after which it is killed.
pub(crate) fn output(program: &str, args: &[&str], limit: Duration) -> Result<String, Error> {
    run(program, args, None, None, limit)
}

/// The same, in a folder.
pub(crate) fn output_in(
    folder: &Path,
    program: &str,
    args: &[&str],
    limit: Duration,
) -> Result<String, Error> {
    run(program, args, Some(folder), None, limit)
}

/// The same, with a text as standard input, which must fit in a pipe: 64 KiB (pipe(7)).
pub(crate) fn output_of_input(
    program: &str,
    args: &[&str],
    input: &str,
    limit: Duration,
) -> Result<String, Error> {
    run(program, args, None, Some(input), limit)
}

fn run(
    program: &str,
    args: &[&str],
    folder: Option<&Path>,
    input: Option<&str>,
    limit: Duration,
) -> Result<String, Error> {
    let failed = |what: String, output: String| Error::Program {
        command: std::iter::once(&program).chain(args).copied().collect::<Vec<_>>().join(" "),
        what,
        output: output.trim_end().to_owned(),
    };
    let mut child = Command::new(program)
        .args(args)
        .current_dir(folder.unwrap_or(Path::new(".")))
        .env("LC_ALL", "C.UTF-8")
        .stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("could not be started: {error}"), String::new()))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        // A program that does not read it fails by itself.
        let _ = pipe.write_all(text.as_bytes());
    }
    let stdout = child.stdout.take().map(|pipe| thread::spawn(move || drain(pipe)));
    let stderr = child.stderr.take().map(|pipe| thread::spawn(move || drain(pipe)));
    let text = |reader: Option<thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };

    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < limit => thread::sleep(pause),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("did not end within {} s", limit.as_secs()), text(stderr)));
            }
            Err(error) => return Err(failed(format!("could not be waited for: {error}"), String::new())),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    if status.success() { Ok(text(stdout)) } else { Err(failed(format!("failed ({status})"), text(stderr))) }
}

fn drain(mut pipe: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.by_ref().take(1 << 20).read_to_end(&mut bytes);
    let _ = std::io::copy(&mut pipe, &mut std::io::sink()); // otherwise the program would block on a full pipe
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_command_and_its_output() {
        let error =
            output("sh", &["-c", "echo out; echo why >&2; exit 3"], Duration::from_secs(5)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("exit status: 3") && text.ends_with("why"), "{text}");
    }

    #[test]
    fn text_is_passed_as_input() {
        assert_eq!(output_of_input("cat", &[], "a:b\n", Duration::from_secs(5)).unwrap(), "a:b\n");
    }

    #[test]
    fn a_hanging_program_is_killed() {
        let started = Instant::now();
        let error = output("sleep", &["60"], Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn output_larger_than_a_pipe_does_not_block() {
        let out = output("head", &["-c", "3000000", "/dev/zero"], Duration::from_secs(5)).unwrap();
        assert_eq!(out.len(), 1 << 20);
    }
}
