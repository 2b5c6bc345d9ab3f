//! The files that a smoke run writes where the user wants them: the report, the pictures, the `JUnit` document.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_smoke::report::{self, Material, PAGE, Report, Screenshots, junit};

use super::scratch::Scratch;
use crate::cli;
use crate::command_error::CommandError;
use crate::settings::Settings;
use crate::ui::Ui;

/// The files written at the end, and where their parts are until then.
pub(super) struct Files<'a> {
    args: &'a cli::Smoke,
    /// Screenshots and serial logs; present if a report or screenshots were requested.
    parts: Option<Scratch>,
}

impl<'a> Files<'a> {
    /// Creates the folders now: a failure should not be noticed only minutes later.
    pub(super) fn new(args: &'a cli::Smoke, settings: &Settings) -> anyhow::Result<Self> {
        let folders = [&args.report, &args.screenshot];
        for folder in folders.into_iter().flatten() {
            fs::create_dir_all(folder).map_err(|error| {
                CommandError::usage(format!("cannot make the folder {folder}: {error}"))
                    .remedy("name a folder that exists or can be created")
            })?;
        }
        let wanted = folders.iter().any(|folder| folder.is_some());
        let parts = if wanted { Some(Scratch::new(&settings.state_dir)?) } else { None };
        Ok(Self { args, parts })
    }

    /// Where a run's screenshots go, if any were requested.
    pub(super) fn screenshots(&self, name: &str) -> Option<Screenshots> {
        let parts = self.parts.as_ref()?;
        Some(Screenshots::new(parts.path.clone(), name.to_owned()))
    }

    pub(super) fn has_report(&self) -> bool {
        self.args.report.is_some()
    }

    /// Where the report's files are until it is written.
    pub(super) fn report_files(&self) -> Option<Utf8PathBuf> {
        let parts = self.parts.as_ref().filter(|_| self.has_report())?;
        Some(parts.path.clone())
    }

    /// Writes all requested files; `manifest` is the text of the artifacts' manifest.
    pub(super) fn write(&self, report: &Report, manifest: &str, ui: &Ui) -> anyhow::Result<()> {
        if let Some(file) = &self.args.junit {
            write_junit(file, report)?;
        }
        let Some(parts) = &self.parts else { return Ok(()) };
        if let Some(folder) = &self.args.screenshot {
            report::write_pictures(folder, report, &parts.path)?;
            let pictures = report.runs.iter().flat_map(|run| &run.screenshots);
            pictures.for_each(|picture| ui.note(&format!("screenshot: {}", folder.join(&picture.file))));
        }
        if let Some(folder) = &self.args.report {
            let material = Material { manifest, folder: &parts.path };
            report::write(folder, report, &material)?;
            ui.note(&format!("report: {}", folder.join(PAGE)));
        }
        Ok(())
    }
}

fn write_junit(file: &Utf8Path, report: &Report) -> anyhow::Result<()> {
    Replace::new(file).write(junit(report)).map_err(|error| {
        CommandError::usage(format!("cannot write {file}: {error}"))
            .remedy("name a file in a folder that exists")
            .into()
    })
}
