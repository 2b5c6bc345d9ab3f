//! Queries the archive with apt itself, in a separate root: the host's apt is not changed.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_process::progress::{Event, Unit};

use super::date;
use super::deb_cache::{DebCache, field};
use super::lock::{LockedPackage, Release};
use super::sources::{self, Mirrors};
use crate::digest::Digest;
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tempdir::ScratchDir;

/// The name of the stage that queries the archive.
pub(crate) const STAGE: &str = "packages";

/// Space for the archive's indexes, unpacked and as apt's own cache, bytes: they take about 140 MB.
const ROOM: u64 = 512 << 20;

/// Parents before their children.
const FOLDERS: [&str; 15] = [
    "etc",
    "etc/apt",
    "etc/apt/apt.conf.d",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
    "var",
    "var/lib",
    "var/lib/dpkg",
    "var/lib/apt",
    "var/lib/apt/lists",
    "var/lib/apt/lists/partial",
    "var/cache",
    "var/cache/apt",
    "var/cache/apt/archives",
    "var/cache/apt/archives/partial",
];

/// A package as identified by apt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PackageId {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
}

impl PackageId {
    fn of(package: &LockedPackage) -> Self {
        let LockedPackage { name, version, architecture, .. } = package.clone();
        Self { name, version, architecture }
    }
}

/// A package as described by the archive.
#[derive(Debug, Clone)]
pub(crate) struct ArchivePackage {
    pub(crate) package: LockedPackage,
    /// The archive's own description.
    pub(crate) stanza: String,
    /// Whether it is in the suite of security fixes.
    pub(crate) is_security: bool,
}

/// The packages requested for a guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackageRequest<'a> {
    pub(crate) packages: &'a BTreeSet<String>,
    pub(crate) recommends: bool,
}

/// The archive's signed indexes, fetched and checked.
pub(crate) struct Apt<'a> {
    stages: &'a StageRunner<'a>,
    scratch: ScratchDir,
    suite: String,
}

impl<'a> Apt<'a> {
    /// Fetches the indexes of mmdebstrap's default sources, or of their mirrors.
    pub(crate) fn open(
        stages: &'a StageRunner<'a>,
        suite: &str,
        mirrors: Mirrors<'_>,
    ) -> Result<Self, Error> {
        let sources = sources::sources(stages, STAGE, suite, mirrors)?;
        let settings = sources::host_settings(stages, STAGE)?;
        Self::of_sources(stages, suite, &sources, &settings)
    }

