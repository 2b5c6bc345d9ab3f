//! An unattended installation from the ISO to an empty disk, with the answers on a second medium.

use std::fs;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::Manifest;
use rave_process::{Cmd, Status, interrupt};
use rave_smoke::matrix::{FirmwareKind, MatrixRow};
use rave_smoke::report::{BootFailure, CheckResult, Outcome};
use rave_smoke::serial;
use rave_spec::{Base, Format};
use rave_vm::machine::{DiskFormat, ExtraDisk, Interface, Password};
use rave_vm::sandbox::LaunchConfig;
use rave_vm::{Error, Instance};

use super::machine::{RowContext, firmware_of};
use super::row_output::RowOutput;
use crate::cmd::run::run_root;
use crate::request::{self, Found};

/// How long an installation may take: the live boot, the medium's digests, and writing it, under software emulation.
const LIMIT: Duration = Duration::from_secs(1800);
/// How often its progress is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The prefix of the installer's own errors on the console.
const ERROR: &str = "rave-guest: ";
const DONE: &str = "RAVE is installed on";

/// A disk that was installed to.
pub(super) struct Installed {
    pub(super) disk: Utf8PathBuf,
    /// Its login name.
    pub(super) user: String,
    /// The password that the answers set.
    pub(super) password: Option<String>,
    pub(super) row: CheckResult,
}

/// Why the installation did not finish.
pub(super) enum Unfinished {
    /// The guest failed; its serial log is the row's.
    Guest(Box<BootFailure>),
    Host(anyhow::Error),
}

impl From<rave_vm::Error> for Unfinished {
    fn from(error: rave_vm::Error) -> Self {
        Self::Host(error.into())
    }
}

impl From<anyhow::Error> for Unfinished {
    fn from(error: anyhow::Error) -> Self {
        Self::Host(error)
    }
}

/// Installs on the row's hardware.
pub(super) fn install(context: &RowContext<'_>, iso: &Utf8Path) -> Result<Installed, Unfinished> {
    let RowContext { settings, manifest, row, scratch, output, .. } = *context;
    output.note("installing it to an empty disk");
    let started = Instant::now();
    let answers = Answers::of(manifest, row)?;
    let setup = setup_medium(&scratch.path, &answers).map_err(host)?;
    let disk = scratch.path.join("installed.qcow2");
    let size = format!("{}M", settings.spec.spec.vm.disk.get());
    Cmd::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", disk.as_str(), &size])
        .output()
        .map_err(|error| host(error.into()))?;

    let run_root = run_root(settings);
    let found = Found { manifest, path: iso, format: Format::Iso };
    let launch =
        LaunchConfig { firmware: firmware_of(row)?, ..request::machine(settings, &run_root, found, &[])? };
    let mut machine = launch.prepare()?.machine;
    machine.files.serial_log = scratch.serial_log();
    machine.more_disks = vec![
        ExtraDisk {
            path: disk.clone(),
            format: DiskFormat::Qcow2,
            interface: row.interface,
            read_only: false,
        },
        ExtraDisk { path: setup, format: DiskFormat::Raw, interface: Interface::Virtio, read_only: true },
    ];
    let mut instance = Instance::boot(machine, context.probe.engine, context.qemu)?;
    let result = watch(&mut instance, &scratch.serial_log(), started, output);
    instance.kill()?;
    let answer = result?;
    let row = CheckResult {
        name: "installed".into(),
        group: "install".into(),
        title: "the ISO installs itself to an empty disk, unattended".into(),
        outcome: Outcome::Passed,
        seconds: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
        attempts: 1,
        last_answer: answer,
    };
    let user = answers.user.map_or_else(|| manifest.guest.user.clone(), str::to_owned);
    Ok(Installed { disk, user, password: answers.password, row })
}

fn host(error: anyhow::Error) -> Unfinished {
    Unfinished::Host(error)
}

/// The answers on the second medium besides the disk; `None` keeps the image's value.
struct Answers {
    host_name: Option<&'static str>,
    user: Option<&'static str>,
    /// Unique to this run, so that a login with it proves that the answer was applied.
    password: Option<String>,
}

impl Answers {
    /// All answers that the base's installer accepts: NixOS takes its names from its configuration. Only one of the two
    /// rows renames the user, so that both cases are tested.
    fn of(manifest: &Manifest, row: &MatrixRow) -> anyhow::Result<Self> {
        let renames = manifest.base() == Base::Debian;
        Ok(Self {
            host_name: renames.then_some("installed"),
            user: (renames && row.firmware == FirmwareKind::Uefi).then_some("owner"),
            password: if manifest.guest.hardened {
                None
            } else {
                Some(Password::random()?.as_str().to_owned())
            },
        })
    }

