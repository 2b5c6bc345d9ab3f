//! The section of one run: failures, every check, the boot, the screen and the serial log.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use maud::{Markup, html};

use super::text::{self, Text, plural};
use super::timeline;
use crate::report::{
    ArtifactChecks, Boot, BootFailure, CheckResult, Counts, Outcome, Run, Screenshot, ScreenshotTrigger,
    SerialLog,
};

/// The most bytes of a serial log on the page, from its end: a boot and a reboot print 50 KB.
const SERIAL_LIMIT: u64 = 1024 * 1024;

pub(super) fn run(index: usize, run: &Run, folder: &Utf8Path) -> Markup {
    let id = |part: &str| format!("run-{index}-{part}");
    let subject = &run.subject;
    html! {
        section.run.(class(run)) #(format!("run-{index}")) aria-labelledby=(id("title")) {
            div.title {
                h2 #(id("title")) { span.mark aria-hidden="true" { (mark(run)) } (Text(&subject.row)) }
                p { (tally(run)) }
                nav aria-label=(format!("Parts of run {}", index + 1)) {
                    a href=(format!("#{}", id("checks"))) { "Checks" }
                    a href=(format!("#{}", id("boot"))) { "Boot" }
                    @if !run.screenshots.is_empty() { a href=(format!("#{}", id("screen"))) { "Screen" } }
                    @if run.serial.is_some() { a href=(format!("#{}", id("serial"))) { "Serial log" } }
                }
            }
            @if let Some(failure) = run.boot_failure() { (boot_failure(failure)) }
            @for warning in &run.warnings { p.notice { strong { "Missing: " } (Text(warning)) } }
            div.columns {
                section.checks aria-labelledby=(id("checks")) {
                    h3 #(id("checks")) { "Checks" }
                    @match same_reason(run) {
                        Some(reason) => details {
                            summary { (plural(run.rows.len(), "check")) " not run: " (Text(reason)) }
                            (checks(&run.rows))
                        },
                        None => (checks(&run.rows)),
                    }
                }
                div.aside {
                    section aria-labelledby=(id("boot")) {
                        h3 #(id("boot")) { "Boot" }
                        p.sub { (boot_line(run)) }
                        (timeline::chart(&run.boot))
                    }
                    @if !run.screenshots.is_empty() {
                        section aria-labelledby=(id("screen")) {
                            h3 #(id("screen")) { "Screen" }
                            @for screenshot in &run.screenshots { (picture(screenshot, run, folder)) }
                        }
                    }
                    section aria-labelledby=(id("artifact")) {
                        h3 #(id("artifact")) { "Artifact" }
                        dl.facts {
                            div.wide { dt { "File" } dd { code { (Text(&subject.artifact)) } } }
                            div.wide { dt { "SHA-256" } dd { code { (Text(&subject.sha256)) } } }
                            div.wide { dt { "Machine" } dd {
                                (subject.memory_mib) " MiB, " (plural(subject.cpus as usize, "processor")) ", "
                                (Text(&subject.hardware())) ", "
                                (Text(&subject.accelerator))
                            } }
                        }
                    }
                }
            }
            @if let Some(serial) = &run.serial {
                section aria-labelledby=(id("serial")) {
                    h3 #(id("serial")) { "Serial log" }
                    (serial_log(serial, folder))
                }
            }
        }
    }
}

/// The results of the host's programs for an artifact's files.
pub(super) fn artifact_checks(index: usize, made: &ArtifactChecks) -> Markup {
    let counts = made.counts();
    let title = format!("made-{index}");
    html! {
        section.run.(of(counts)) aria-labelledby=(title) {
            div.title {
                h2 #(title) {
                    span.mark aria-hidden="true" { (sign(of(counts))) } "The files of " (Text(&made.format))
                }
            }
            (checks(&made.rows))
            @for line in &made.not_here { p.sub { "Not run on this host: " (Text(line)) } }
        }
    }
}

pub(super) fn class(run: &Run) -> &'static str {
    of(run.counts())
}

fn of(counts: Counts) -> &'static str {
    match (counts.failed, counts.not_run) {
        (0, 0) => "passed",
        (0, _) => "open",
        _ => "failed",
    }
}

pub(super) fn mark(run: &Run) -> &'static str {
    sign(class(run))
}

fn sign(class: &str) -> &'static str {
    match class {
        "passed" => "✓",
        "open" => "–",
        _ => "✗",
    }
}

fn tally(run: &Run) -> Markup {
    let counts = run.counts();
    html! {
        strong { (counts.passed) } " passed, " strong { (counts.failed) } " failed"
        @if counts.not_run > 0 { ", " strong { (counts.not_run) } " not run" }
        " in " (text::span(run.seconds))
    }
}

fn boot_failure(failure: &BootFailure) -> Markup {
    html! {
        div.failure {
            p { strong { "The guest did not get past " (Text(&failure.stage)) ": " (Text(&failure.cause)) } }
            p { (Text(&failure.evidence)) }
            @if !failure.remedy.is_empty() { p { "What to do: " (Text(&failure.remedy)) } }
        }
    }
}

fn boot_line(run: &Run) -> Markup {
    match &run.boot {
        Boot::Ready(times) => {
            html! { "Ready " strong { (text::seconds(times.ready)) } " after QEMU's start" }
        }
        Boot::Failed(failure) => html! { "Given up after " strong { (text::seconds(failure.waited)) } },
    }
}

