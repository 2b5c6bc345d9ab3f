//! From what is missing to the commands that mend it. Pure.

use rave_process::shell_quote;

use crate::package_manager::Manager;
use crate::report::{Finding, Fix, State};
use crate::repos::Backports;
use crate::requirement::{Requirement, Suite};
use crate::suppress_services;
use crate::system::Host;

/// Where the entry for backports goes; one that is there is left alone.
pub(crate) const BACKPORTS_FILE: &str = "/etc/apt/sources.list.d/rave-backports.sources";

/// How to mend what is missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct InstallPlan {
    pub(crate) manager: Option<Manager>,
    /// As the manager takes them: `e2fsprogs/bookworm-backports`.
    pub(crate) packages: Vec<String>,
    /// Units of these packages that are not wanted.
    pub(crate) units: Vec<&'static str>,
    /// The text of [`BACKPORTS_FILE`], where it must be written first.
    pub(crate) backports: Option<String>,
    /// Other commands of root.
    pub(crate) root_commands: Vec<Vec<String>>,
    /// What no command of ours mends.
    pub(crate) advice: Vec<String>,
}

impl InstallPlan {
    /// Mends the findings that are in `state`.
    pub(crate) fn of(findings: &[Finding], state: State, host: &Host) -> Self {
        let mut plan = Self { manager: host.manager, ..Self::default() };
        for finding in findings.iter().filter(|finding| finding.state == state) {
            match &finding.fix {
                Fix::None => {}
                Fix::Package(requirement) => plan.add_package(finding, requirement, host),
                Fix::RootCommand(argv) => plan.root_commands.push(argv.clone()),
                Fix::Advice(text) => plan.advice.push(format!("{}: {text}", finding.name)),
            }
        }
        plan
    }

    fn add_package(&mut self, finding: &Finding, requirement: &Requirement, host: &Host) {
        let Some(manager) = host.manager else {
            self.advice.push(format!(
                "{}: no package manager that is known here was found; install it",
                finding.name
            ));
            return;
        };
        let Some(packages) = requirement.packages.of(manager) else {
            self.advice.push(format!(
                "{}: no package of it is known here; use a Debian host or container",
                finding.name
            ));
            return;
        };
        let from_backports = manager == Manager::Apt
            && host.release.id == "debian"
            && match requirement.packages.suite {
                Suite::Release => false,
                Suite::BackportsOn(releases) => releases.contains(&host.release.version.as_str()),
                Suite::AsQemu => host.qemu_is_backported,
            };
        if from_backports {
            match &host.backports {
                Backports::Present => {}
                Backports::Add(text) => self.backports = Some(text.clone()),
                Backports::Unknown => self.advice.push(format!(
                    "{}: add {}-backports to apt's sources; no entry of Debian's own was found to take the address from",
                    finding.name, host.release.codename
                )),
            }
        }
        if manager == Manager::Apt {
            self.units.extend(requirement.packages.units);
        }
        // The first of several is the thing itself, the others are what it loads.
        for (index, name) in packages.split_whitespace().enumerate() {
            let name = if from_backports && index == 0 {
                format!("{name}/{}-backports", host.release.codename)
            } else {
                name.to_owned()
            };
            if !self.packages.contains(&name) {
                self.packages.push(name);
            }
        }
    }

    /// Whether commands of ours would mend everything.
    pub(crate) fn is_complete(&self) -> bool {
        self.advice.is_empty()
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
            qemu_is_backported: false,
            is_root: false,
            has_sudo: true,
        }
    }

    #[test]
    fn an_old_suite_takes_from_backports_only_what_is_too_old_there() {
        let host = host(Some(Manager::Apt), "12");
        let plan = InstallPlan::of(&missing(&["mke2fs", "mcopy"]), State::Missing, &host);
        expect![[r"
            printf '%s\n' 'Types: deb' 'URIs: http://mirror.test/debian' | sudo tee /etc/apt/sources.list.d/rave-backports.sources
            sudo apt-get update
            sudo apt-get install --yes --no-install-recommends e2fsprogs/thesuite-backports libarchive13 mtools"]]
        .assert_eq(&plan.commands(&host).join("\n"));
    }

    #[test]
    fn a_newer_suite_needs_no_backports() {
        let host = host(Some(Manager::Apt), "13");
        let plan = InstallPlan::of(&missing(&["mke2fs"]), State::Missing, &host);
        assert_eq!(plan.backports, None);
        assert_eq!(plan.packages, ["e2fsprogs", "libarchive13"]);
    }

    #[test]
    fn modules_of_qemu_come_from_where_qemu_came_from() {
        let findings = missing(&["QEMU's GTK window", "QEMU's SDL window"]);
        let mut host = host(Some(Manager::Apt), "12");
        assert_eq!(InstallPlan::of(&findings, State::Missing, &host).packages, ["qemu-system-gui"]);
        host.qemu_is_backported = true;
        assert_eq!(
            InstallPlan::of(&findings, State::Missing, &host).packages,
            ["qemu-system-gui/thesuite-backports"]
        );
    }

    #[test]
    fn a_package_that_is_not_known_is_advice() {
        let plan = InstallPlan::of(
            &missing(&["mmdebstrap", "mcopy"]),
            State::Missing,
            &host(Some(Manager::Brew), ""),
        );
        assert!(!plan.is_complete());
        assert_eq!(plan.packages, ["mtools"]);
        assert!(plan.advice[0].starts_with("mmdebstrap: "));
        assert!(!InstallPlan::of(&missing(&["mcopy"]), State::Missing, &host(None, "")).is_complete());
    }

    #[test]
    fn root_needs_no_sudo() {
        let host = Host { is_root: true, ..host(Some(Manager::Dnf), "") };
        let plan = InstallPlan::of(&missing(&["ssh", "ssh-keygen"]), State::Missing, &host);
        assert_eq!(
            plan.commands(&host),
            ["dnf install --assumeyes --setopt=install_weak_deps=False openssh-clients"]
        );
    }

    #[test]
    fn a_service_that_nobody_asked_for_is_turned_off_again() {
        let host = host(Some(Manager::Apt), "13");
        let plan = InstallPlan::of(&missing(&["nginx", "sshd", "unzip"]), State::Missing, &host);
        let last = "sudo systemctl disable --now nginx.service ssh.service ssh.socket";
        assert_eq!(plan.commands(&host).last().map(String::as_str), Some(last));
        // Elsewhere nothing starts by itself.
        let plan = InstallPlan::of(
            &missing(&["nginx"]),
            State::Missing,
            &Host { manager: Some(Manager::Dnf), ..host },
        );
        assert_eq!(plan.units, [""; 0]);
    }
}