    fn text(&self) -> String {
        let line = |name: &str, value: Option<&str>| {
            value.map(|value| format!("rave.{name}={value}\n")).unwrap_or_default()
        };
        [
            line("install", Some("auto")),
            line("then", Some("poweroff")),
            line("hostname", self.host_name),
            line("user", self.user),
            line("password", self.password.as_deref()),
        ]
        .concat()
    }
}

/// A FAT image of a floppy's size with the answers.
fn setup_medium(folder: &Utf8Path, answers: &Answers) -> anyhow::Result<Utf8PathBuf> {
    let (file, image) = (folder.join("rave-setup.conf"), folder.join("setup.img"));
    fs::write(&file, answers.text())?;
    Cmd::new("mkfs.vfat").args(["-n", "RAVE_SETUP", "-C", image.as_str(), "1440"]).output()?;
    Cmd::new("mcopy").args(["-i", image.as_str(), file.as_str(), "::/"]).output()?;
    Ok(image)
}

/// Waits until the machine has powered off; returns the installer's last error, if any.
fn watch(
    instance: &mut Instance,
    log: &Utf8Path,
    started: Instant,
    output: &RowOutput<'_>,
) -> Result<String, Unfinished> {
    let mut shown = String::new();
    loop {
        let ended = instance.ended()?;
        let text = text(log);
        if let Some(answer) = text.lines().rev().find(|line| line.contains(DONE)).filter(|_| ended.is_some())
        {
            return Ok(answer.trim().to_owned());
        }
        let cause = match ended {
            Some(Status::Code(0)) => Some("the machine went off before it was done".to_owned()),
            Some(status) => Some(instance.died(status).to_string()),
            None if started.elapsed() > LIMIT => Some(format!("not done after {} s", LIMIT.as_secs())),
            None => refusal(&text).map(|(why, _)| why.to_owned()),
        };
        if let Some(cause) = cause {
            let evidence = refusal(&text).map(|(_, remedy)| remedy.to_owned());
            return Err(Unfinished::Guest(Box::new(unfinished(cause, evidence, log, started))));
        }
        let line = text.lines().rev().map(str::trim).find(|line| line.contains(" MiB"));
        if let Some(line) = line.filter(|line| *line != shown) {
            shown = line.to_owned();
            output.progress(line);
        }
        if let Err(interrupted) = interrupt::pause(POLL_INTERVAL) {
            return Err(Error::Interrupted(interrupted).into());
        }
    }
}

fn text(log: &Utf8Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// The installer's own error on the console, and its next line, which says what to do.
fn refusal(console: &str) -> Option<(&str, &str)> {
    let mut lines = console.lines().map(str::trim).skip_while(|line| !line.starts_with(ERROR));
    let why = lines.next()?.strip_prefix(ERROR)?;
    // The next line may arrive a moment later.
    Some((why, lines.next()?))
}

/// The failure; without an error from the installer it shows the last lines of the console.
fn unfinished(cause: String, answer: Option<String>, log: &Utf8Path, started: Instant) -> BootFailure {
    let last = || serial::last_lines(log).unwrap_or_default().last().cloned().unwrap_or_default();
    BootFailure {
        stage: "the installation".into(),
        cause,
        evidence: answer.unwrap_or_else(last),
        remedy: "the serial log has all that the installer said".into(),
        reached: Vec::new(),
        waited: (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_answers_are_omitted() {
        let answers = Answers { host_name: Some("installed"), user: None, password: Some("p=1".into()) };
        let expected = "rave.install=auto\nrave.then=poweroff\nrave.hostname=installed\nrave.password=p=1\n";
        assert_eq!(answers.text(), expected);
    }

    #[test]
    fn the_installers_error_is_reported_with_a_remedy() {
        let console =
            "checking the medium\r\nrave-guest: there is data on /dev/vda\r\nuse an empty disk\r\n[FAILED]";
        assert_eq!(refusal(console), Some(("there is data on /dev/vda", "use an empty disk")));
        assert_eq!(refusal("rave-guest: there is data"), None, "its second line is still to come");
        assert_eq!(refusal("checking the medium\r\n"), None);
    }
}
