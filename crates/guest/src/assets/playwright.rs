//! Playwright, for scripts in the guest: it finds the system's Chromium in place of its own download.

use super::{GuestFile, Paths};

/// The locked version of Playwright, and the browser revision that it expects: `browsers.json` of its package
/// `playwright-core`, the entries `chromium` and `chromium-headless-shell`.
pub const BROWSERS_OF: (&str, &str) = ("1.65.1", "1255");

/// The folder in which Playwright looks for browsers (`PLAYWRIGHT_BROWSERS_PATH`, playwright.dev/docs/browsers).
const BROWSERS: &str = "/opt/rave/browsers";

/// The layout of Playwright's own download of each browser for linux-x64: folder, and program below it.
pub const PROGRAMS: [(&str, &str); 2] = [
    ("chromium", "chrome-linux64/chrome"),
    ("chromium_headless_shell", "chrome-headless-shell-linux64/chrome-headless-shell"),
];

pub(super) fn files(paths: &Paths) -> Vec<GuestFile> {
    let (_, revision) = BROWSERS_OF;
    let of = |(browser, program): (&str, &str)| {
        let folder = format!("{BROWSERS}/{browser}-{revision}");
        // Without this marker it would consider the download incomplete.
        let mark = GuestFile::file(format!("{folder}/INSTALLATION_COMPLETE"), 0o644, "");
        [GuestFile::symlink(format!("{folder}/{program}"), &paths.chromium), mark]
    };
    PROGRAMS.into_iter().flat_map(of).collect()
}

/// Variables with which scripts in any folder find Playwright, and Playwright its browsers.
pub(super) fn variables(tools: &str) -> [(&'static str, String); 3] {
    [
        ("PLAYWRIGHT_BROWSERS_PATH", BROWSERS.to_owned()),
        ("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1".to_owned()),
        ("NODE_PATH", format!("{tools}/node_modules")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::npm;

    #[test]
    fn the_revision_matches_the_locked_version() {
        let pins = npm::pins();
        let (_, locked) = pins.iter().find(|(name, _)| name == "playwright").unwrap();
        assert_eq!(locked, BROWSERS_OF.0, "look up the revision in the new browsers.json");
    }
}
