//! `cargo xtask pull` and `cargo xtask diff`.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rave_audit::Event;
use rave_process::Cmd;
use rave_workspace::BytePath;
use rave_workspace::blobs::Blobs;
use rave_workspace::changes::Change;
use rave_workspace::entry::Entry;
use rave_workspace::quarantine::Class;
use serde_json::{Value, json};

use super::seen::Workspace;
use super::show;
use crate::cli;
use crate::cmd::sandbox::attend::Named;
use crate::cmd::sandbox::audit::{count, note};
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

pub(super) fn pull(args: &cli::Pull, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let workspace = Workspace::open(&named, ui)?;
    let changes = workspace.changes(false)?;
    note(&named, &Event::Pull { changed: count(changes.len()) }, ui);
    if args.json {
        ui.json(&json!({ "changes": changes, "left": workspace.pull.left }))?;
    } else {
        workspace.report_left_out(ui);
        ui.note(&format!(
            "{} has changed {} files; see them: cargo xtask diff {}",
            args.name,
            changes.len(),
            args.name
        ));
    }
    Ok(Code::Ok)
}

pub(super) fn run(args: &cli::Diff, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let workspace = Workspace::open(&named, ui)?;
    let blobs = workspace.place.blobs();
    let wanted: Vec<BytePath> = args.paths.iter().map(|path| path_of(path)).collect();
    let is_wanted =
        |change: &Change| wanted.is_empty() || wanted.iter().any(|path| change.path.is_in(path.bytes()));
    let changes: Vec<Change> = workspace.changes(false)?.into_iter().filter(is_wanted).collect();
    note(&named, &Event::Diff { changed: count(changes.len()) }, ui);
    if args.json {
        let values = changes
            .iter()
            .map(|change| show::value(change, &blobs))
            .collect::<anyhow::Result<Vec<Value>>>()?;
        ui.json(&json!({ "changes": values, "left": workspace.pull.left }))?;
        return Ok(Code::Ok);
    }
    workspace.report_left_out(ui);
    if changes.is_empty() {
        ui.note(&format!("{} has no unapplied changes", args.name));
        return Ok(Code::Ok);
    }
    if let Some(tool) = &args.tool {
        return by_tool(tool, &changes, &blobs, &wanted, ui);
    }
    let mut text = show::stat(&changes);
    if !args.stat {
        for change in &changes {
            text.push('\n');
            text.push_str(&show::full_diff(change, &blobs)?);
        }
    }
    if args.no_pager {
        ui.data(&text);
    } else {
        ui.page(&text);
    }
    Ok(Code::Ok)
}

/// A path as typed by the user: below the workspace.
pub(super) fn path_of(text: &str) -> BytePath {
    let text = text.trim_start_matches("./").trim_end_matches('/');
    BytePath::from(if text == "." { "" } else { text })
}

/// Writes the differences into two folders for a comparison program. Files that run by themselves are left out: the
/// program may be an editor.
fn by_tool(
    tool: &str,
    changes: &[Change],
    blobs: &Blobs,
    wanted: &[BytePath],
    ui: &Ui,
) -> anyhow::Result<Code> {
    let folder = tempfile::tempdir()?;
    for side in ["before", "after"] {
        fs::create_dir(folder.path().join(side))?;
    }
    for change in changes {
        let runs = change.held.as_ref().is_some_and(|held| held.class == Class::RunsByItself);
        if change.refused.is_some() || (runs && !wanted.contains(&change.path)) {
            ui.note(&format!("{} is left out of the folders", change.path));
            continue;
        }
        for (side, entry) in [("before", &change.before), ("after", &change.after)] {
            if let Some(Entry::File { content, .. }) = entry {
                write(&folder.path().join(side), &change.path, &mut blobs.open(content)?)?;
            }
        }
    }
    let folders = ReadOnly::new(folder.path())?;
    let line = format!("{tool} \"$1\" \"$2\"");
    let run = Cmd::new("sh").args(["-c", &line, "diff"]).args(["before", "after"]).current_dir(folder.path());
    let ran = run.inherit_terminal().run(&mut |_| {});
    drop(folders);
    match ran {
        Ok(_) => Ok(Code::Ok),
        // diff(1) and similar programs exit with 1 if there are differences.
        Err(rave_process::Error::Failed { status, .. }) if status.shell_code() == 1 => Ok(Code::Ok),
        Err(error) => {
            Err(CommandError::of_command(Code::HostNotReady, format!("{tool} failed"), &error, 10).into())
        }
    }
}

/// Folders that are read-only for the lifetime of this value: changes made in them would be lost.
struct ReadOnly(Vec<PathBuf>);

impl ReadOnly {
    fn new(root: &Path) -> io::Result<Self> {
        let mut folders = vec![root.to_owned()];
        let mut next = 0;
        while let Some(folder) = folders.get(next).cloned() {
            next += 1;
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        let read_only = Self(folders);
        read_only.set_mode(0o500)?;
        Ok(read_only)
    }

    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.iter().try_for_each(|folder| fs::set_permissions(folder, fs::Permissions::from_mode(mode)))
    }
}

/// Makes them writable again, so that they can be removed.
impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = self.set_mode(0o700);
    }
}

fn write(root: &Path, path: &BytePath, content: &mut dyn io::Read) -> io::Result<()> {
    let root = rave_guest::tree::beneath::Root::open(root)?;
    root.make_folder(rave_guest::tree::path::split(path.bytes()).0)?;
    let mut new = root.new_file(path.bytes())?;
    io::copy(content, &mut new.file)?;
    new.commit(0o400)
}
