//! Runs apt: fetches the lists, simulates, and only then installs.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use rave_process::network;
use rave_process::progress::{Event, Sink, Unit};
use rave_process::{Cmd, Error as CommandError, Line, interrupt};

use crate::apt_network::AptNetwork;
use crate::error::Error;
use crate::install_plan::{BACKPORTS_FILE, InstallPlan};
use crate::installed;
use crate::package_manager::{LOCK_TIMEOUT, Manager};
use crate::simulation::{Simulation, unmet};
use crate::suppress_services;

/// The name of the stage for the user.
pub(crate) const STAGE: &str = "host packages";
/// The age at which lists are fetched again: the archive no longer has the packages in older ones.
const LISTS_TOO_OLD: Duration = Duration::from_secs(24 * 3600);
const LISTS: &str = "/var/lib/apt/lists";
/// The interval between attempts while the lists are locked: apt itself only waits for its other locks.
const LOCK_PAUSE: Duration = Duration::from_secs(1);
/// The timeout of a simulation, for a host under load.
const SIMULATION_DEADLINE: Duration = Duration::from_secs(120);

/// Why `apt-get update` was incomplete, which is often due to an address that is not needed here.
type Update = Result<(), String>;

/// apt, run as root or through sudo.
pub(crate) struct Apt<'a> {
    pub(crate) is_root: bool,
    pub(crate) network: AptNetwork,
    pub(crate) sink: Sink<'a>,
}

impl Apt<'_> {
    pub(crate) fn root(&self, argv: &[impl AsRef<str>]) -> Cmd {
        let argv: Vec<&str> = argv.iter().map(AsRef::as_ref).collect();
        let plain = ["env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C"];
        let start: &[&str] = if self.is_root { &[] } else { &["sudo", "-n"] };
        let variables = self.network.variables.iter().map(String::as_str);
        let command: Vec<&str> =
            start.iter().chain(&plain).copied().chain(variables).chain(argv.iter().copied()).collect();
        Cmd::new(command[0]).args(command[1..].iter().copied())
    }

    /// Writes a temporary file beside it and renames that; apt ignores names that do not end in `.sources`.
    fn write_backports(&self, text: &str) -> Result<(), Error> {
        let temporary = format!("{BACKPORTS_FILE}.new");
        self.root(&["tee", &temporary])
            .stdin_bytes(text.as_bytes().to_vec())
            .output()
            .and_then(|_| self.root(&["chmod", "0644", &temporary]).output())
            .and_then(|_| self.root(&["mv", "-f", &temporary, BACKPORTS_FILE]).output())
            .map_err(|error| Error::command(format!("{BACKPORTS_FILE} could not be written"), error))?;
        (self.sink)(Event::Note { text: &format!("added {BACKPORTS_FILE} to apt's sources") });
        Ok(())
    }

    /// Fetches the lists, and waits while another apt does.
    fn update(&self) -> Result<Update, Error> {
        let deadline = Instant::now() + Duration::from_secs(LOCK_TIMEOUT.into());
        let mut reported = false;
        let mut update = vec!["apt-get".to_owned(), "update".to_owned()];
        update.splice(1..1, self.network.arguments.iter().cloned());
        loop {
            let mut trouble = None;
            let result = self.root(&update).run(&mut |line| {
                self.show(line);
                if line.text.starts_with("W: Failed to fetch") || line.text.starts_with("E: ") {
                    trouble.get_or_insert_with(|| line.text.to_owned());
                }
            });
            match result {
                Ok(_) => return Ok(trouble.map_or(Ok(()), Err)),
                Err(error) if is_locked(&error) && Instant::now() < deadline => {
                    if !reported {
                        self.report_lock_holder(&error);
                        reported = true;
                    }
                    interrupt::pause(LOCK_PAUSE)?;
                }
                Err(error) if matches!(error, CommandError::Failed { .. }) => {
                    return Ok(Err(trouble.unwrap_or_else(|| error.to_string())));
                }
                Err(error) => return Err(Error::command("apt-get update failed", error)),
            }
        }
    }

    fn report_lock_holder(&self, error: &CommandError) {
        let line = error.tail().iter().find(|line| line.contains("Could not get lock"));
        let holder = line.map_or("", |line| line.trim_start_matches("E: "));
        (self.sink)(Event::Note { text: &format!("waiting for another package manager: {holder}") });
    }

    /// Installs the plan's packages, after a simulation without removals or downgrades.
    pub(crate) fn install(&self, plan: &InstallPlan) -> Result<(), Error> {
        if let Some(text) = &plan.backports {
            self.write_backports(text)?;
        }
        let result = self.packages(plan, plan.backports.is_some() || lists_are_old());
        if plan.backports.is_some() && matches!(result, Err(Error::Conflict { .. })) {
            // Best effort: the conflict is the error to report.
            let _ = self.root(&["rm", "-f", BACKPORTS_FILE]).output();
        }
        result
    }

    /// Simulates and installs, with fresh lists if requested or if it fails without them.
    fn packages(&self, plan: &InstallPlan, fresh_lists: bool) -> Result<(), Error> {
        if !fresh_lists && simulate(plan).is_ok() && self.install_now(plan).is_ok() {
            return Ok(());
        }
        interrupt::check()?;
        let updated = self.update()?;
        let failed = |error: CommandError| {
            let before = updated.as_ref().err().map(|why| format!("before that, apt-get update said: {why}"));
            let remedy = remedy(&error.tail().iter().cloned().chain(before.clone()).collect::<Vec<_>>());
            let what = "apt could not install what is missing".to_owned();
            Error::Command { what, source: Box::new(error), before, remedy }
        };
        match simulate(plan) {
            Ok(()) => {}
            Err(Refused::Conflict(error)) => return Err(error),
            Err(Refused::Failed(error)) => return Err(failed(error)),
        }
        self.install_now(plan).map_err(failed)
    }

    fn install_now(&self, plan: &InstallPlan) -> Result<(), CommandError> {
        let mut argv = Manager::Apt.install(&plan.packages);
        argv.splice(1..1, ["-o".to_owned(), format!("DPkg::Lock::Timeout={LOCK_TIMEOUT}")]);
        argv.splice(1..1, self.network.arguments.iter().cloned());
        let argv = suppress_services::without(&plan.units, argv);
        let mut count = Count::default();
        let mut reported = false;
        let result = self.root(&argv).run(&mut |line| {
            self.show(line);
            if line.text.starts_with("Waiting for cache lock") && !reported {
                reported = true;
                let holder = line.text.trim_start_matches("Waiting for cache lock: ");
                (self.sink)(Event::Note { text: &format!("waiting for another package manager: {holder}") });
            }
            if let Some((done, total)) = count.line(line.text) {
                (self.sink)(Event::StageProgress {
                    stage: STAGE,
                    done,
                    total: Some(total),
                    unit: Unit::Packages,
                });
            }
        });
        result.map(|_| ())
    }

    fn show(&self, line: Line<'_>) {
        (self.sink)(Event::StageOutput { stage: STAGE, line: line.text });
    }
}

