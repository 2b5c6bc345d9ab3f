//! Turns findings into the commands that fix them, without running any.

use rave_process::shell_quote;

use crate::installed::{EMULATOR, Installed};
use crate::package_manager::Manager;
use crate::report::{Finding, Fix};
use crate::repos::Backports;
use crate::requirement::{Requirement, Suite};
use crate::suppress_services;
use crate::system::Host;

/// The file for the backports entry; an existing one is not changed.
pub(crate) const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/rave-backports.sources";

/// The firmware and the data that the emulator's package requires in its own version.
const EMULATOR_DATA: [&str; 2] = ["qemu-system-data", "seabios"];

/// The suite of all packages of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QemuSource {
    Release,
    Backports,
}

impl QemuSource {
    /// A QEMU that the user installed from the release stays, unless it is to be upgraded.
    fn of(host: &Host, upgrades: bool) -> Self {
        let has_emulator = host.qemu.iter().any(|package| package.name == EMULATOR);
        let has_backported = host.is_debian() && host.qemu.iter().any(Installed::is_backported);
        if has_backported || (host.has_old_qemu() && (upgrades || !has_emulator)) {
            Self::Backports
        } else {
            Self::Release
        }
    }
}

/// How to fix what is missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InstallPlan {
    pub(crate) manager: Option<Manager>,
    /// Package names as the manager expects them: `e2fsprogs/bookworm-backports`.
    pub(crate) packages: Vec<String>,
    /// Unwanted units of these packages.
    pub(crate) units: Vec<&'static str>,
    /// The text of [`BACKPORTS_FILE`], if it must be written first.
    pub(crate) backports: Option<String>,
    /// Other commands to run as root.
    pub(crate) root_commands: Vec<Vec<String>>,
    /// Problems that our commands do not fix, though an installation may.
    pub(crate) advice: Vec<String>,
    /// Reasons why the plan cannot be completed, whatever is installed.
    pub(crate) blockers: Vec<String>,
}

impl InstallPlan {
    /// The plan that fixes these findings.
    pub(crate) fn of<'a>(findings: impl IntoIterator<Item = &'a Finding>, host: &Host) -> Self {
        let findings: Vec<&Finding> = findings.into_iter().collect();
        let upgrades = findings.iter().any(|finding| matches!(finding.fix, Fix::Upgrade(_)));
        let qemu = QemuSource::of(host, upgrades);
        let mut plan = Self { manager: host.manager, ..Self::default() };
        for finding in findings {
            match &finding.fix {
                Fix::None => {}
                Fix::Package(requirement) => plan.add_package(finding, requirement, qemu, host),
                Fix::Upgrade(requirement) if qemu == QemuSource::Backports => {
                    plan.add_package(finding, requirement, qemu, host);
                }
                Fix::Upgrade(requirement) => plan.blockers.push(format!(
                    "{}: no newer {} is known for this distribution; install one by hand",
                    finding.name, requirement.name
                )),
                Fix::RootCommand(argv) => plan.root_commands.push(argv.clone()),
                Fix::Advice(text) => plan.advice.push(format!("{}: {text}", finding.name)),
            }
        }
        plan
    }

    fn add_package(&mut self, finding: &Finding, requirement: &Requirement, qemu: QemuSource, host: &Host) {
        let name = &finding.name;
        let Some(manager) = host.manager else {
            self.blockers.push(format!("{name}: no known package manager was found; install it by hand"));
            return;
        };
        let Some(packages) = requirement.packages.of(manager) else {
            self.blockers.push(format!(
                "{name}: no known package for this distribution; use a Debian host or container"
            ));
            return;
        };
        let suite = requirement.packages.suite;
        let from_backports = match suite {
            Suite::Release => false,
            Suite::BackportsOn(releases) => {
                host.is_debian() && releases.contains(&host.release.version.as_str())
            }
            Suite::Qemu => qemu == QemuSource::Backports,
        };
        if from_backports {
            self.add_backports(name, host);
        }
        if from_backports && suite == Suite::Qemu {
            // Installed parts of another version would prevent the new ones, or be removed for them.
            for package in host.qemu.iter().filter(|package| !package.is_backported()) {
                self.add(host.backported(&package.name));
            }
        }
        if manager == Manager::Apt {
            self.units.extend(requirement.packages.units);
        }
        // The first of several packages is the requirement itself, the others are loaded by it.
        for (index, name) in packages.split_whitespace().enumerate() {
            self.add(if from_backports && index == 0 { host.backported(name) } else { name.to_owned() });
        }
        // apt only takes a dependency from another suite if it is named explicitly.
        if from_backports && packages == EMULATOR {
            for name in EMULATOR_DATA {
                self.add(host.backported(name));
            }
        }
    }

    fn add(&mut self, package: String) {
        if !self.packages.contains(&package) {
            self.packages.push(package);
        }
    }

    /// Ensures that backports are in apt's sources.
    fn add_backports(&mut self, name: &str, host: &Host) {
        match &host.backports {
            Backports::Present => {}
            Backports::Add(text) => self.backports = Some(text.clone()),
            Backports::Unknown => self.blockers.push(format!(
                "{name}: add {}-backports to apt's sources; no entry of Debian's own was found to take the address from",
                host.release.codename
            )),
        }
    }

    /// Whether our commands would fix everything.
    pub(crate) fn is_complete(&self) -> bool {
        self.advice.is_empty() && self.blockers.is_empty()
    }

    /// The lines to type in a shell.
    pub(crate) fn commands(&self, host: &Host) -> Vec<String> {
        let sudo = if host.is_root || !host.has_sudo { "" } else { "sudo " };
        let mut lines = Vec::new();
        if let Some(text) = &self.backports {
            let fields: Vec<String> = text.lines().map(shell_quote).collect();
            lines.push(format!("printf '%s\\n' {} | {sudo}tee {BACKPORTS_FILE}", fields.join(" ")));
        }
        if let Some(manager) = self.manager.filter(|_| !self.packages.is_empty()) {
            let sudo = if manager.needs_root() { sudo } else { "" };
            if manager == Manager::Apt {
                lines.push(format!("{sudo}apt-get update"));
            }
            lines.push(format!("{sudo}{}", line(&manager.install(&self.packages))));
        }
        if !self.units.is_empty() {
            lines.push(format!("{sudo}{}", line(&suppress_services::disable(&self.units))));
        }
        lines.extend(self.root_commands.iter().map(|argv| format!("{sudo}{}", line(argv))));
        lines
    }
}

