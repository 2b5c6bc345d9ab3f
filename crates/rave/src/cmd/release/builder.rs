//! Names of the builder, which must not be in an image.

use std::env;
use std::fs;

use rave_release::cut::Built;
use rave_release::leak::BuilderNames;

use crate::settings::Settings;

/// The names of this user and host, and the folders that a build reads and writes.
pub(super) fn names(settings: &Settings, built: &Built) -> BuilderNames {
    let home = env::home_dir().map(|home| home.to_string_lossy().into_owned());
    let variable = |name: &str| env::var(name).ok();
    let folders = [
        Some(settings.root.to_string()),
        Some(settings.cache_dir.to_string()),
        Some(built.out_dir.to_string()),
        Some(rave_image::tempdir::place().to_string()),
        home,
        variable("CARGO_HOME"),
        variable("RUSTUP_HOME"),
        variable("CARGO_TARGET_DIR"),
    ];
    BuilderNames {
        user: variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_default(),
        // uname(2) of this namespace.
        host: fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        paths: folders.into_iter().flatten().flat_map(both).collect(),
    }
}

/// A folder as it was given, and without symbolic links, as compilers see it.
fn both(folder: String) -> impl Iterator<Item = String> {
    let real = fs::canonicalize(&folder).ok().map(|real| real.to_string_lossy().into_owned());
    let real = real.filter(|real| *real != folder);
    std::iter::once(folder).chain(real)
}
