//! The host as the installer sees it: its release, its package manager, and the user's privileges.

use std::fs;

use rave_process::find_program;

use crate::installed::{self, Installed};
use crate::package_manager::Manager;
use crate::repos::{self, Backports};

/// Debian releases (`VERSION_ID`) whose own QEMU incorrectly emulates AVX2 and the code that V8 generates.
const QEMU_FROM_BACKPORTS: &[&str] = &["12"];

/// The state of the host before an installation.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) manager: Option<Manager>,
    /// `ID`, `VERSION_ID` and `VERSION_CODENAME` of os-release(5).
    pub(crate) release: Release,
    /// Only determined for apt.
    pub(crate) backports: Backports,
    /// The installed parts of QEMU, according to dpkg.
    pub(crate) qemu: Vec<Installed>,
    pub(crate) is_root: bool,
    pub(crate) has_sudo: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) codename: String,
}

impl Release {
    /// Parses the text of os-release(5).
    pub(crate) fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        Self { id: field("ID"), version: field("VERSION_ID"), codename: field("VERSION_CODENAME") }
    }
}

impl Host {
    /// Whether it is Debian itself, not a derivative.
    pub(crate) fn is_debian(&self) -> bool {
        self.manager == Some(Manager::Apt) && self.release.id == "debian"
    }

    /// Whether it is a Debian whose own QEMU emulates incorrectly, and whose backports have a better one.
    pub(crate) fn has_old_qemu(&self) -> bool {
        self.is_debian() && QEMU_FROM_BACKPORTS.contains(&self.release.version.as_str())
    }

    /// The name of a package from backports, for apt.
    pub(crate) fn backported(&self, package: &str) -> String {
        format!("{package}/{}-backports", self.release.codename)
    }

    /// Examines this host.
    pub(crate) fn examine() -> Self {
        let is_here = |name: &str| find_program(name).is_some();
        let release = Release::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default());
        let manager = Manager::detect(&is_here);
        let backports = if manager == Some(Manager::Apt) {
            repos::backports(&release.codename, &apt_sources())
        } else {
            Backports::Unknown
        };
        Self {
            manager,
            release,
            backports,
            qemu: installed::of_qemu(installed::list()),
            is_root: rustix::process::geteuid().is_root(),
            has_sudo: is_here("sudo"),
        }
    }
}

/// Names and texts of apt's source files; unreadable ones are skipped.
fn apt_sources() -> Vec<(String, String)> {
    let folder =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = folder.collect();
    paths.sort();
    paths.insert(0, "/etc/apt/sources.list".into());
    let is_source = |name: &str| [".list", ".sources"].iter().any(|end| name.ends_with(end));
    paths
        .into_iter()
        .filter_map(|path| Some((path.to_str()?.to_owned(), fs::read_to_string(&path).ok()?)))
        .filter(|(name, _)| is_source(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_parsed_with_and_without_quotes() {
        let release = Release::parse("NAME=\"x\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n");
        assert_eq!(
            release,
            Release { id: "debian".into(), version: "12".into(), codename: "bookworm".into() }
        );
    }
}