fn line(argv: &[String]) -> String {
    argv.iter().map(|word| shell_quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::for_tests::FOR_TESTS;
    use crate::report::State;
    use crate::requirements::REQUIREMENTS;
    use crate::system::Release;
    use expect_test::expect;

    fn missing(names: &[&str]) -> Vec<Finding> {
        let chosen =
            REQUIREMENTS.iter().chain(FOR_TESTS).filter(|requirement| names.contains(&requirement.name));
        chosen
            .map(|requirement| Finding {
                name: requirement.name.to_owned(),
                found: "not found".to_owned(),
                needed: "any".to_owned(),
                why: requirement.why,
                parts: requirement.parts,
                state: State::Missing,
                fix: Fix::Package(requirement),
            })
            .collect()
    }

    fn host(manager: Option<Manager>, version: &str) -> Host {
        Host {
            manager,
            release: Release { id: "debian".into(), version: version.into(), codename: "thesuite".into() },
            backports: Backports::Add("Types: deb\nURIs: http://mirror.test/debian\n".into()),
            qemu: Vec::new(),
            is_root: false,
            has_sudo: true,
        }
    }

    #[test]
    fn an_old_suite_uses_backports_only_for_outdated_packages() {
        let host = host(Some(Manager::Apt), "12");
        let plan = InstallPlan::of(&missing(&["mke2fs", "mcopy"]), &host);
        expect![[r"
            printf '%s\n' 'Types: deb' 'URIs: http://mirror.test/debian' | sudo tee /etc/apt/sources.list.d/rave-backports.sources
            sudo apt-get update
            sudo apt-get install --yes --no-install-recommends --no-remove e2fsprogs/thesuite-backports libarchive13 mtools"]]
        .assert_eq(&plan.commands(&host).join("\n"));
    }

    #[test]
    fn a_newer_suite_needs_no_backports() {
        let host = host(Some(Manager::Apt), "13");
        let plan = InstallPlan::of(&missing(&["mke2fs"]), &host);
        assert_eq!(plan.backports, None);
        assert_eq!(plan.packages, ["e2fsprogs", "libarchive13"]);
    }

    /// A Debian 12 with these packages.
    fn bookworm(installed: &[(&str, &str)]) -> Host {
        let package = |(name, version): &(&str, &str)| Installed {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
        };
        Host { qemu: installed.iter().map(package).collect(), ..host(Some(Manager::Apt), "12") }
    }

    const OLD: &str = "1:7.2+dfsg-7+deb12u18";
    const BACKPORTED: &str = "1:10.0.2+ds-2+deb13u1~bpo12+1";

    fn packages(missing_names: &[&str], host: &Host) -> Vec<String> {
        InstallPlan::of(&missing(missing_names), host).packages
    }

    fn backported(name: &str) -> String {
        format!("{name}/thesuite-backports")
    }

    #[test]
    fn all_of_qemu_comes_from_backports_if_the_releases_is_broken() {
        let all = ["qemu-system-x86", "qemu-system-data", "seabios", "qemu-utils"].map(backported);
        assert_eq!(packages(&["qemu-system-x86_64", "qemu-img"], &bookworm(&[])), all);
        let newer = host(Some(Manager::Apt), "13");
        assert_eq!(packages(&["qemu-system-x86_64", "qemu-img"], &newer), ["qemu-system-x86", "qemu-utils"]);
        let ubuntu = Release { id: "ubuntu".into(), version: "12".into(), codename: "x".into() };
        let ubuntu = Host { release: ubuntu, ..bookworm(&[]) };
        assert_eq!(packages(&["qemu-img"], &ubuntu), ["qemu-utils"]);
    }

    #[test]
    fn missing_parts_of_qemu_come_from_the_same_suite() {
        // Observed: apt removed qemu-utils for the release's emulator.
        let utils = bookworm(&[("qemu-utils", BACKPORTED)]);
        let emulator = ["qemu-system-x86", "qemu-system-data", "seabios"].map(backported);
        assert_eq!(packages(&["qemu-system-x86_64"], &utils), emulator);
        let old = bookworm(&[("qemu-system-x86", OLD), ("qemu-system-common", OLD)]);
        assert_eq!(packages(&["QEMU's GTK window", "qemu-img"], &old), ["qemu-system-gui", "qemu-utils"]);
        // Only parts from the release, but not the emulator: backports are used for that, and so for all parts.
        let utils = bookworm(&[("qemu-utils", OLD)]);
        assert_eq!(
            packages(&["qemu-system-x86_64"], &utils),
            ["qemu-utils", "qemu-system-x86", "qemu-system-data", "seabios"].map(backported)
        );
        let newer = bookworm(&[("qemu-system-x86", BACKPORTED)]);
        let window = ["QEMU's GTK window", "QEMU's SDL window"];
        assert_eq!(packages(&window, &newer), ["qemu-system-gui/thesuite-backports"]);
    }

    #[test]
    fn an_upgrade_covers_all_parts_and_needs_backports() {
        let mut upgrade = missing(&["qemu-system-x86_64"]);
        let Fix::Package(emulator) = upgrade[0].fix else { panic!("{upgrade:?}") };
        upgrade[0].fix = Fix::Upgrade(emulator);
        let old = bookworm(&[("qemu-system-x86", OLD), ("qemu-system-data", OLD), ("qemu-utils", OLD)]);
        let plan = InstallPlan::of(&upgrade, &old);
        assert_eq!(
            plan.packages,
            ["qemu-system-x86", "qemu-system-data", "qemu-utils", "seabios"].map(backported)
        );
        assert!(plan.is_complete() && plan.backports.is_some());
        let elsewhere = InstallPlan::of(&upgrade, &host(Some(Manager::Dnf), "40"));
        assert!(elsewhere.packages.is_empty() && !elsewhere.blockers.is_empty());
    }

    #[test]
    fn a_plan_with_unknown_backports_is_blocked() {
        let host = Host { backports: Backports::Unknown, ..bookworm(&[]) };
        let plan = InstallPlan::of(&missing(&["qemu-system-x86_64"]), &host);
        assert!(plan.blockers[0].contains("add thesuite-backports to apt's sources"), "{plan:?}");
    }

    #[test]
    fn unknown_packages_become_advice() {
        let plan = InstallPlan::of(&missing(&["mmdebstrap", "mcopy"]), &host(Some(Manager::Brew), ""));
        assert!(!plan.is_complete());
        assert_eq!(plan.packages, ["mtools"]);
        assert!(plan.blockers[0].starts_with("mmdebstrap: no known package for this distribution"));
        assert!(!InstallPlan::of(&missing(&["mcopy"]), &host(None, "")).is_complete());
    }

    #[test]
    fn root_needs_no_sudo() {
        let host = Host { is_root: true, ..host(Some(Manager::Dnf), "") };
        let plan = InstallPlan::of(&missing(&["ssh", "ssh-keygen"]), &host);
        assert_eq!(
            plan.commands(&host),
            ["dnf install --assumeyes --setopt=install_weak_deps=False openssh-clients"]
        );
    }

    #[test]
    fn an_unrequested_service_is_disabled_again() {
        let host = host(Some(Manager::Apt), "13");
        let plan = InstallPlan::of(&missing(&["nginx", "sshd", "unzip"]), &host);
        let last = "sudo systemctl disable --now nginx.service ssh.service ssh.socket";
        assert_eq!(plan.commands(&host).last().map(String::as_str), Some(last));
        // On other distributions nothing starts by itself.
        let plan = InstallPlan::of(&missing(&["nginx"]), &Host { manager: Some(Manager::Dnf), ..host });
        assert_eq!(plan.units, [""; 0]);
    }
}
