//! The report as one self-contained HTML page: no script, with its style and its pictures embedded.
//!
//! Much of its text comes from a guest. Every text goes through [`text::Text`], maud escapes the result, and the page's
//! own policy permits no scripts and no external resources, in case anything else goes wrong.

mod section;
mod text;
mod timeline;

use camino::Utf8Path;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Boot, Report, Run, Verdict};
use text::{Text, plural, span};

const STYLE: &str = include_str!("page/style.css");

/// Nothing is loaded and nothing runs: Content Security Policy Level 3.
const POLICY: &str =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What a page shows in addition to its report.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The text of the `manifest.json` that names the artifacts.
    pub manifest: &'a str,
    /// The folder of the files that the report names.
    pub folder: &'a Utf8Path,
}

/// The page.
pub fn page(report: &Report, material: &Material<'_>) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (verdict_name(report.verdict)) ": " (Text(&subject(report))) " – RAVE smoke report" }
                link rel="icon" href=(icon(report.verdict));
                // The style is part of this program, and does not contain `</style`.
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(report))
                main {
                    @for (index, made) in report.made.iter().enumerate() { (section::artifact_checks(index, made)) }
                    @for (index, run) in report.runs.iter().enumerate() {
                        (section::run(index, run, material.folder))
                    }
                    @if !material.manifest.is_empty() { (manifest(material.manifest)) }
                }
                footer {
                    "Written by RAVE " (Text(&report.version)) ". The same as data: "
                    a href="report.json" { "report.json" } ", " a href="junit.xml" { "junit.xml" } "."
                }
            }
        }
    };
    markup.into_string()
}

fn header(report: &Report) -> Markup {
    let host = &report.host;
    let mut formats: Vec<&str> = report.runs.iter().map(|run| run.subject.format.as_str()).collect();
    formats.dedup();
    html! {
        header class=(class(report.verdict)) {
            p.kind { "RAVE smoke report" }
            h1 { span.mark aria-hidden="true" { (mark(report.verdict)) } (headline(report)) }
            @if let Some(reason) = &report.incomplete {
                p.notice { strong { "Not every artifact was checked: " } (Text(reason)) }
            }
            dl.facts {
                @if let Some(run) = report.runs.first() {
                    div { dt { "Base" } dd { (Text(&run.subject.base)) } }
                    div { dt { "Profile" } dd { (Text(&run.subject.profile)) } }
                    div { dt { @if formats.len() == 1 { "Format" } @else { "Formats" } } dd { (Text(&formats.join(", "))) } }
                }
                div { dt { "Accelerator" } dd { (accelerator(&host.accelerator)) } }
                div { dt { "Duration" } dd { (span(report.seconds)) } }
                div { dt { "Date" } dd { time datetime=(Text(&report.started)) { (Text(&text::date(&report.started))) } } }
                div.wide { dt { "Host" } dd {
                    (Text(&host.system)) ", " (plural(host.cpus, "processor")) ", QEMU " (Text(&host.qemu)) "; "
                    (Text(&host.accelerator_reason))
                } }
            }
            @if report.runs.len() > 1 { (overview(report)) }
        }
    }
}

/// One line for each run, if there are several.
fn overview(report: &Report) -> Markup {
    html! {
        table.overview {
            caption.unseen { "The runs" }
            thead { tr {
                th scope="col" { "Row" } th scope="col" { "Hardware" } th scope="col" { "Passed" } th scope="col" { "Failed" }
                th scope="col" { "Not run" } th scope="col" { "Ready" } th scope="col" { "Took" }
            } }
            tbody {
                @for (index, run) in report.runs.iter().enumerate() {
                    @let counts = run.counts();
                    tr class=(section::class(run)) {
                        th scope="row" {
                            span.mark aria-hidden="true" { (section::mark(run)) }
                            a href=(format!("#run-{index}")) { (Text(&run.subject.row)) }
                        }
                        td { (Text(&run.subject.hardware())) }
                        td { (counts.passed) } td { (counts.failed) } td { (counts.not_run) }
                        td { @match &run.boot {
                            Boot::Ready(times) => { (text::seconds(times.ready)) },
                            Boot::Failed(_) => { "never" },
                        } }
                        td { (text::seconds(run.seconds)) }
                    }
                }
            }
        }
    }
}

fn manifest(manifest: &str) -> Markup {
    html! {
        section #manifest aria-labelledby="manifest-title" {
            h2 #manifest-title { "Manifest" }
            details {
                summary { "manifest.json " span.size { (plural(manifest.lines().count(), "line")) } }
                pre tabindex="0" role="region" aria-label="manifest.json" { (Text(manifest)) }
            }
        }
    }
}

fn headline(report: &Report) -> String {
    let counts = report.counts;
    let runs = report.runs.len();
    let made: usize = report.made.iter().map(|made| made.rows.len()).sum();
    let checks = report.runs.iter().map(|run| run.rows.len()).sum::<usize>() + made;
    let dead = report.runs.iter().filter(|run| run.boot_failure().is_some()).count();
    let failed = counts.failed - dead;
    match report.verdict {
        Verdict::Passed if checks == 1 => "The check passed".into(),
        Verdict::Passed => format!("All {checks} checks passed"),
        Verdict::Failed if dead == 0 => format!("{failed} of {} failed", plural(checks, "check")),
        Verdict::Failed if runs == 1 => "The guest did not become ready".into(),
        Verdict::Failed if failed == 0 => format!("{dead} of {runs} guests did not become ready"),
        Verdict::Failed => {
            format!("{} failed, and {dead} of {runs} guests did not become ready", plural(failed, "check"))
        }
        Verdict::Incomplete if runs == 0 => "Nothing was checked".into(),
        Verdict::Incomplete => format!("{} passed, and not everything was checked", counts.passed),
    }
}

fn subject(report: &Report) -> String {
    let first = report.runs.first().map(|run: &Run| &run.subject);
    first.map_or_else(|| "no run".into(), |subject| format!("{} {}", subject.base, subject.profile))
}

fn accelerator(name: &str) -> Markup {
    match name {
        "kvm" => html! { "KVM" },
        "tcg" => html! { "TCG, software emulation" },
        other => html! { (Text(other)) },
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "Passed",
        Verdict::Failed => "Failed",
        Verdict::Incomplete => "Incomplete",
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Incomplete => "open",
    }
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "✓",
        Verdict::Failed => "✗",
        Verdict::Incomplete => "–",
    }
}

/// A dot in the verdict's colour, for the browser tab.
fn icon(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='3' fill='%232c9f4b'/%3E%3C/svg%3E"
        }
        Verdict::Failed => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='3' fill='%23d93c33'/%3E%3C/svg%3E"
        }
        Verdict::Incomplete => {
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='3' fill='%23b8860b'/%3E%3C/svg%3E"
        }
    }
}
