//! `smoke --isolation --clone`: the attacks in a new sandbox that is cloned from the image's template.

use std::time::{Duration, Instant};

use rave_image::Manifest;
use rave_net::{Log, Mode};
use rave_sandbox::control::Origin;
use rave_sandbox::network::Change;
use rave_sandbox::{Connection, Place, now};
use rave_smoke::isolation::{self, Attack, Servers, Target};
use rave_smoke::report::{Boot, BootTimes, CheckResult, Outcome, Run, Subject};
use rave_spec::Format;
use rave_vm::accel::{Accelerator, ProbeResult};
use rave_vm::terminal_text::plain;

use crate::cli;
use crate::cmd::sandbox::{Named, remove, up, wait_for_ssh};
use crate::settings::Settings;
use crate::ui::Ui;

/// The row that checks whether the sandbox is a clone.
pub(super) const ORIGIN: &str = "isolation-clone";

/// Creates the sandbox, attacks from inside it, and removes it.
pub(super) fn attack(
    args: &cli::Smoke,
    attacks: &[&Attack],
    settings: &Settings,
    probe: &ProbeResult,
    ui: &Ui,
) -> anyhow::Result<Run> {
    let name = format!("isolation-{}", std::process::id());
    let result = attack_in(&name, args, attacks, settings, probe, ui);
    let named = Named::new(&name)?;
    let removed = if named.store.find(&named.name)?.is_some() {
        remove(&cli::Rm { names: vec![name], force: true }, ui).map(drop)
    } else {
        Ok(())
    };
    let run = result?;
    removed?;
    Ok(run)
}

fn attack_in(
    name: &str,
    args: &cli::Smoke,
    attacks: &[&Attack],
    settings: &Settings,
    probe: &ProbeResult,
    ui: &Ui,
) -> anyhow::Result<Run> {
    let started = Instant::now();
    let servers = Servers::start()?;
    let up = cli::Up {
        name: Some(name.to_owned()),
        reach: cli::NetworkFlags {
            network: Some(Mode::Restricted),
            allow: servers.policy().allow,
            deny: Vec::new(),
        },
        building: args.building.clone(),
        ..cli::Up::default()
    };
    let (place, status) = up::bring_up(&up, settings, ui)?;
    let ssh = wait_for_ssh(&Named::new(name)?, ui)?;
    // Without the time to build the image and the template. The start is known to the second.
    let ready = Duration::from_secs(now().saturating_sub(status.since)).as_secs_f64();
    let target = Target {
        ssh: &ssh,
        log: &|| log(&place),
        // The supervisor is another process, and asks the host's resolver.
        has_names: false,
        is_quiet: probe.accelerator() == Accelerator::Kvm,
    };
    let mut rows = vec![origin(&status.origin)];
    rows.extend(isolation::run(&target, attacks, &servers, &ui.sink()));
    // A clone skips the earlier phases.
    let boot = Boot::Ready(BootTimes {
        firmware: 0.0,
        loader: 0.0,
        kernel_initrd: 0.0,
        userspace: ready,
        ready,
        stages: Vec::new(),
    });
    let subject = subject(settings, probe)?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Run { subject, seconds, boot, rows, screenshots: Vec::new(), warnings: Vec::new(), serial: None })
}

/// Whether the attacked sandbox really is a clone.
fn origin(origin: &Origin) -> CheckResult {
    let outcome = match origin {
        Origin::Template => Outcome::Passed,
        Origin::DiskInstead { why } => Outcome::Failed(format!("it booted: {}", plain(why).trim())),
        Origin::Disk | Origin::Moment => Outcome::Failed("it was not started from a template".to_owned()),
    };
    CheckResult {
        name: ORIGIN.into(),
        group: "isolation".into(),
        title: "the sandbox is a clone of the image's template".into(),
        outcome,
        seconds: 0.0,
        attempts: 1,
        last_answer: String::new(),
    }
}

fn log(place: &Place) -> Result<Log, String> {
    let mut connection = Connection::open(place).ok_or("its supervisor does not answer")?;
    let status = connection.network(Change::default()).map_err(|error| error.to_string())?;
    Ok(status.log)
}

fn subject(settings: &Settings, probe: &ProbeResult) -> anyhow::Result<Subject> {
    let manifest = Manifest::read(&settings.out_dir)?;
    let artifact = manifest.artifact(&settings.out_dir, Format::Qemu)?;
    let vm = settings.spec.spec.vm;
    Ok(Subject {
        base: manifest.base().to_string(),
        profile: manifest.profile.clone(),
        format: Format::Qemu.to_string(),
        row: "clone".into(),
        medium: "disk".into(),
        artifact: artifact.boot_file().name.clone(),
        sha256: artifact.boot_file().sha256.to_string(),
        accelerator: probe.accelerator().to_string(),
        firmware: "bios".into(),
        bus: "virtio-blk".into(),
        nic: "virtio-net".into(),
        memory_mib: vm.memory.get(),
        cpus: vm.cpus,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_booted_sandbox_is_not_a_clone() {
        assert_eq!(origin(&Origin::Template).outcome, Outcome::Passed);
        let booted = origin(&Origin::DiskInstead { why: "the template is damaged".into() });
        assert_eq!(booted.outcome, Outcome::Failed("it booted: the template is damaged".into()));
        assert_ne!(origin(&Origin::Disk).outcome, Outcome::Passed);
    }
}