    /// `settings` are the host's, as apt-config(8) prints them.
    fn of_sources(
        stages: &'a StageRunner<'a>,
        suite: &str,
        sources: &str,
        settings: &str,
    ) -> Result<Self, Error> {
        let apt = Self { stages, scratch: stages.scratch(ROOM)?, suite: suite.to_owned() };
        let root = apt.root();
        for folder in FOLDERS.iter().map(|folder| root.join(folder)) {
            fs::create_dir(&folder).at("create", &folder)?;
            // apt that runs as root fetches as a separate user.
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).at("open to others", &folder)?;
        }
        apt.write("etc/apt/sources.list", sources)?;
        apt.write("var/lib/dpkg/status", "")?;
        let authorities = stages.authorities(root)?;
        let network = sources::of_network(settings, authorities.as_deref());
        apt.write("apt.conf", &sources::configuration(root, &network))?;
        apt.report(&apt.apt(&["update", "--error-on=any"]))?;
        Ok(apt)
    }

    /// Adds the cache's packages as a source: the archive may have dropped them.
    pub(crate) fn keep(&self, deb_cache: &DebCache, kept: &[LockedPackage]) -> Result<(), Error> {
        const SOURCES: &str = "etc/apt/sources.list.d/kept.list";
        if kept.is_empty() {
            return Ok(());
        }
        let folder = self.root().join("kept");
        deb_cache.repository(&self.suite, kept, &folder)?;
        self.write(SOURCES, &(sources::of_folder(&folder) + "\n"))?;
        // Only these sources: the archive's indexes are already fetched.
        let only = [
            format!("--option=Dir::Etc::SourceList={}", self.root().join(SOURCES)),
            "--option=Dir::Etc::SourceParts=-".into(),
            "--option=APT::Get::List-Cleanup=0".into(),
        ];
        self.report(&self.apt(&["update", "--error-on=any"]).args(only))
    }

    fn root(&self) -> &Utf8Path {
        self.scratch.path()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.root().join(name);
        fs::write(&path, text).at("write", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).at("open to others", &path)
    }

    fn apt(&self, arguments: &[&str]) -> Cmd {
        Cmd::new("apt-get")
            .args(arguments.iter().copied())
            .env("APT_CONFIG", self.root().join("apt.conf").as_str())
            .env("LC_ALL", "C.UTF-8")
            .log_file(self.stages.log(STAGE))
    }

    fn report(&self, command: &Cmd) -> Result<(), Error> {
        let mut show = |line: rave_process::Line<'_>| {
            self.stages.report(Event::StageOutput { stage: STAGE, line: line.text });
        };
        command.run(&mut show).stage(STAGE).map(drop)
    }

    /// The signed indexes, sorted by code name.
    pub(crate) fn releases(&self) -> Result<Vec<Release>, Error> {
        let mut releases = Vec::new();
        for path in self.lists("_InRelease")? {
            let text = fs::read_to_string(&path).at("read", &path)?;
            let of = |name: &str| field(&text, name);
            let (Some(codename), Some(date)) = (of("Codename"), of("Date").and_then(date::parse_release))
            else {
                return Err(Error::Damaged { path, detail: "it has no code name or date".into() });
            };
            releases.push(Release {
                codename: codename.to_owned(),
                date,
                sha256: Digest::of_bytes(text.as_bytes()),
            });
        }
        releases.sort_by(|a, b| a.codename.cmp(&b.codename));
        Ok(releases)
    }

    fn lists(&self, ending: &str) -> Result<Vec<Utf8PathBuf>, Error> {
        let folder = self.root().join("var/lib/apt/lists");
        let mut paths = Vec::new();
        for entry in folder.read_dir_utf8().at("list", &folder)? {
            let path = entry.at("list", &folder)?.path().to_owned();
            if path.as_str().ends_with(ending) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Every package that mmdebstrap would install, resolved in the same two steps (mmdebstrap(1), `minbase`): the
    /// essential ones first, then the rest on top of them. `pins` are versions to keep.
    pub(crate) fn resolve(
        &self,
        asked: PackageRequest<'_>,
        pins: &[&LockedPackage],
    ) -> Result<Vec<ArchivePackage>, Error> {
        let pin = |package: &&LockedPackage| {
            format!("Package: {}\nPin: version {}\nPin-Priority: 1001\n\n", package.name, package.version)
        };
        self.write("etc/apt/preferences.d/rave", &pins.iter().map(pin).collect::<String>())?;
        self.write("var/lib/dpkg/status", "")?;
        let of_suite = |what: &str| {
            let suite = &self.suite;
            format!("?narrow(?or(?archive(^{suite}$),?codename(^{suite}$)),?architecture(amd64),{what})")
        };
        let essential = self.simulate(asked, &[of_suite("?essential")])?;
        let mut found = self.find(&essential)?;
        let installed =
            |found: &ArchivePackage| format!("{}\nStatus: install ok installed\n\n", found.stanza.trim_end());
        self.write("var/lib/dpkg/status", &found.iter().map(installed).collect::<String>())?;
        let mut rest: Vec<String> = asked.packages.iter().cloned().collect();
        rest.push(of_suite("?and(?priority(required),?not(?essential))"));
        let rest = self.simulate(asked, &rest)?;
        found.extend(self.find(&rest)?);
        found.sort_by(|a, b| a.package.cmp(&b.package));
        Ok(found)
    }

    fn simulate(&self, asked: PackageRequest<'_>, args: &[String]) -> Result<BTreeSet<PackageId>, Error> {
        let recommends = format!("--option=APT::Install-Recommends={}", asked.recommends);
        let mut ids = BTreeSet::new();
        let command = self.apt(&["--simulate", &recommends, "install"]).args(args.iter().cloned());
        command.run(&mut |line| ids.extend(planned(line.text))).stage(STAGE)?;
        Ok(ids)
    }

    /// The archive's descriptions of these packages; each must exist.
    fn find(&self, wanted: &BTreeSet<PackageId>) -> Result<Vec<ArchivePackage>, Error> {
        let mut found = HashMap::new();
        self.scan(&mut |stanza, is_security| {
            if let Some(package) = locked(stanza)
                && wanted.contains(&PackageId::of(&package))
            {
                let entry = found.entry(PackageId::of(&package));
                let entry = entry.or_insert_with(|| ArchivePackage {
                    package,
                    stanza: stanza.to_owned(),
                    is_security: false,
                });
                entry.is_security |= is_security;
            }
        })?;
        if let Some(lacking) = wanted.iter().find(|id| !found.contains_key(id)) {
            let PackageId { name, version, architecture } = lacking;
            let detail = format!("the archive's indexes do not describe {version} ({architecture})");
            return Err(Error::Input { what: format!("package {name}"), detail });
        }
        Ok(found.into_values().collect())
    }

    /// The locked packages that the archive still has, byte for byte.
    pub(crate) fn available(&self, wanted: &[&LockedPackage]) -> Result<Vec<ArchivePackage>, Error> {
        let wanted: HashMap<Digest, &LockedPackage> =
            wanted.iter().map(|package| (package.sha256, *package)).collect();
        let mut found = HashMap::new();
        self.scan(&mut |stanza, is_security| {
            if let Some(package) = locked(stanza)
                && wanted.get(&package.sha256).is_some_and(|known| **known == package)
            {
                found.insert(
                    package.sha256,
                    ArchivePackage { package, stanza: stanza.to_owned(), is_security },
                );
            }
        })?;
        Ok(found.into_values().collect())
    }

    /// The newest version of each package in the archive.
    pub(crate) fn newest(&self, names: &BTreeSet<&str>) -> Result<HashMap<String, String>, Error> {
        let mut newest: HashMap<String, String> = HashMap::new();
        self.scan(&mut |stanza, _| {
            if let Some(package) = locked(stanza)
                && names.contains(package.name.as_str())
            {
                let known = newest.entry(package.name).or_default();
                if known.is_empty() || super::version::compare(&package.version, known).is_gt() {
                    *known = package.version;
                }
            }
        })?;
        Ok(newest)
    }

    /// Visits every paragraph of the indexes, with whether it is in the suite of security fixes. Only one paragraph is
    /// in memory at a time.
    fn scan(&self, visit: &mut dyn FnMut(&str, bool)) -> Result<(), Error> {
        let security = format!("_dists_{}-security_", self.suite);
        for path in self.lists("_Packages")? {
            let is_security = path.as_str().contains(&security);
            let mut reader = BufReader::with_capacity(1 << 20, fs::File::open(&path).at("open", &path)?);
            let mut stanza = String::new();
            loop {
                let start = stanza.len();
                let read = reader.read_line(&mut stanza).at("read", &path)?;
                if read == 0 || stanza[start..] == *"\n" {
                    if !stanza[..start].is_empty() {
                        visit(&stanza[..start], is_security);
                    }
                    stanza.clear();
                }
                if read == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Downloads packages into the cache with a single call of apt.
    pub(crate) fn download(&self, found: &[ArchivePackage], deb_cache: &DebCache) -> Result<(), Error> {
        if found.is_empty() {
            return Ok(());
        }
        let args = found
            .iter()
            .map(|ArchivePackage { package, .. }| format!("{}={}", package.name, package.version));
        let command = self.apt(&["download"]).args(args).current_dir(deb_cache.partial());
        let mut done = 0;
        let total = Some(found.len() as u64);
        command
            .run(&mut |line| {
                self.stages.report(Event::StageOutput { stage: STAGE, line: line.text });
                if line.text.starts_with("Get:") {
                    done += 1;
                    let unit = Unit::Packages;
                    self.stages.report(Event::StageProgress { stage: STAGE, done, total, unit });
                }
            })
            .stage(STAGE)?;
        let stanzas = found.iter().map(|found| (found.package.sha256, found.stanza.clone())).collect();
        deb_cache.take(&stanzas)
    }
}

/// A line of apt-get(8)'s simulation: `Inst NAME (VERSION ORIGIN [ARCHITECTURE])`, with more words at its end.
fn planned(line: &str) -> Option<PackageId> {
    let (name, rest) = line.strip_prefix("Inst ")?.split_once(" (")?;
    let inside = rest.split_once(')')?.0;
    let (version, _) = inside.split_once(' ')?;
    let architecture = inside.rsplit_once('[')?.1.strip_suffix(']')?;
    Some(PackageId { name: name.into(), version: version.into(), architecture: architecture.into() })
}

fn locked(stanza: &str) -> Option<LockedPackage> {
    Some(LockedPackage {
        name: field(stanza, "Package")?.into(),
        version: field(stanza, "Version")?.into(),
        architecture: field(stanza, "Architecture")?.into(),
        size: field(stanza, "Size")?.parse().ok()?,
        sha256: field(stanza, "SHA256")?.parse().ok()?,
    })
}

#[cfg(test)]
mod corporate;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_plan_is_parsed() {
        let id = planned(
            "Inst libc6 (2.41-12+deb13u5 Debian:13.8/stable, Debian-Security:13/stable-security [amd64]) []",
        );
        let id = id.unwrap();
        assert_eq!(
            (id.name.as_str(), id.version.as_str(), id.architecture.as_str()),
            ("libc6", "2.41-12+deb13u5", "amd64")
        );
        assert_eq!(planned("Conf libc6 (2.41-12+deb13u5 Debian:13.8/stable [amd64])"), None);
        assert_eq!(planned("Inst"), None);
    }
}
