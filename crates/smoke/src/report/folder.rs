//! The folder of a report: the page, the JSON, the `JUnit` document, and the files that they name.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::Deserialize;

use super::run::is_name;
use super::{Material, Report, junit, page};

/// The page's file name.
pub const PAGE: &str = "index.html";
const JSON: &str = "report.json";
const JUNIT: &str = "junit.xml";

/// A file of a report could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {source}")]
pub struct WriteError {
    /// `read`, `write`.
    pub doing: &'static str,
    /// The file.
    pub path: Utf8PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// Writes the report's files into `folder`, which is created if it is missing: pictures and serial logs, which are in
/// `material.folder`, the JSON, the `JUnit` document, and finally the page. Each is written to a temporary file and
/// renamed; then files that an earlier report left and this one does not name are removed.
pub fn write(folder: &Utf8Path, report: &Report, material: &Material<'_>) -> Result<(), WriteError> {
    let earlier = earlier(folder);
    let names: BTreeSet<&str> = report.runs.iter().flat_map(super::Run::files).collect();
    fs::create_dir_all(folder).map_err(at("write", folder))?;
    for name in &names {
        copy(&material.folder.join(name), &folder.join(name))?;
    }
    place(&folder.join(JSON), &json(report))?;
    place(&folder.join(JUNIT), &junit(report))?;
    place(&folder.join(PAGE), &page(report, material))?;
    for name in earlier.iter().filter(|name| !names.contains(name.as_str())) {
        // It is already gone, or we may not remove it.
        let _ = fs::remove_file(folder.join(name));
    }
    Ok(())
}

/// Writes only the pictures, which are in `from`, into `folder`.
pub fn write_pictures(folder: &Utf8Path, report: &Report, from: &Utf8Path) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(at("write", folder))?;
    for screenshot in report.runs.iter().flat_map(|run| &run.screenshots) {
        copy(&from.join(&screenshot.file), &folder.join(&screenshot.file))?;
    }
    Ok(())
}

/// The report as a JSON document.
pub(super) fn json(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report);
    text.unwrap_or_else(|error| unreachable!("plain data always serialises: {error}")) + "\n"
}

fn place(path: &Utf8Path, text: &str) -> Result<(), WriteError> {
    Replace::new(path).write(text).map_err(at("write", path))
}

fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), WriteError> {
    fs::metadata(from).map_err(at("read", from))?;
    Replace::new(to).copy(from).map_err(at("write", to))
}

fn at(doing: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> WriteError {
    move |source| WriteError { doing, path: path.to_owned(), source }
}

/// The files that the report in `folder` names, whatever its version; empty if there is no report.
fn earlier(folder: &Utf8Path) -> BTreeSet<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Earlier {
        runs: Vec<Run>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Run {
        screenshots: Vec<File>,
        serial: Option<File>,
    }
    #[derive(Deserialize)]
    struct File {
        file: String,
    }
    let text = fs::read_to_string(folder.join(JSON)).unwrap_or_default();
    let earlier: Earlier = serde_json::from_str(&text).unwrap_or_default();
    let files = earlier.runs.into_iter().flat_map(|run| run.screenshots.into_iter().chain(run.serial));
    files.map(|file| file.file).filter(|file| is_name(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{mixed, report};
    use super::super::{Screenshot, ScreenshotTrigger};
    use super::*;

    fn names(folder: &Utf8Path) -> Vec<String> {
        let mut names: Vec<String> =
            folder.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    }

    fn with_picture(file: &str) -> Report {
        let taken = ScreenshotTrigger::Looked;
        let mut run = mixed();
        run.screenshots.push(Screenshot { file: file.into(), taken, width: 1, height: 1 });
        report(vec![run])
    }

    #[test]
    fn the_folder_has_the_files_of_its_report_and_foreign_files_are_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        let folder = scratch.join("deep/report");
        for file in ["first.png", "second.png", "serial.log"] {
            fs::write(scratch.join(file), file).unwrap();
        }
        let material = Material { manifest: "{}", folder: scratch };
        write(&folder, &with_picture("first.png"), &material).unwrap();
        assert_eq!(names(&folder), ["first.png", "index.html", "junit.xml", "report.json", "serial.log"]);
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        write(&folder, &with_picture("second.png"), &material).unwrap();
        assert_eq!(
            names(&folder),
            ["index.html", "junit.xml", "notes.txt", "report.json", "second.png", "serial.log"]
        );
        let read = fs::read_to_string(folder.join(JSON)).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&read).unwrap(), with_picture("second.png"));
    }

    #[test]
    fn a_report_that_names_outside_files_removes_none_of_them() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        let folder = scratch.join("report");
        fs::create_dir_all(&folder).unwrap();
        fs::write(scratch.join("precious"), "").unwrap();
        fs::write(folder.join(JSON), r#"{"schema":9,"runs":[{"screenshots":[{"file":"../precious"}]}]}"#)
            .unwrap();
        write(&folder, &report(Vec::new()), &Material { manifest: "", folder: scratch }).unwrap();
        assert!(scratch.join("precious").exists());
    }

    #[test]
    fn a_missing_screenshot_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = Utf8Path::from_path(scratch.path()).unwrap();
        let error = write_pictures(&scratch.join("out"), &with_picture("gone.png"), scratch).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot read {scratch}/gone.png: ")), "{error}");
    }
}
