//! `cargo xtask audit NAME`: the record of a sandbox.

use std::time::Duration;

use rave_audit::{Entry, Event, Files, Reader, Verdict, Way, verify};
use rave_process::interrupt;
use rave_sandbox::{Error, audit};
use rave_vm::terminal_text::plain;

use super::attend::Named;
use super::utc::utc;
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

/// How often new lines are looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn run(args: &cli::Audit, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let files = files(&named, args.earlier, ui)?;
    audit::flush(&named.place());
    if args.verify {
        return check(args, &files, ui);
    }
    let mut reader = Reader::open(&files).map_err(Error::from)?;
    loop {
        while let Some(line) = reader.next_line().map_err(Error::from)? {
            if args.json {
                ui.data(plain(&String::from_utf8_lossy(&line)).trim_end());
            } else {
                ui.data(&row(&line));
            }
        }
        // A record that was moved away because its sandbox was removed gets no more lines.
        if !args.follow || !files.record.exists() {
            return Ok(Code::Ok);
        }
        interrupt::pause(POLL_INTERVAL)?;
    }
}

/// The record's files of the sandbox, or of the last removed one of this name.
fn files(named: &Named, earlier: bool, ui: &Ui) -> anyhow::Result<Files> {
    let removed = named.store.earlier_audits(&named.name)?.pop();
    let own = named.place().audit();
    match removed {
        _ if !earlier && own.record.exists() => Ok(own),
        Some(removed) => {
            ui.note(&format!("{} was removed at {}", named.name, utc(removed.removed * 1000)));
            Ok(removed.files())
        }
        None if earlier => Err(CommandError::usage(format!("no earlier {} has a record", named.name)).into()),
        None if named.store.find(&named.name)?.is_some() => {
            Err(CommandError::usage(format!("{} has no record yet", named.name))
                .remedy(format!("it begins when it is started: cargo xtask start {}", named.name))
                .into())
        }
        None => Err(Error::Unknown { name: named.name.clone() }.into()),
    }
}

/// How often a line that is still being written is read again at most.
const MAX_RETRIES: u32 = 5;

fn check(args: &cli::Audit, files: &Files, ui: &Ui) -> anyhow::Result<Code> {
    let mut verdict = verify(files).map_err(Error::from)?;
    for _ in 0..MAX_RETRIES {
        if matches!(verdict, Verdict::Whole { .. }) {
            break;
        }
        interrupt::pause(POLL_INTERVAL)?;
        verdict = verify(files).map_err(Error::from)?;
    }
    let name = &args.name;
    let (text, code) = match &verdict {
        Verdict::Whole { lines, unwritten: 0 } => {
            (format!("{name}: {lines} lines, as they were written"), Code::Ok)
        }
        Verdict::Whole { lines, unwritten } => (
            format!("{name}: {lines} lines, as they were written; {unwritten} events are not among them"),
            Code::Ok,
        ),
        Verdict::Wrong { line, why } => (format!("{name}: line {line} is wrong: {why}"), Code::CheckFailed),
    };
    if args.json {
        ui.json(&verdict)?;
    } else {
        ui.data(&text);
    }
    Ok(code)
}

/// Records what a command did. If that fails the command only warns: its work is already done.
pub(in crate::cmd) fn note(named: &Named, event: &Event, ui: &Ui) {
    if let Err(error) = audit::note(&named.place(), event) {
        ui.warn(&format!("this is not in the record of {}: {error}", named.name));
    }
}

/// A number of things.
pub(in crate::cmd) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// One line for people.
fn row(line: &[u8]) -> String {
    let Some(entry) = Entry::parse(line) else {
        return format!("not an entry: {}", plain(&String::from_utf8_lossy(line)).trim());
    };
    let times = match (entry.count, (entry.last - entry.first.min(entry.last)).div_ceil(1000)) {
        (1, _) => String::new(),
        (count, seconds) => format!(", {count} times in {seconds} s"),
    };
    // One event is one line: some of the text is a program's output.
    let what = plain(&describe(&entry.event)).trim().replace('\n', " | ");
    format!("{}  {what}{times}", utc(entry.first))
}

fn describe(event: &Event) -> String {
    let from = |way: &Way| if *way == Way::Out { "to" } else { "from the host to" };
    match event {
        Event::Begun { sandbox } => format!("the record of {sandbox} begins"),
        Event::Started { origin } => format!("started from {origin}"),
        Event::Attended => "another supervisor took over".to_owned(),
        Event::Stopped { how } => format!("stopped: {how}"),
        Event::Removed => "removed".to_owned(),
        Event::Opened { way, to, rule } => format!("connection {} {to}: {rule}", from(way)),
        Event::Closed { way, to, sent, received } => {
            format!("connection {} {to} ended: {sent} bytes sent, {received} received", from(way))
        }
        Event::Denied { what, to, rule } => format!("refused: {what} {to}: {rule}"),
        Event::Question { name, rule } => format!("name {name}: {rule}"),
        Event::Signed { key, to } => format!("SSH key {key} signed a login at {to}"),
        Event::Secret { name, to } => format!("secret {name} put into a request to {to}"),
        Event::Exec { program, arguments, user } => {
            let user = user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
            format!("exec {program} with {arguments} arguments{user}")
        }
        Event::ExecEnded { program, code, sent, received } => {
            let code = code.map_or("unknown".to_owned(), |code| code.to_string());
            format!("exec {program} ended, exit code {code}: {sent} bytes of output, {received} of input")
        }
        Event::Push { files, received } => format!("push: {files} files and folders, {received} bytes"),
        Event::Pull { changed } => format!("pull: {changed} files differ"),
        Event::Diff { changed } => format!("diff: {changed} files differ"),
        Event::Apply { into, taken, left } => format!("apply into {into}: {taken} files taken, {left} left"),
        Event::Copy { way: Way::In } => "files copied into it".to_owned(),
        Event::Copy { way: Way::Out } => "files copied out of it".to_owned(),
        Event::Policy { mode, rules } => format!("policy: {mode}; {}", rules.join(" ")),
        Event::Pages { open } => format!("pages may connect anywhere: {open}"),
        Event::Fork { name } => format!("fork: {name} was made of it"),
        Event::Snapshot { action, name } => format!("snapshot {name}: {action}"),
        Event::Omitted { kinds, sent, received } => {
            let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            format!("events omitted: {}; {sent} bytes sent, {received} received", kinds.join(", "))
        }
        Event::Full { limit } => {
            format!("the record has {} MiB: no more events of the guest are recorded", limit >> 20)
        }
        Event::Unwritten { total } => format!("{total} events were not written since the record is full"),
        Event::Gap { ms, why } => format!("the record could not be written for {ms} ms: {why}"),
        Event::Recovered { cut } => {
            format!("an incomplete line of {cut} bytes, left by a killed writer, was removed")
        }
        Event::Broken { why } => format!("THE RECORD WAS CHANGED: {why}"),
    }
}