/// Why a plan was not started.
enum Refused {
    /// It would harm installed packages, or its packages conflict with each other.
    Conflict(Error),
    /// apt failed.
    Failed(CommandError),
}

/// Asks apt what it would do, which does not require root.
fn simulate(plan: &InstallPlan) -> Result<(), Refused> {
    let argv = ["install", "--simulate", "--no-install-recommends"];
    let command = Cmd::new("apt-get").args(argv).args(plan.packages.iter().cloned()).env("LC_ALL", "C");
    match command.timeout(SIMULATION_DEADLINE).output() {
        Ok(output) => {
            let simulation = Simulation::parse(&output.text());
            if simulation.is_harmless() { Ok(()) } else { Err(Refused::Conflict(harm(&simulation))) }
        }
        Err(error) => match misfit(error.tail()) {
            Some(conflict) => Err(Refused::Conflict(conflict)),
            None => Err(Refused::Failed(error)),
        },
    }
}

/// The error for a plan that would remove or downgrade packages.
fn harm(simulation: &Simulation) -> Error {
    let harmed = simulation.harmed().join(" ");
    Error::Conflict {
        what: "apt would remove or downgrade packages to install what is missing".to_owned(),
        facts: simulation.conflict(),
        remedy: format!(
            "upgrade {harmed} to a version that fits the others, or remove it (apt-get remove {harmed}), then try again"
        ),
    }
}

