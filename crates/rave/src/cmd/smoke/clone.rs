//! `smoke --isolation --clone`: the attacks on a sandbox of their own, which is a clone of the image's template.

use std::time::Instant;

use rave_image::Manifest;
use rave_net::{Log, Mode};
use rave_sandbox::control::Origin;
use rave_sandbox::network::Change;
use rave_sandbox::{Connection, Place};
use rave_smoke::isolation::{self, Servers, Target};
use rave_smoke::report::{Boot, BootTimes, Run, Subject};
use rave_spec::Format;
use rave_vm::accel::{Accelerator, ProbeResult};

use crate::cli;
use crate::cmd::sandbox::{Named, remove, up, wait_for_ssh};
use crate::settings::Settings;
use crate::ui::Ui;

/// Makes the sandbox, attacks from inside of it, and removes it.
pub(super) fn attack(
    args: &cli::Smoke,
    settings: &Settings,
    probe: &ProbeResult,
    ui: &Ui,
) -> anyhow::Result<Run> {
    let name = format!("isolation-{}", std::process::id());
    let result = attack_in(&name, args, settings, probe, ui);
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
    settings: &Settings,
    probe: &ProbeResult,
    ui: &Ui,
) -> anyhow::Result<Run> {
    let started = Instant::now();
    let servers = Servers::start()?;
    let up = cli::Up {
        name: Some(name.to_owned()),
        network: Some(Mode::Restricted),
        allow: servers.policy().allow,
        building: args.building.clone(),
        ..cli::Up::default()
    };
    let (place, status) = up::bring_up(&up, settings, ui)?;
    let ssh = wait_for_ssh(&Named::new(name)?, ui)?;
    let ready = started.elapsed().as_secs_f64();
    let target = Target {
        ssh: &ssh,
        log: &|| log(&place),
        // The supervisor is another process, and asks the host's resolver.
        has_names: false,
        is_quiet: probe.accelerator() == Accelerator::Kvm,
    };
    let rows = isolation::run(&target, &servers, &ui.sink());
    let boot = Boot::Ready(BootTimes {
        firmware: 0.0,
        loader: 0.0,
        kernel_initrd: 0.0,
        userspace: ready,
        ready,
        stages: Vec::new(),
    });
    let subject =
        subject(settings, probe, if status.origin == Origin::Template { "clone" } else { "sandbox" })?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Run { subject, seconds, boot, rows, screenshots: Vec::new(), warnings: Vec::new(), serial: None })
}

fn log(place: &Place) -> Log {
    let status =
        Connection::open(place).and_then(|mut connection| connection.network(Change::default()).ok());
    status.map(|status| status.log).unwrap_or_default()
}

fn subject(settings: &Settings, probe: &ProbeResult, row: &str) -> anyhow::Result<Subject> {
    let manifest = Manifest::read(&settings.out_dir)?;
    let artifact = manifest.artifact(&settings.out_dir, Format::Qemu)?;
    let vm = settings.spec.spec.vm;
    Ok(Subject {
        base: manifest.base().to_string(),
        profile: manifest.profile.clone(),
        format: Format::Qemu.to_string(),
        row: row.into(),
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
