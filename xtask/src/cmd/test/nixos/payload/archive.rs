//! The archive, asked by apt in a root of its own, with the host's mirror.

use std::fs;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_process::Cmd;

use super::lock::{self, Lock, Package};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with a state of its own.
pub(super) struct Archive {
    _guard: tempfile::TempDir,
    folder: Utf8PathBuf,
    log: Utf8PathBuf,
}

impl Archive {
    /// Fetches the indexes of a suite.
    pub(super) fn open(suite: &str, scratch: &Utf8Path, log: &Utf8Path) -> anyhow::Result<Self> {
        let guard = tempfile::Builder::new().prefix("nixos-apt-").tempdir_in(scratch)?;
        let folder = Utf8PathBuf::try_from(guard.path().to_owned())?;
        for name in ["lists/partial", "archives/partial"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let mirror = mirror().context("no Debian mirror in /etc/apt: add a source of Debian there")?;
        fs::write(folder.join("sources.list"), format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))?;
        fs::write(folder.join("status"), "")?;
        fs::write(folder.join("apt.conf"), configuration(&folder))?;
        let archive = Self { _guard: guard, folder, log: log.to_owned() };
        archive.apt(&["update", "--error-on=any"]).run(&mut |_| ())?;
        Ok(archive)
    }

    fn apt(&self, arguments: &[&str]) -> Cmd {
        Cmd::new("apt-get")
            .args(arguments.iter().copied())
            .env("APT_CONFIG", self.folder.join("apt.conf").as_str())
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.folder.join("archives"))
            .log_file(&self.log)
    }

    /// The packages, and all that they depend on, at the archive's versions now.
    pub(super) fn resolve(&self, suite: &str, names: &[&str]) -> anyhow::Result<Lock> {
        let mut packages = Vec::new();
        self.apt(&["--print-uris", "--yes", "install"])
            .args(names.iter().copied())
            .run(&mut |line| packages.extend(lock::printed(line.text)))?;
        if packages.is_empty() {
            bail!("apt printed no package");
        }
        packages.sort();
        Ok(Lock { suite: suite.to_owned(), packages })
    }

    /// Downloads packages into a folder, each named by its digest.
    pub(super) fn download(&self, packages: &[&Package], into: &Utf8Path) -> anyhow::Result<()> {
        let words = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        self.apt(&["download"]).args(words).run(&mut |_| ()).context(
            "a version that the archive no longer has: renew the lock by RAVE_NIXOS_PAYLOAD=update",
        )?;
        for entry in self.folder.join("archives").read_dir_utf8()? {
            let entry = entry?;
            if entry.path().extension() == Some("deb") {
                let digest = Digest::of_file(entry.path())?;
                fs::rename(entry.path(), into.join(file_name(&digest.to_string())))?;
            }
        }
        for package in packages {
            if !into.join(file_name(&package.sha256)).exists() {
                bail!("{} {}: the archive has other bytes than payload.lock", package.name, package.version);
            }
        }
        Ok(())
    }
}

/// The name of a package's file.
pub(super) fn file_name(sha256: &str) -> String {
    format!("{sha256}.deb")
}

/// The first mirror of Debian in the host's sources.
fn mirror() -> anyhow::Result<String> {
    let said =
        Cmd::new("apt-get").args(["indextargets", "--format", "$(SITE) $(ORIGIN) $(TARGET_OF)"]).output()?;
    let found = said.text();
    let site = found.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [site, "Debian", ..] => Some((*site).to_owned()),
            _ => None,
        }
    });
    site.or_else(|| {
        let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).ok();
        let texts = fs::read_dir("/etc/apt/sources.list.d").ok()?.flatten().filter_map(read);
        texts.chain(fs::read_to_string("/etc/apt/sources.list")).find_map(|text| first_mirror(&text))
    })
    .context("none found")
}

/// The first URI that ends in `/debian` (sources.list(5)).
fn first_mirror(text: &str) -> Option<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    words
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
}

/// apt.conf(5).
fn configuration(folder: &Utf8Path) -> String {
    format!(
        "Dir::Etc::sourcelist \"{folder}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::State::lists \"{folder}/lists\";\nDir::Cache \"{folder}\";\nDir::State::status \"{folder}/status\";\n\
         Debug::NoLocking \"1\";\nAPT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\nAcquire::ForceHash \"SHA256\";\nAcquire::Languages \"none\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_found_in_both_kinds_of_sources() {
        let found = |text| first_mirror(text);
        assert_eq!(
            found("# http://old/debian\nURIs: http://m.test/debian\n").as_deref(),
            Some("http://m.test/debian")
        );
        assert_eq!(
            found("deb [arch=amd64] http://m.test/debian/ trixie main").as_deref(),
            Some("http://m.test/debian/")
        );
        assert_eq!(found("deb http://m.test/debian-security x main"), None);
    }
}