/// The error for packages with unmet dependencies; nothing if apt printed something else.
fn misfit(printed: &[String]) -> Option<Error> {
    let lines = unmet(printed);
    if lines.is_empty() {
        return None;
    }
    let is_named = |name: &str| {
        let mut fields = lines.iter().flat_map(|line| line.split_whitespace());
        fields.any(|word| word.split(':').next() == Some(name))
    };
    let installed = installed::list().into_iter().filter(|package| is_named(&package.name));
    let versions: Vec<String> =
        installed.map(|package| format!("{} {} is installed", package.name, package.version)).collect();
    Some(Error::Conflict {
        what: "the missing packages do not fit those that are installed".to_owned(),
        facts: lines.into_iter().chain(versions).collect(),
        remedy:
            "install all of these packages from one release (apt-cache policy NAME lists the versions), or \
                 remove the conflicting ones, then try again"
                .to_owned(),
    })
}

fn is_locked(error: &CommandError) -> bool {
    error
        .tail()
        .iter()
        .any(|line| line.contains("Could not get lock") || line.contains("Unable to lock directory"))
}

/// What to do when apt fails, according to its output.
fn remedy(tail: &[String]) -> &'static str {
    let prints = |parts: &[&str]| tail.iter().any(|line| parts.iter().any(|part| line.contains(part)));
    if network::is_untrusted(tail) {
        network::UNTRUSTED_REMEDY
    } else if prints(&[
        "Temporary failure resolving",
        "Could not resolve",
        "Could not connect",
        "Unable to connect",
        "Network is unreachable",
    ]) {
        "the package archive cannot be reached: check the network, or http_proxy, and try again"
    } else if prints(&["Unable to locate package", "has no installation candidate", "was not found"]) {
        "the package lists do not contain this package: check the network and apt's sources, then `apt-get update`"
    } else if prints(&["Could not get lock"]) {
        "another package manager did not finish in time: wait for it, then try again"
    } else if prints(&["No space left", "enough free space"]) {
        "free some space on the disk, then try again"
    } else {
        "fix the problem that apt reports above, then try again"
    }
}

/// Counts packages in the output of `apt-get install`.
#[derive(Debug, Default)]
struct Count {
    total: u64,
    done: u64,
}

impl Count {
    /// The numbers of finished and of all packages, if the line changes them.
    fn line(&mut self, line: &str) -> Option<(u64, u64)> {
        if line.contains(" newly installed, ") {
            // "1 upgraded, 12 newly installed, 0 to remove and 3 not upgraded."
            let numbers =
                line.split(", ").take(2).filter_map(|part| part.split(' ').next()?.parse::<u64>().ok());
            self.total = numbers.sum();
            return None;
        }
        if !line.starts_with("Setting up ") {
            return None;
        }
        self.done += 1;
        Some((self.done, self.total.max(self.done)))
    }
}

/// Whether there are no lists, or old ones: apt touches `partial` whenever it fetches.
fn lists_are_old() -> bool {
    let has_packages = fs::read_dir(LISTS).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    });
    let fetched = fs::metadata(format!("{LISTS}/partial")).and_then(|meta| meta.modified());
    let age = fetched.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    !has_packages || age.is_none_or(|age| age > LISTS_TOO_OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted_from_apts_output() {
        let mut count = Count::default();
        assert_eq!(count.line("1 upgraded, 2 newly installed, 0 to remove and 3 not upgraded."), None);
        assert_eq!(count.line("Unpacking mtools (4.0.32-1) ..."), None);
        assert_eq!(count.line("Setting up mtools (4.0.32-1) ..."), Some((1, 3)));
        assert_eq!(count.line("Setting up e2fsprogs (1.47.2-3) ..."), Some((2, 3)));
    }

    #[test]
    fn the_remedy_depends_on_apts_message() {
        let remedy_of = |line: &str| remedy(&[line.to_owned()]);
        assert!(remedy_of("E: Failed to fetch x  Temporary failure resolving 'x'").contains("network"));
        let untrusted =
            "W: Failed to fetch https://x  Certificate verification failed: The certificate is NOT trusted.";
        assert!(remedy_of(untrusted).contains("SSL_CERT_FILE"));
        assert!(remedy_of("E: Unable to locate package mtools").contains("apt-get update"));
        assert!(
            remedy_of("E: You don't have enough free space in /var/cache/apt/archives/.")
                .contains("free some space")
        );
    }
}
