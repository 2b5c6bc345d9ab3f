//! The disk itself, sparse, for `dd` to a disk or a USB stick.

use camino::Utf8Path;

/// A copy that keeps holes; the stage's own disk stays untouched by what a user does to the artifact.
pub fn commands(source: &Utf8Path, target: &Utf8Path) -> Vec<Vec<String>> {
    vec![
        ["qemu-img", "convert", "-f", "raw", "-O", "raw", source.as_str(), target.as_str()]
            .map(String::from)
            .to_vec(),
    ]
}
