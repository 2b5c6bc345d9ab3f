//! The disk itself, sparse, for `dd` to a disk or a USB stick.

use camino::Utf8Path;

use super::Source;

/// A copy that keeps holes; the stage's own disk stays untouched by what a user does to the artifact.
pub fn commands(source: &Source, target: &Utf8Path) -> Vec<Vec<String>> {
    let driver = source.driver.as_str();
    let words = ["qemu-img", "convert", "-f", driver, "-O", "raw", source.path.as_str(), target.as_str()];
    vec![words.map(String::from).to_vec()]
}
