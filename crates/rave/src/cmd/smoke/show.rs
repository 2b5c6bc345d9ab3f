//! The report as tables, or as JSON.

use rave_process::shell_quote;
use rave_smoke::report::{ArtifactChecks, Boot, CheckResult, Counts, Outcome, Report, Run, Subject};

use super::clone;
use crate::cli;
use crate::settings::Settings;
use crate::ui::Ui;

/// Characters of an answer in a table that is not shown on a terminal.
const ANSWER_WIDTH: usize = 100;
/// Minimum width of an answer on the narrowest terminal.
const LEAST_WIDTH: usize = 20;
/// Characters between two columns.
const GAP: usize = 2;

pub(super) fn report(report: &Report, args: &cli::Smoke, settings: &Settings, ui: &Ui) -> anyhow::Result<()> {
    if args.json {
        ui.data(&serde_json::to_string_pretty(report)?);
    } else {
        report.made.iter().for_each(|made| files(made, ui));
        let is_one = report.runs.len() == 1;
        // With many runs, a table for each would bury the failures; --report has them all.
        for run in report.runs.iter().filter(|run| is_one || run.counts().failed > 0) {
            one(run, args, ui);
        }
        if !is_one {
            ui.table(&SUMMARY, &report.runs.iter().map(summary).collect::<Vec<_>>());
        }
        ui.data(&closing(report.counts));
    }
    if report.counts.failed > 0 {
        ui.note(&format!("to run just these again: {}", rerun_command(report, args, settings)));
    }
    Ok(())
}

fn closing(total: Counts) -> String {
    let not_run = if total.not_run > 0 { format!(", {} not run", total.not_run) } else { String::new() };
    format!("{} passed, {} failed{not_run}", total.passed, total.failed)
}

const SUMMARY: [&str; 8] = ["row", "medium", "firmware", "bus", "nic", "result", "ready", "took"];

/// One line for a row of the matrix.
fn summary(run: &Run) -> Vec<String> {
    let subject = &run.subject;
    let counts = run.counts();
    let ready = match &run.boot {
        Boot::Ready(times) => format!("{:.1} s", times.ready),
        Boot::Failed(_) => "never".into(),
    };
    let result = if counts.failed > 0 {
        format!("{} FAILED of {}", counts.failed, counts.passed + counts.failed + counts.not_run)
    } else {
        closing(counts)
    };
    let hardware = [&subject.row, &subject.medium, &subject.firmware, &subject.bus, &subject.nic];
    let took = format!("{:.0} s", run.seconds);
    hardware.into_iter().cloned().chain([result, ready, took]).collect()
}

/// The results of the host's programs for an artifact's files.
fn files(made: &ArtifactChecks, ui: &Ui) {
    ui.data(&format!("the files of {}", made.format));
    ui.table(&["program", "result", "time", "what it says"], &table(&made.rows, ui.width()));
    for row in made.rows.iter().filter(|row| row.outcome.is_failure()) {
        ui.data(&format!("{}: {}", row.name, row.outcome.reason().unwrap_or_default()));
    }
    made.not_here.iter().for_each(|line| ui.data(&format!("not run on this host: {line}")));
}

fn one(run: &Run, args: &cli::Smoke, ui: &Ui) {
    let subject = &run.subject;
    let boot = match &run.boot {
        Boot::Ready(times) => format!(", ready after {:.1} s", times.ready),
        Boot::Failed(_) => String::new(),
    };
    let Subject { artifact, row, accelerator, .. } = subject;
    ui.data(&format!("{artifact} as {row} under {accelerator} ({}){boot}", subject.hardware()));
    ui.table(&["check", "result", "time", "last answer"], &table(&run.rows, ui.width()));
    if let Some(failure) = run.boot_failure() {
        ui.data(&failure.to_string());
    }
    for row in run.rows.iter().filter(|row| row.outcome.is_failure()) {
        ui.data(&format!("{}: {}", row.name, row.outcome.reason().unwrap_or_default()));
    }
    if let Some(serial) = run.serial.as_ref().filter(|_| run.counts().failed > 0) {
        // A report has the log beside the page.
        let file = args
            .report
            .as_ref()
            .map_or_else(|| serial.file.clone(), |folder| folder.join(&serial.file).into());
        ui.data(&format!("the last lines of the serial log {file}:"));
        serial.tail.iter().for_each(|line| ui.data(&format!("  {line}")));
    }
}

