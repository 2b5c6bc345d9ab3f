//! The step `release`: third-party readers, in a separate Python environment, read a release of the fixture.

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

/// Read envelopes, statements and bills of both standards.
const PACKAGES: &[&str] = &[
    "securesystemslib[crypto]",
    "in-toto-attestation",
    "cyclonedx-python-lib[json-validation]",
    "spdx-tools",
];

/// The variable that passes the Python with these packages to the tests.
pub(super) const VARIABLE: &str = "RAVE_RELEASE_READERS";

/// The folder of the environment, below the cache.
pub(super) fn folder(cache_dir: &Utf8Path) -> Utf8PathBuf {
    cache_dir.join("release-readers")
}

/// The commands that make the environment.
pub(super) fn commands(folder: &Utf8Path) -> [Cmd; 2] {
    let pip = Cmd::new(folder.join("bin/pip").as_std_path()).args(["--disable-pip-version-check", "--quiet"]);
    [
        Cmd::new("python3").args(["-m", "venv", folder.as_str()]),
        pip.arg("install").args(PACKAGES.iter().copied()),
    ]
}

/// The tests that need them.
pub(super) fn arguments(has_nextest: bool) -> &'static [&'static str] {
    if has_nextest {
        &["nextest", "run", "--package", "rave-release", "--run-ignored=only", "--success-output=immediate"]
    } else {
        &["test", "--package", "rave-release", "--", "--ignored", "--show-output"]
    }
}
