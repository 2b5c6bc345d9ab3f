//! Sandboxes as clones of a template: `up` to the first program and to all services, compared with a cold boot and with
//! the time that QEMU itself needs to resume the template until its guest answers.

use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_vm::machine::{Disk, DiskFormat, Interface, Machine, Memory, Nic, Overlay};
use rave_vm::standalone::Standalone;
use rave_vm::template::Template;

use crate::bench::boot::With;
use crate::bench::tool::Tool;
use crate::bench::{Report, Unit, forks, seconds};
use rave::ui::Ui;

/// `up` and the first `exec true`, in seconds.
const FIRST_TARGET: f64 = 1.5;
/// Ratio of the time until a clone's services are ready to that of a cold boot.
const READY_TARGET: f64 = 0.4;

/// How long a clone's guest may take to answer, and its QEMU to exit.
const ANSWER: Duration = Duration::from_secs(60);

/// Adds the rows. QEMU alone runs below `place`.
pub(crate) fn measure(
    report: &mut Report,
    tool: &Tool<'_>,
    place: &Utf8Path,
    with: &With<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    ui.note("bench: a template");
    let template = tool.up("first", false)?;
    tool.remove("first")?;
    let (mut floor, mut first, mut clones, mut boots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 1..=report.runs {
        ui.note(&format!("bench: sandboxes, {run} of {}", report.runs));
        floor.push(restore(&tool.template()?, place, with)?);
        let started = Instant::now();
        tool.up("clone", false)?;
        tool.run(&["exec", "clone", "--", "true"])?;
        first.push(started.elapsed());
        clones.push(tool.ready("clone", started)?);
        tool.remove("clone")?;
        let started = Instant::now();
        tool.up("cold", true)?;
        boots.push(tool.ready("cold", started)?);
        tool.remove("cold")?;
    }
    let (floor, boots) = (seconds(&floor), seconds(&boots));
    report.add("sandbox: its template is made, and the first is up", Unit::Seconds, &seconds(&[template]));
    report.add("sandbox: QEMU alone, until a clone's guest answers", Unit::Seconds, &floor);
    report.add_beside("sandbox: up to the first exec", Unit::Seconds, &seconds(&first), &floor, None);
    report.add_with_target(
        "sandbox: up to the first exec, alone",
        Unit::Seconds,
        &seconds(&first),
        FIRST_TARGET,
    );
    report.add("sandbox: a cold boot's services ready", Unit::Seconds, &boots);
    let clones = seconds(&clones);
    report.add_beside(
        "sandbox: a clone's services ready",
        Unit::Seconds,
        &clones,
        &boots,
        Some(READY_TARGET),
    );
    ui.note("bench: forks");
    forks::measure(report, tool)
}

/// Only QEMU and the guest: nothing is renewed.
fn restore(template: &Template, place: &Utf8Path, with: &With<'_>) -> anyhow::Result<Duration> {
    let key = template.check().map_err(|damage| anyhow::anyhow!("{damage}"))?;
    let machine = Machine {
        disk: Some(Disk::whole(template.disk(), DiskFormat::Qcow2, Interface::Virtio)),
        overlay: Overlay::Throwaway,
        disk_mib: Some(key.disk_mib),
        memory_mib: key.memory_mib,
        memory: Memory::CopyOf(template.memory()),
        kind: Some(key.machine),
        cpus: key.cpus,
        network: Some(Nic::Virtio),
        channel: true,
        ..Machine::new("floor", &place.join("floor"))
    };
    let started = Instant::now();
    let mut machine = Standalone::start_clone(machine, template, with.probe.engine, with.qemu)?;
    let answered = machine.channel().at_barrier(ANSWER).map(|_| started.elapsed());
    machine.end(ANSWER);
    Ok(answered?)
}