/// Answers are truncated to the remaining width of the terminal.
fn table(rows: &[CheckResult], terminal: Option<usize>) -> Vec<Vec<String>> {
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let seen = match &row.outcome {
                Outcome::NotRun(reason) | Outcome::NotYet(reason) => reason,
                _ if row.last_answer.is_empty() => row.outcome.reason().unwrap_or_default(),
                _ => &row.last_answer,
            };
            let seen = seen.lines().next().unwrap_or_default().to_owned();
            vec![row.name.clone(), row.outcome.as_str().to_owned(), format!("{:.1} s", row.seconds), seen]
        })
        .collect();
    let column = |index: usize, header: &str| {
        let widest = cells.iter().map(|row| row[index].chars().count()).max();
        widest.unwrap_or_default().max(header.len()) + GAP
    };
    let before = column(0, "check") + column(1, "result") + column(2, "time");
    let width = terminal.map_or(ANSWER_WIDTH, |terminal| terminal.saturating_sub(before).max(LEAST_WIDTH));
    for row in &mut cells {
        if row[3].chars().count() > width {
            row[3] = row[3].chars().take(width - 1).chain(['…']).collect();
        }
    }
    cells
}

/// The command that repeats what failed, with this run's flags.
fn rerun_command(report: &Report, args: &cli::Smoke, settings: &Settings) -> String {
    let failed: Vec<&Run> = report.runs.iter().filter(|run| run.counts().failed > 0).collect();
    let rows: Vec<&str> = failed.iter().map(|run| run.subject.row.as_str()).collect();
    let mut arguments = vec!["--rows".to_owned(), rows.join(",")];
    if args.clone {
        arguments = vec!["--isolation".to_owned(), "--clone".to_owned()];
    } else if args.isolation {
        arguments.insert(0, "--isolation".to_owned());
    }
    if failed.is_empty() {
        let files = report.made.iter().filter(|made| made.counts().failed > 0);
        let formats: Vec<&str> = files.map(|made| made.format.as_str()).collect();
        arguments = vec!["--format".to_owned(), formats.join(",")];
    }
    let mut flag = |name: &str, value: &str| arguments.extend([name.to_owned(), shell_quote(value)]);
    flag("--profile", settings.profile.as_str());
    if args.target.base.is_some() {
        flag("--base", settings.base.as_str());
    }
    if args.target.out.is_some() {
        flag("--out", settings.out_dir.as_str());
    }
    match args.accel {
        Some(cli::Accel::Kvm) => flag("--accel", "kvm"),
        Some(cli::Accel::Tcg) => flag("--accel", "tcg"),
        None => {}
    }
    let mut names: Vec<&str> = Vec::new();
    for row in failed.iter().flat_map(|run| &run.rows).filter(|row| row.outcome.is_failure()) {
        // The row about the clone's origin is not an attack.
        if !names.contains(&row.name.as_str()) && row.name != clone::ORIGIN {
            names.push(&row.name);
        }
    }
    // If the guest did not become ready, no check failed by name.
    if names.is_empty() {
        names.extend(args.only.iter().map(String::as_str));
    }
    if !names.is_empty() {
        flag("--only", &names.join(","));
    }
    format!("cargo xtask smoke {}", arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, outcome: Outcome, last_answer: &str) -> CheckResult {
        CheckResult {
            name: name.into(),
            group: "web".into(),
            title: String::new(),
            outcome,
            seconds: 1.25,
            attempts: 1,
            last_answer: last_answer.into(),
        }
    }

    #[test]
    fn answers_are_truncated_to_the_terminal_and_missing_ones_have_a_reason() {
        let rows = [
            row("a-check", Outcome::Passed, &"ä".repeat(150)),
            row("b", Outcome::Error("no ssh\nmore".into()), ""),
            row("c", Outcome::NotRun("the guest is gone".into()), "200"),
        ];
        let wide = table(&rows, None);
        assert_eq!(wide[0][3], format!("{}…", "ä".repeat(99)));
        assert_eq!(wide[1], ["b", "ERROR", "1.2 s", "no ssh"]);
        assert_eq!(wide[2][3], "the guest is gone");
        let widths: Vec<usize> = table(&rows, Some(60))[0].iter().map(|cell| cell.chars().count()).collect();
        // 7 + 2, 7 + 2 ("not run"), 5 + 2, and what is left.
        assert_eq!(widths, [7, 2, 5, 35]);
        assert_eq!(table(&rows, Some(3))[0][3].chars().count(), LEAST_WIDTH);
    }

    #[test]
    fn the_summary_counts_skipped_rows() {
        assert_eq!(closing(Counts { passed: 34, failed: 0, not_run: 0 }), "34 passed, 0 failed");
        assert_eq!(closing(Counts { passed: 1, failed: 2, not_run: 3 }), "1 passed, 2 failed, 3 not run");
    }
}
