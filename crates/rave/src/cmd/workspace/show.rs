//! Changes as text. Everything from a guest is escaped.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use rave_workspace::blobs::Blobs;
use rave_workspace::changes::{Change, Status, pair};
use rave_workspace::entry::Entry;
use rave_workspace::escape::escaped;
use rave_workspace::hunks::{Hunk, Side, Texts};
use rave_workspace::patch::NO_NEWLINE;
use rave_workspace::quarantine::Class;
use serde_json::{Value, json};

const ADDED: Style = AnsiColor::Green.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();
const HEAD: Style = AnsiColor::Cyan.on_default();
const FILE: Style = Style::new().bold();
const HELD: Style = AnsiColor::Yellow.on_default().bold();

/// One line per change; changes that are held back follow the others.
pub(super) fn stat(changes: &[Change]) -> String {
    let mut text = String::new();
    let width =
        changes.iter().map(|change| change.path.to_string().chars().count()).max().unwrap_or_default();
    let part = |text: &mut String, title: &str, wanted: &dyn Fn(&Change) -> bool| {
        let mut is_first = true;
        for change in changes.iter().filter(|change| wanted(change)) {
            if is_first && !title.is_empty() {
                let _ = writeln!(text, "{HELD}{title}:{HELD:#}");
            }
            is_first = false;
            text.push_str(&line(change, width));
        }
    };
    let class = |change: &Change| change.held.as_ref().map(|held| held.class);
    let is_refused = |change: &Change| change.refused.is_some();
    part(&mut text, "", &|change| class(change).is_none() && !is_refused(change));
    part(&mut text, "runs on a build or a test; apply asks about it", &|change| {
        class(change) == Some(Class::RunsOnBuild) && !is_refused(change)
    });
    part(&mut text, "runs by itself; apply leaves it out unless --only names it", &|change| {
        class(change) == Some(Class::RunsByItself) && !is_refused(change)
    });
    part(&mut text, "refused", &is_refused);
    text
}

fn line(change: &Change, width: usize) -> String {
    let path = change.path.to_string();
    let counts = match change.lines {
        Some((added, removed)) => format!("{ADDED}+{added}{ADDED:#} {REMOVED}-{removed}{REMOVED:#}"),
        None => "not text".to_owned(),
    };
    let why = change.refused.clone().or_else(|| change.held.as_ref().map(|held| held.why.clone()));
    let why = why.map(|why| format!("  {}", escaped(why.as_bytes()).replace('\n', " "))).unwrap_or_default();
    format!(" {} {path:width$} {counts}{why}\n", letter(change.status))
}

/// The letters of `git diff --name-status`, which has none for a changed mode.
fn letter(status: Status) -> char {
    match status {
        Status::Added => 'A',
        Status::Modified => 'M',
        Status::Deleted => 'D',
        Status::Mode => 'X',
        Status::Kind => 'T',
    }
}

/// A change with its header.
pub(super) fn full_diff(change: &Change, blobs: &Blobs) -> std::io::Result<String> {
    Ok(head(change) + &hunks(change, blobs)?)
}

/// The changed lines.
pub(super) fn hunks(change: &Change, blobs: &Blobs) -> std::io::Result<String> {
    let Some(pair) = pair(change, blobs)? else {
        return Ok("  not text, or too long to be shown\n".to_owned());
    };
    let texts = Texts::new(&pair.before, &pair.after);
    Ok(texts.hunks().iter().map(|shown| hunk(&texts, shown)).collect())
}

pub(super) fn head(change: &Change) -> String {
    let kind = |entry: &Option<Entry>| match entry {
        None => "nothing",
        Some(Entry::Folder) => "a folder",
        Some(Entry::Link { .. }) => "a link",
        Some(Entry::File { executable: true, .. }) => "a file that may be executed",
        Some(Entry::File { .. }) => "a file",
    };
    let (before, after) = (kind(&change.before), kind(&change.after));
    let what = match change.status {
        Status::Added => format!(" is new: {after}"),
        Status::Deleted => " is gone".to_owned(),
        _ if before != after => format!(" was {before} and is {after}"),
        _ => String::new(),
    };
    format!("{FILE}{}{FILE:#}{what}\n", change.path)
}

pub(super) fn hunk(texts: &Texts<'_>, hunk: &Hunk) -> String {
    let mut text = format!("{HEAD}{}{HEAD:#}\n", Texts::head(hunk));
    for (side, line) in texts.lines(hunk) {
        let (sign, style) = match side {
            Side::Both => (' ', Style::new()),
            Side::Removed => ('-', REMOVED),
            Side::Added => ('+', ADDED),
        };
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line, String::new()),
            None => (line, format!("{NO_NEWLINE}\n")),
        };
        let _ = write!(text, "{style}{sign}{}{style:#}\n{end}", escaped(line));
    }
    text
}

/// A change as JSON, with its lines.
pub(super) fn value(change: &Change, blobs: &Blobs) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(change)?;
    let Some(pair) = pair(change, blobs)? else { return Ok(value) };
    let texts = Texts::new(&pair.before, &pair.after);
    let line = |(side, line): (Side, &[u8])| {
        let sign = match side {
            Side::Both => ' ',
            Side::Removed => '-',
            Side::Added => '+',
        };
        format!("{sign}{}", String::from_utf8_lossy(line))
    };
    let hunks = texts.hunks().into_iter().map(|hunk| {
        let lines: Vec<String> = texts.lines(&hunk).into_iter().map(line).collect();
        json!({ "head": Texts::head(&hunk), "lines": lines })
    });
    value["hunks"] = hunks.collect();
    Ok(value)
}
