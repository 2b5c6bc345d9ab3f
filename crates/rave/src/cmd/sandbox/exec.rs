//! `cargo xtask exec`: runs a program in a sandbox with this process's streams.

use std::time::Duration;

use rave_guest::channel::message::{Exec, Terminal};
use rave_process::interrupt::{self, Signal};
use rave_sandbox::exec::{self, HostEvent, Streams};
use rave_sandbox::now;

use super::attend::Named;
use super::net::report_denials;
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;
use crate::ui::attached::{Attached, RawTerminal};

pub(super) fn run(args: &cli::Exec, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let env = args.env.iter().map(|text| variable(text)).collect::<anyhow::Result<_>>()?;
    let attached = Attached::new();
    let size = attached.size();
    let has_terminal = args.tty || (!args.no_tty && attached.is_terminal());
    let terminal = has_terminal.then(|| {
        let (rows, columns) = size.unwrap_or((24, 80));
        let kind = std::env::var("TERM").ok().filter(|kind| !kind.is_empty());
        Terminal { rows, columns, kind: kind.unwrap_or_else(|| "dumb".into()) }
    });
    let request = Exec {
        command: args.command.clone(),
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        env,
        terminal,
        timeout_ms: args.timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    };
    let mut connection = named.connect(ui)?;
    if connection.status().is_ok_and(|status| status.lacks_space) {
        ui.warn(&format!("the host's disk is full: {} is paused until there is space", args.name));
    }
    let since = now();
    let mut events = Events { attached: &attached, size, received: None };
    let running = match exec::start(connection, request, &mut || events.next())? {
        Ok(running) => running,
        Err(ended) => return Ok(Code::Guest(ended.shell_code())),
    };
    // A change of the size during the wait is sent now.
    events.size = size;
    // Until the program runs, Ctrl-C ends the wait.
    let raw = if has_terminal { RawTerminal::of_stdin() } else { None };
    let (mut stdout, mut stderr) = (attached.stdout(), attached.stderr());
    let streams = Streams {
        stdin: (!args.no_stdin).then(|| attached.stdin()),
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let ended = running.attach(streams, &mut || events.next());
    drop(raw);
    let ended = ended?;
    if let Some(why) = &ended.error {
        let why = rave_vm::terminal_text::plain(why);
        return Err(CommandError::new(
            Code::Guest(ended.shell_code()),
            format!("{}: {}", args.name, why.trim()),
        )
        .into());
    }
    if ended.timed_out {
        let seconds = args.timeout.unwrap_or(Duration::ZERO).as_secs();
        ui.warn(&format!("the program was ended after {seconds} s (--timeout)"));
    }
    report_denials(&named, since, ended.shell_code() != 0, ui);
    Ok(Code::Guest(ended.shell_code()))
}

/// `NAME=VALUE`, or `NAME` for its value in this process.
fn variable(text: &str) -> anyhow::Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        None if !text.is_empty() => match std::env::var(text) {
            Ok(value) => Ok((text.to_owned(), value)),
            Err(error) => Err(CommandError::usage(format!("--env {text}: {error}"))
                .remedy(format!("set it, or give its value: --env {text}=VALUE"))
                .into()),
        },
        _ => Err(CommandError::usage(format!("--env {text}: expected NAME=VALUE or NAME")).into()),
    }
}

/// Signals that this process receives, and changes of the terminal's size.
struct Events<'a> {
    attached: &'a Attached,
    size: Option<(u16, u16)>,
    received: Option<Signal>,
}

impl Events<'_> {
    fn next(&mut self) -> Vec<HostEvent> {
        let mut events = Vec::new();
        if self.received.is_none() {
            self.received = interrupt::requested();
            events.extend(self.received.map(|signal| HostEvent::Signal(number(signal))));
        }
        let size = self.attached.size();
        if size != self.size {
            self.size = size;
            events.extend(size.map(|(rows, columns)| HostEvent::Resize(rows, columns)));
        }
        events
    }
}

/// signal(7).
fn number(signal: Signal) -> i32 {
    match signal {
        Signal::HangUp => 1,
        Signal::Interrupt => 2,
        Signal::Terminate => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_value_or_takes_the_hosts() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert_eq!(variable("A=").unwrap(), ("A".into(), String::new()));
        assert_eq!(variable("PATH").unwrap().1, std::env::var("PATH").unwrap());
        assert!(
            variable("RAVE_NO_SUCH_VARIABLE").is_err() && variable("=x").is_err() && variable("").is_err()
        );
    }
}
