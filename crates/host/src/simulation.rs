//! Parses what apt would do. Formats: apt-get(8), `--simulate`.

/// The change of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) package: String,
    /// The installed version, if any.
    pub(crate) installed: Option<String>,
    /// The new version; none if the package would be removed.
    pub(crate) candidate: Option<String>,
}

/// What apt would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Simulation {
    pub(crate) installs: Vec<Change>,
    pub(crate) removals: Vec<Change>,
    pub(crate) downgrades: Vec<Change>,
}

impl Simulation {
    /// Parses the output of `apt-get install --simulate`.
    pub(crate) fn parse(text: &str) -> Self {
        let older = section(text, "The following packages will be DOWNGRADED:");
        let mut simulation = Self::default();
        for line in text.lines() {
            if let Some(change) = line.strip_prefix("Remv ").and_then(change) {
                simulation.removals.push(Change { candidate: None, ..change });
            } else if let Some(change) = line.strip_prefix("Inst ").and_then(change) {
                let is_older = older.contains(&change.package.as_str());
                let list = if is_older { &mut simulation.downgrades } else { &mut simulation.installs };
                list.push(change);
            }
        }
        simulation
    }

    /// Whether it neither removes nor downgrades an installed package.
    pub(crate) fn is_harmless(&self) -> bool {
        self.removals.is_empty() && self.downgrades.is_empty()
    }

    /// A line for each package that would be removed, downgraded or installed.
    pub(crate) fn conflict(&self) -> Vec<String> {
        let version = |version: &Option<String>| version.clone().unwrap_or_default();
        let removals = self
            .removals
            .iter()
            .map(|change| format!("{} {} would be removed", change.package, version(&change.installed)));
        let downgrades = self.downgrades.iter().map(|change| {
            let (from, to) = (version(&change.installed), version(&change.candidate));
            format!("{} {from} would be downgraded to {to}", change.package)
        });
        let installs = self.installs.iter().map(|change| match &change.installed {
            Some(from) => {
                format!("{} {from} would be upgraded to {}", change.package, version(&change.candidate))
            }
            None => format!("{} {} would be installed", change.package, version(&change.candidate)),
        });
        removals.chain(downgrades).chain(installs).collect()
    }

    /// The packages that would be removed or downgraded.
    pub(crate) fn harmed(&self) -> Vec<&str> {
        self.removals.iter().chain(&self.downgrades).map(|change| change.package.as_str()).collect()
    }
}

/// `qemu-utils [1:10.0.2] (1:7.2 Debian:12.15/oldstable [amd64]) []`: the version in brackets is installed, the one in
/// parentheses is new.
fn change(line: &str) -> Option<Change> {
    let (package, rest) = line.split_once(' ')?;
    let installed = rest.strip_prefix('[').and_then(|rest| Some(rest.split_once(']')?.0.to_owned()));
    let candidate =
        rest.split_once('(').and_then(|(_, rest)| Some(rest.split([' ', ')']).next()?.to_owned()));
    Some(Change { package: package.to_owned(), installed, candidate })
}

/// apt's report of unmet dependencies: ` qemu-utils : Breaks: qemu-system-common (< 1:8) but ...`.
pub(crate) fn unmet(printed: &[String]) -> Vec<String> {
    let after = printed.iter().skip_while(|line| !line.contains("have unmet dependencies:")).skip(1);
    let lines = after.take_while(|line| line.starts_with(' '));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The indented names below a heading.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| line.starts_with(' ')).flat_map(str::split_whitespace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observed on a Debian 12 with qemu-utils from backports.
    const REMOVES: &str = "\
Reading package lists...
The following packages will be REMOVED:
  qemu-utils
The following NEW packages will be installed:
  qemu-system-common qemu-system-x86
0 upgraded, 2 newly installed, 1 to remove and 3 not upgraded.
Remv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]
Inst qemu-system-common (1:7.2+dfsg-7+deb12u18 Debian:12.15/oldstable [amd64])
Inst qemu-system-x86 (1:7.2+dfsg-7+deb12u18 Debian:12.15/oldstable [amd64])
Conf qemu-system-common (1:7.2+dfsg-7+deb12u18 Debian:12.15/oldstable [amd64])
";

    const DOWNGRADES: &str = "\
The following packages will be DOWNGRADED:
  qemu-utils
0 upgraded, 0 newly installed, 1 downgraded, 0 to remove and 129 not upgraded.
Inst qemu-utils [1:10.0.2+ds-2~bpo12+1] (1:7.2+dfsg-7 Debian:12.15/oldstable [amd64])
Conf qemu-utils (1:7.2+dfsg-7 Debian:12.15/oldstable [amd64])
";

    const UPGRADES: &str = "\
Inst libext2fs2 [1.47.0-2+b2] (1.47.2-3~bpo12+1 Debian Backports:bookworm-backports [amd64]) [e2fsprogs:amd64 ]
Inst e2fsprogs [1.47.0-2+b2] (1.47.2-3~bpo12+1 Debian Backports:bookworm-backports [amd64])
";

    #[test]
    fn removals_are_reported_with_both_versions() {
        let simulation = Simulation::parse(REMOVES);
        assert!(!simulation.is_harmless());
        assert_eq!(
            simulation.conflict(),
            [
                "qemu-utils 1:10.0.2+ds-2+deb13u1~bpo12+1 would be removed",
                "qemu-system-common 1:7.2+dfsg-7+deb12u18 would be installed",
                "qemu-system-x86 1:7.2+dfsg-7+deb12u18 would be installed",
            ]
        );
    }

    #[test]
    fn downgrades_are_reported_with_both_versions() {
        let simulation = Simulation::parse(DOWNGRADES);
        assert_eq!((simulation.is_harmless(), simulation.harmed()), (false, vec!["qemu-utils"]));
        let line = "qemu-utils 1:10.0.2+ds-2~bpo12+1 would be downgraded to 1:7.2+dfsg-7";
        assert_eq!(simulation.conflict(), [line]);
    }

    #[test]
    fn unmet_dependencies_are_reported_in_apts_words() {
        let printed = "The following packages have unmet dependencies:\n \
            qemu-utils : Breaks: qemu-system-common (< 1:8.0+dfsg-5~) but 1:7.2+dfsg-7 is to be installed\n\
            E: Error, pkgProblemResolver::Resolve generated breaks, this may be caused by held packages.";
        let printed: Vec<String> = printed.lines().map(str::to_owned).collect();
        let line =
            "qemu-utils : Breaks: qemu-system-common (< 1:8.0+dfsg-5~) but 1:7.2+dfsg-7 is to be installed";
        assert_eq!(unmet(&printed), [line]);
        assert!(unmet(&printed[2..]).is_empty());
    }

    #[test]
    fn upgrades_are_allowed() {
        let simulation = Simulation::parse(UPGRADES);
        assert!(simulation.is_harmless());
        assert_eq!(simulation.installs.len(), 2);
        let line = "e2fsprogs 1.47.0-2+b2 would be upgraded to 1.47.2-3~bpo12+1";
        assert_eq!(simulation.conflict()[1], line);
    }
}
