//! The page in a real browser: its rows, its pictures, its width and its contrast.

use rave_testing::or_skip;
use std::fs;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::{Cmd, find_program};
use rave_smoke::report::{PAGE, Report};
use serde::Deserialize;

use crate::page::hostile;
use crate::samples::{boot_failed, failed, passed, report, written};

/// Examines the page, which it shows in a frame of each width in its address, and prints the results. The product's
/// page has no script; this one belongs to the test.
const QUESTIONS: &str = include_str!("questions.html");

/// How long the browser may take on a busy host.
const DEADLINE: Duration = Duration::from_secs(120);

/// The widths of a phone and of a desktop.
const WIDTHS: [u32; 2] = [375, 1280];

/// The browser's view of the page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    width: u32,
    title: String,
    dark: bool,
    /// The width of the whole page, pixels.
    scroll_width: u32,
    rows: usize,
    bars: usize,
    images: Vec<Image>,
    scripts: usize,
    /// Attributes whose name begins with `on`.
    handlers: usize,
    /// Texts with a contrast below 4.5 (WCAG 2.2, 1.4.3), with the contrast.
    faint: Vec<String>,
    /// Duplicate ids, and references to missing ids.
    bad_ids: Vec<String>,
    /// The ends of the texts of the `pre` elements.
    logs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    natural_width: u32,
    alt: String,
}

fn browser() -> Result<Utf8PathBuf, &'static str> {
    find_program("chromium").ok_or("this host has no chromium")
}

/// The browser's view of a report's page at each width.
fn see(chromium: &Utf8Path, folder: &Utf8Path, dark: bool) -> Vec<Seen> {
    let own = tempfile::tempdir().unwrap();
    fs::write(folder.join("questions.html"), QUESTIONS).unwrap();
    let mut command = Cmd::new(chromium.as_str())
        // Its sandbox does not start for root, which tests may run as.
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(["--allow-file-access-from-files", "--window-size=1400,1000", "--timeout=60000"])
        .arg(format!("--user-data-dir={}", own.path().display()));
    if dark {
        command = command.arg("--force-dark-mode");
    }
    let widths = WIDTHS.map(|width| width.to_string()).join(",");
    let address = format!("file://{folder}/questions.html?page={PAGE}&widths={widths}");
    let dom = command.args(["--dump-dom", &address]).timeout(DEADLINE).output().unwrap().text();
    let (_, rest) = dom.split_once("<output>").unwrap_or_else(|| panic!("no answer: {dom}"));
    let answer = rest.split_once("</output>").unwrap().0;
    let answer =
        answer.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Opens a report at each width, in light and in dark mode, and checks what must be true for every page.
fn open(chromium: &Utf8Path, name: &str, report: &Report) -> Seen {
    let folder = written(name, report);
    let mut seen = see(chromium, &folder, false);
    seen.extend(see(chromium, &folder, true));
    let views = [false, true].iter().flat_map(|dark| WIDTHS.map(|width| (width, *dark)));
    for (seen, (width, dark)) in seen.iter().zip(views) {
        let place = format!("{name}: {seen:#?}");
        assert_eq!((seen.width, seen.dark), (width, dark), "{place}");
        assert!(seen.scroll_width <= width, "{place}");
        assert!(seen.images.iter().all(|image| image.natural_width > 0 && !image.alt.is_empty()), "{place}");
        assert_eq!((seen.scripts, seen.handlers), (0, 0), "{place}");
        assert!(seen.faint.is_empty() && seen.bad_ids.is_empty(), "{place}");
    }
    assert_eq!(seen.len(), 2 * WIDTHS.len());
    seen.remove(0)
}

#[test]
fn a_browser_shows_rows_screenshots_and_bars_of_several_runs() {
    let chromium = or_skip!(browser());
    let checks = rave_smoke::registry::CHECKS.len();
    let seen = open(&chromium, "several", &report(vec![passed("qemu"), failed("raw")], None));
    // One row is about the files.
    assert_eq!((seen.rows, seen.images.len()), (2 * checks + 1, 3));
    // Four phases and seven stages of the guest in each run.
    assert_eq!(seen.bars, 2 * 11);
    assert!(seen.title.starts_with("Failed: debian simple"), "{}", seen.title);
}

#[test]
fn a_browser_shows_a_single_run_and_a_boot_that_failed() {
    let chromium = or_skip!(browser());
    let checks = rave_smoke::registry::CHECKS.len();
    let seen = open(&chromium, "passed", &report(vec![passed("qemu")], None));
    assert_eq!((seen.rows, seen.images.len(), seen.bars), (checks + 1, 1, 11));
    let seen = open(&chromium, "boot-failed", &report(vec![boot_failed("qemu")], None));
    assert_eq!((seen.rows, seen.images.len(), seen.bars), (checks + 1, 1, 4));
}

#[test]
fn a_hostile_guest_changes_only_its_own_texts() {
    let chromium = or_skip!(browser());
    let mut report = hostile();
    // We choose the names of the files; their contents come from the guest.
    for (run, name) in report.runs.iter_mut().zip(["qemu", "raw"]) {
        run.screenshots.clear();
        run.serial.as_mut().unwrap().file = format!("{name}.log");
    }
    let seen = open(&chromium, "hostile", &report);
    assert_eq!(seen.rows, 2 * rave_smoke::registry::CHECKS.len() + 1);
    assert!(seen.title.contains("<script>document.title='pwned'</script>"), "{}", seen.title);
    // Two serial logs and the manifest; all are complete.
    assert_eq!(seen.logs.len(), 3);
    assert!(seen.logs[0].trim_end().ends_with("& red txt.exe"), "{:?}", seen.logs[0]);
}
