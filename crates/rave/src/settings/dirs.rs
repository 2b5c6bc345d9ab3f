//! RAVE's folders outside the checkout: state, cache and data.

use std::env;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};

use crate::command_error::CommandError;

/// `RAVE_STATE`, otherwise the platform's default.
pub(super) fn state() -> anyhow::Result<Utf8PathBuf> {
    Platform::here().dir("RAVE_STATE", Kind::State, &|name| env::var_os(name).map(PathBuf::from))
}

/// `RAVE_CACHE`, otherwise the platform's default.
pub(super) fn cache() -> anyhow::Result<Utf8PathBuf> {
    Platform::here().dir("RAVE_CACHE", Kind::Cache, &|name| env::var_os(name).map(PathBuf::from))
}

/// Where artifacts go if the home is read-only: the platform's default.
pub(super) fn data() -> anyhow::Result<Utf8PathBuf> {
    Platform::here().dir("", Kind::Data, &|name| env::var_os(name).map(PathBuf::from))
}

/// Where the user's own lists are: the platform's default.
pub(super) fn config() -> anyhow::Result<Utf8PathBuf> {
    Platform::here().dir("", Kind::Config, &|name| env::var_os(name).map(PathBuf::from))
}

#[derive(Clone, Copy)]
enum Kind {
    State,
    Cache,
    Data,
    Config,
}

#[derive(Clone, Copy)]
enum Platform {
    /// XDG Base Directory Specification 0.8.
    Xdg,
    /// "File System Programming Guide", Apple.
    Mac,
}

impl Platform {
    fn here() -> Self {
        if cfg!(target_os = "macos") { Self::Mac } else { Self::Xdg }
    }

    fn dir(
        self,
        own: &str,
        kind: Kind,
        variable: &dyn Fn(&str) -> Option<PathBuf>,
    ) -> anyhow::Result<Utf8PathBuf> {
        // The specification says that a relative or empty path there is to be ignored.
        let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
        if let Some(dir) = variable(own).filter(|path| !path.as_os_str().is_empty()) {
            return Ok(utf8(&std::path::absolute(dir)?)?);
        }
        let (xdg, below_home) = match (self, kind) {
            (Self::Xdg, Kind::State) => (Some("XDG_STATE_HOME"), ".local/state"),
            (Self::Xdg, Kind::Cache) => (Some("XDG_CACHE_HOME"), ".cache"),
            (Self::Xdg, Kind::Data) => (Some("XDG_DATA_HOME"), ".local/share"),
            (Self::Xdg, Kind::Config) => (Some("XDG_CONFIG_HOME"), ".config"),
            (Self::Mac, Kind::State | Kind::Data | Kind::Config) => (None, "Library/Application Support"),
            (Self::Mac, Kind::Cache) => (None, "Library/Caches"),
        };
        if let Some(dir) = xdg.and_then(absolute) {
            return Ok(utf8(&dir)?.join("rave"));
        }
        let home = absolute("HOME").or_else(env::home_dir).ok_or_else(|| {
            CommandError::usage("the home directory is not known")
                .remedy(format!("set HOME, or set {own} to a folder that this tool may write to"))
        })?;
        Ok(utf8(&home)?.join(below_home).join("rave"))
    }
}

/// `path` made absolute from the working directory.
pub(super) fn absolute(path: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    Ok(utf8(&std::path::absolute(path)?)?)
}

/// Checks that a path is UTF-8: other programs get paths on their command lines and in scripts, where only text is
/// safe.
pub(super) fn utf8(path: &Path) -> Result<Utf8PathBuf, CommandError> {
    Utf8PathBuf::from_path_buf(path.to_owned()).map_err(|path| {
        CommandError::usage(format!("the path {} is not valid UTF-8", path.display()))
            .remedy("move the checkout, or the folder that a variable names, to a path that is")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(platform: Platform, kind: Kind, variables: &[(&str, &str)]) -> Utf8PathBuf {
        let own = match kind {
            Kind::State => "RAVE_STATE",
            Kind::Cache => "RAVE_CACHE",
            Kind::Data | Kind::Config => "",
        };
        let lookup = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        platform.dir(own, kind, &lookup).unwrap()
    }

    #[test]
    fn raves_variable_precedes_xdg_and_home() {
        let all = [("RAVE_CACHE", "/own"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/a b")];
        assert_eq!(dir(Platform::Xdg, Kind::Cache, &all), "/own");
        assert_eq!(dir(Platform::Xdg, Kind::Cache, &all[1..]), "/xdg/rave");
        assert_eq!(dir(Platform::Xdg, Kind::Cache, &all[2..]), "/home/a b/.cache/rave");
        assert_eq!(dir(Platform::Xdg, Kind::State, &all), "/home/a b/.local/state/rave");
        assert_eq!(dir(Platform::Mac, Kind::Cache, &all[1..]), "/home/a b/Library/Caches/rave");
    }

    #[test]
    fn a_relative_xdg_variable_is_ignored() {
        let relative = [("XDG_STATE_HOME", "here"), ("HOME", "/root")];
        assert_eq!(dir(Platform::Xdg, Kind::State, &relative), "/root/.local/state/rave");
    }

    #[test]
    fn a_non_utf8_path_is_an_error() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/\xff"));
        assert!(utf8(path).unwrap_err().what.contains("not valid UTF-8"));
    }
}
