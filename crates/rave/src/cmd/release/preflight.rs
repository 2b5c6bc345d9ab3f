//! The checks before a release: one row each, and all of them are run.

mod earlier;
mod licences;
mod packages;

use std::fs;

use camino::Utf8Path;
use rave_release::key::LockedKey;
use rave_spec::Base;
use semver::Version;

use super::contents::Contents;
use super::found::{Fact, Found, wrong};
use super::order::Order;
use super::plan::{ReleaseProfile, changelog, now};
use super::space;
use crate::build;
use crate::command_error::CommandError;
use crate::git::git;
use crate::settings::Settings;
use crate::ui::Ui;

/// The maximum age of debian.lock: security fixes appear every week.
const MAX_LOCK_DAYS: i64 = 30;

/// One check.
pub(super) struct Row {
    name: &'static str,
    result: Found,
}

/// Runs all checks. `profiles` is empty if the release signs parts that other hosts built and checked.
pub(super) fn rows(
    args: &Order<'_>,
    settings: &Settings,
    contents: &Contents,
    profiles: &[ReleaseProfile],
    ui: &Ui,
) -> Vec<Row> {
    let root = &settings.root;
    let mut rows = vec![
        Row { name: "clean tree", result: clean_tree(root) },
        Row { name: "clock", result: clock(root, now()) },
        Row { name: "version", result: version(root, args.version) },
        Row { name: "changelog", result: entry(root, args.version) },
        Row { name: "base", result: named_base(args, settings) },
        Row { name: "locks", result: locks(settings, now()) },
    ];
    if !profiles.is_empty() {
        rows.push(Row { name: "packages", result: packages::packages(args, settings, profiles, ui) });
    }
    rows.push(Row { name: "crates' licences", result: licences::of_crates(root) });
    if !profiles.is_empty() {
        rows.push(Row { name: "guest's licences", result: licences::of_guests(settings, profiles) });
    }
    rows.extend([
        Row { name: "disk space", result: space::of_release(args, contents.size, contents.second_build) },
        Row { name: "password", result: password(args, contents) },
        Row { name: "unfree", result: unfree(args, contents) },
    ]);
    if let Some(path) = args.key {
        rows.push(Row { name: "key", result: key(path) });
    }
    if let Some(path) = &args.keys {
        rows.push(Row { name: "statements about keys", result: earlier::statements(path, args.key, now()) });
    }
    for (name, folder) in [("previous release", &args.previous), ("patch from", &args.patch_from)] {
        if let Some(folder) = folder {
            rows.push(Row { name, result: earlier::release(folder, args.version) });
        }
    }
    rows
}

/// Prints the rows.
pub(super) fn show(rows: &[Row], ui: &Ui) {
    let cells = |row: &Row| match &row.result {
        Ok(Fact::Holds(found)) => vec![row.name.to_owned(), "ok".into(), found.clone()],
        Ok(Fact::NotTried(why)) => vec![row.name.to_owned(), "not tried".into(), why.clone()],
        Err((what, _)) => vec![row.name.to_owned(), "FAILED".into(), what.clone()],
    };
    ui.table(&["check", "result", "found"], &rows.iter().map(cells).collect::<Vec<_>>());
}

/// Warns about each check that could not be made.
pub(super) fn report(rows: &[Row], ui: &Ui) {
    let not_tried = |row: &Row| match &row.result {
        Ok(Fact::NotTried(why)) => Some(format!("preflight: {} was not tried: {why}", row.name)),
        _ => None,
    };
    let not_tried: Vec<String> = rows.iter().filter_map(not_tried).collect();
    for text in &not_tried {
        ui.warn(text);
    }
    ui.note(&format!(
        "preflight: {} checks passed, {} not tried",
        rows.len() - not_tried.len(),
        not_tried.len()
    ));
}

/// Fails unless all checks pass, and names each that does not.
pub(super) fn require(rows: &[Row]) -> Result<(), CommandError> {
    let failed: Vec<(&str, &(String, String))> =
        rows.iter().filter_map(|row| row.result.as_ref().err().map(|error| (row.name, error))).collect();
    let Some((name, (what, remedy))) = failed.first() else { return Ok(()) };
    let error = CommandError::usage(format!("a release cannot be cut: {name}: {what}"));
    let rest = failed[1..].iter().map(|(name, (what, remedy))| format!("{name}: {what}; {remedy}"));
    Err(rest.fold(error, CommandError::detail).remedy(remedy.clone()))
}

fn git_output(root: &Utf8Path, arguments: &[&str]) -> Result<String, (String, String)> {
    let output = git(root).args(arguments.iter().copied()).output();
    let remedy = "run this in a clone of the repository, with git installed";
    output.map(|output| output.text()).map_err(|error| (format!("git: {error}"), remedy.into()))
}

