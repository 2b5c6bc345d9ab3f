//! `cargo xtask publish`: a verified release into a published tree.

use rave_release::publish::{self, Latest, Published, Request};
use serde_json::json;

use super::trust::{self, Trust};
use crate::cli;
use crate::exit::Code;
use crate::ui::Ui;

/// Runs the command.
pub fn run(args: &cli::Publish, ui: &Ui) -> anyhow::Result<Code> {
    let mut trust = Trust::of(&args.keys, trust::store()?)?;
    let request = Request {
        folder: &args.folder,
        tree: &args.to,
        now: super::release::now(),
        statements: &trust.statements,
        make_latest: args.make_latest,
    };
    let published = publish::publish(&request, &mut trust.trusted, &mut trust.store, &ui.sink());
    trust.keep(ui);
    show(&published?, args, ui)?;
    Ok(Code::Ok)
}

fn show(published: &Published, args: &cli::Publish, ui: &Ui) -> anyhow::Result<()> {
    published.notes.iter().for_each(|note| ui.warn(note));
    let version = &published.manifest.version;
    let what = if published.is_new { "is published" } else { "was published before, and is unchanged" };
    ui.note(&format!("{version} {what}"));
    let (result, named, message) = match &published.latest {
        Latest::Moved(None) => ("moved", None, format!("latest names {version}")),
        Latest::Moved(Some(before)) => {
            ("moved", Some(before), format!("latest names {version}, before it named {before}"))
        }
        Latest::Already => ("unchanged", Some(version), format!("latest names {version} already")),
        Latest::StaysAtNewer(newer) => (
            "stays",
            Some(newer),
            format!("latest still names {newer}, which is newer; --make-latest moves it"),
        ),
        Latest::IsPreRelease(other) => (
            "stays",
            other.as_ref(),
            format!("latest was not moved: {version} is a pre-release; --make-latest moves it"),
        ),
    };
    ui.note(&message);
    if args.json {
        let document = json!({
            "version": version.to_string(), "folder": published.folder, "new": published.is_new,
            "latest": {"result": result, "before": named.map(ToString::to_string)}
        });
        ui.data(&serde_json::to_string_pretty(&document)?);
    } else {
        ui.data(published.folder.as_str());
    }
    Ok(())
}
