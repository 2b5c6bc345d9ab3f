//! Playwright, for scripts in the guest: it finds the system's Chromium where its own download would lie.

use super::{GuestFile, Paths};

/// Where Playwright looks for browsers (`PLAYWRIGHT_BROWSERS_PATH`, playwright.dev/docs/browsers).
pub(super) const BROWSERS: &str = "/opt/rave/browsers";

pub(super) fn files(_paths: &Paths) -> Vec<GuestFile> {
    Vec::new()
}