fn clean_tree(root: &Utf8Path) -> Found {
    let status = git_output(root, &["status", "--porcelain"])?;
    match status.lines().next() {
        None => Ok("nothing differs from the commit".into()),
        Some(first) => wrong(
            format!("{} files differ from the commit, first `{}`", status.lines().count(), first.trim()),
            "commit or remove them",
        ),
    }
}

/// A clock that was set back would date the release before its sources.
fn clock(root: &Utf8Path, now: i64) -> Found {
    let committed = git_output(root, &["log", "-1", "--format=%ct"])?;
    match committed.trim().parse::<i64>() {
        Ok(committed) if committed <= now => Ok("not before the commit".into()),
        Ok(_) => wrong("this host's clock is before the date of the commit", "set the clock"),
        Err(_) => wrong("git printed no date", "commit something first"),
    }
}

fn version(root: &Utf8Path, wanted: &Version) -> Found {
    let own = workspace_version(root).ok_or_else(|| {
        ("Cargo.toml has no workspace version".to_owned(), "run this in a checkout of RAVE".to_owned())
    })?;
    if own != *wanted {
        return wrong(
            format!("the workspace's version is {own}, not {wanted}"),
            "set version in Cargo.toml, or give the workspace's with --version",
        );
    }
    let tags = git_output(root, &["tag", "--list"])?;
    let versions = tags.lines().filter_map(|tag| tag.trim().trim_start_matches('v').parse::<Version>().ok());
    match versions.max() {
        Some(last) if last >= *wanted => {
            wrong(format!("the last tag is {last}, which is not older"), "choose a newer version")
        }
        Some(last) => Ok(format!("newer than the last tag, {last}").into()),
        None => Ok("the first one".into()),
    }
}

/// `version` of `[workspace.package]`.
fn workspace_version(root: &Utf8Path) -> Option<Version> {
    let text = fs::read_to_string(root.join("Cargo.toml")).ok()?;
    let mut lines = text.lines().skip_while(|line| line.trim() != "[workspace.package]");
    let line = lines.find(|line| line.starts_with("version"))?;
    line.split('"').nth(1)?.parse().ok()
}

fn entry(root: &Utf8Path, version: &Version) -> Found {
    match changelog(root, version) {
        Some(entry) => Ok(format!("{} lines", entry.lines().count()).into()),
        None => wrong(
            format!("CHANGELOG.md has no entry `## [{version}]`"),
            "write one: rename `[Unreleased]`, and begin a new one",
        ),
    }
}

fn named_base(args: &Order<'_>, settings: &Settings) -> Found {
    // The note exists only if the base was chosen automatically.
    if args.base.is_none() && settings.base_note.is_some() {
        return wrong("no base is named, and a release never guesses", "give --base debian or --base nixos");
    }
    // A part records whether it was built twice.
    if settings.base == Base::Nixos && !args.no_second_build && args.from_parts.is_empty() {
        return wrong("the nixos base is not built twice", "add --no-second-build");
    }
    Ok(settings.base.to_string().into())
}

fn locks(settings: &Settings, now: i64) -> Found {
    if settings.base == Base::Nixos {
        return Ok("flake.lock is part of the commit".into());
    }
    let lock = build::lock(settings)
        .map_err(|error| (error.to_string(), "put it back with `git checkout debian.lock`".to_owned()))?;
    let days = (now - i64::try_from(lock.date()).unwrap_or_default()) / 86_400;
    if days > MAX_LOCK_DAYS {
        return wrong(
            format!("debian.lock is {days} days old, at most {MAX_LOCK_DAYS} are allowed"),
            "renew it with `cargo xtask update`, and commit it",
        );
    }
    Ok(format!("debian.lock is {days} days old").into())
}

fn key(path: &Utf8Path) -> Found {
    match LockedKey::read(path) {
        Ok(key) => Ok(rave_release::key::fingerprint(key.public()).into()),
        Err(error) => {
            let remedy =
                error.remedy().unwrap_or_else(|| "make one with `cargo xtask release keygen`".into());
            wrong(error.to_string(), remedy)
        }
    }
}

fn password(args: &Order<'_>, contents: &Contents) -> Found {
    if let Some(profile) = contents.with_default_password.first().filter(|_| !args.allow_default_password) {
        return wrong(
            format!("the user of {profile} has the password of rave.toml"),
            "set guest.password in rave.local.toml, or add --allow-default-password",
        );
    }
    Ok(if args.allow_default_password { "the default is allowed" } else { "not the default" }.into())
}

fn unfree(args: &Order<'_>, contents: &Contents) -> Found {
    if !contents.has_claude {
        return Ok("Claude Code is not in the images: each guest installs it".into());
    }
    if args.accept_unfree {
        return Ok("Claude Code is in the images, and accepted".into());
    }
    wrong(
        "Claude Code is in the images, and not everybody may pass it on",
        "add --accept-unfree if its licence lets you, or set tools.claude = \"first-boot\" in rave.toml",
    )
}