/// The reason why no check was run, if it is the same in every row.
fn same_reason(run: &Run) -> Option<&str> {
    let Outcome::NotRun(reason) = &run.rows.first()?.outcome else { return None };
    let same = |row: &CheckResult| matches!(&row.outcome, Outcome::NotRun(other) if other == reason);
    run.rows.iter().all(same).then_some(reason)
}

/// Failed checks come first; passed ones are grouped, in the order in which they ran.
fn checks(all: &[CheckResult]) -> Markup {
    let failed: Vec<&CheckResult> = all.iter().filter(|row| row.outcome.is_failure()).collect();
    let not_run: Vec<&CheckResult> =
        all.iter().filter(|row| matches!(row.outcome, Outcome::NotRun(_) | Outcome::NotYet(_))).collect();
    let passed: Vec<&CheckResult> = all.iter().filter(|row| row.outcome == Outcome::Passed).collect();
    html! {
        table.checks role="table" {
            caption.unseen { "Every check, those that failed first" }
            thead role="rowgroup" { tr role="row" {
                th scope="col" role="columnheader" { "State" }
                th scope="col" role="columnheader" { "Check" }
                th.number scope="col" role="columnheader" { "Time" }
                th scope="col" role="columnheader" { "Last answer" }
            } }
            @if !failed.is_empty() { (rows("failed", &failed)) }
            @if !not_run.is_empty() { (rows("not run", &not_run)) }
            @for group in passed.chunk_by(|a, b| a.group == b.group) { (rows(&group[0].group, group)) }
        }
    }
}

fn rows(name: &str, rows: &[&CheckResult]) -> Markup {
    html! {
        tbody role="rowgroup" {
            tr.group role="row" {
                th scope="rowgroup" colspan="4" role="rowheader" { (Text(name)) " " span { (rows.len()) } }
            }
            @for row in rows { (check(row)) }
        }
    }
}

fn check(row: &CheckResult) -> Markup {
    let (class, mark, word) = match row.outcome {
        Outcome::Passed => ("passed", "✓", "passed"),
        Outcome::Failed(_) => ("failed", "✗", "failed"),
        Outcome::Error(_) => ("failed", "!", "error"),
        Outcome::NotRun(_) | Outcome::NotYet(_) => ("open", "–", "not run"),
    };
    html! {
        tr.check.(class) role="row" {
            td.state role="cell" { span.mark aria-hidden="true" { (mark) } span.word { (word) } }
            th scope="row" role="rowheader" { code { (Text(&row.name)) } span.what { (Text(&row.title)) } }
            td.number role="cell" { (text::seconds(row.seconds)) }
            td.answer role="cell" {
                @if let Some(reason) = row.outcome.reason() { p.reason { (Text(reason)) } }
                @if !row.last_answer.is_empty() {
                    p { samp { (Text(&row.last_answer)) } @if row.attempts > 1 { " " span.asked { "asked " (row.attempts) " times" } } }
                }
            }
        }
    }
}

fn picture(screenshot: &Screenshot, run: &Run, folder: &Utf8Path) -> Markup {
    let Screenshot { file, taken, width, height } = screenshot;
    let taken = match taken {
        ScreenshotTrigger::Looked => "After the checks that only look".to_owned(),
        ScreenshotTrigger::CheckFailed(check) => format!("When {check} failed"),
        ScreenshotTrigger::BootFailed => "When the boot was given up".to_owned(),
    };
    let alt = format!("The screen of the {} guest. {taken}.", run.subject.row);
    match fs::read(folder.join(file)) {
        Ok(png) => html! {
            figure {
                img src=(format!("data:image/png;base64,{}", STANDARD.encode(png))) alt=(Text(&alt)) width=(width) height=(height);
                figcaption { (Text(&taken)) br; span.size { (width) "×" (height) ", " (Text(file)) } }
            }
        },
        Err(error) => html! {
            p.notice { strong { "Missing: " } "picture " (Text(file)) ": " (Text(&error.to_string())) }
        },
    }
}

fn serial_log(serial: &SerialLog, folder: &Utf8Path) -> Markup {
    let (log, left_out) = match last_bytes(&folder.join(&serial.file)) {
        Ok(read) => read,
        // Its end is in the report itself.
        Err(_) => (serial.tail.join("\n"), 0),
    };
    let log = rave_vm::terminal_text::plain(&log);
    html! {
        details {
            summary { (Text(&serial.file)) " " span.size { (plural(log.lines().count(), "line")) } }
            @if left_out > 0 { p.sub { "The last 1 MiB; " (plural(usize::try_from(left_out).unwrap_or(usize::MAX), "byte")) " before that are left out." } }
            pre tabindex="0" role="region" aria-label="Serial log" { (Text(&log)) }
        }
    }
}

/// The end of a file as text, and how many bytes before it are left out.
fn last_bytes(file: &Utf8Path) -> io::Result<(String, u64)> {
    let mut file = File::open(file)?;
    let left_out = file.metadata()?.len().saturating_sub(SERIAL_LIMIT);
    file.seek(SeekFrom::Start(left_out))?;
    let mut bytes = Vec::new();
    file.take(SERIAL_LIMIT).read_to_end(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), left_out))
}
