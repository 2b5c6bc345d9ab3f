//! Finds or makes the template that a new sandbox is cloned from.

use std::any::Any;
use std::io;
use std::sync::Arc;

use camino::Utf8Path;
use rave_host::Needs;
use rave_image::Manifest;
use rave_net::{Mode, Network, NoRecord, Outbound, Policy, Trust};
use rave_spec::Format;
use rave_vm::Error;
use rave_vm::accel::ProbeResult;
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;
use rave_vm::template::{Found, Making, Recipe, Template, TemplateLock, Templates, make};
use rave_vm::terminal_text::plain;

use crate::cmd::fence;
use crate::cmd::run::{Stages, accelerator, deadline};
use crate::host;
use crate::settings::Settings;
use crate::ui::Ui;

/// The total size of all templates before unused ones are removed, bytes: about twenty of the usual size.
const LIMIT: u64 = 8 << 30;

/// The properties of the host that templates depend on.
pub(super) struct Host<'a> {
    pub(super) qemu: &'a Qemu,
    pub(super) probe: &'a ProbeResult,
}

/// Holds what a clone needs in `folder`, which contains the image. If no clone is possible, a warning says why and the
/// sandbox boots.
pub(super) fn hold(
    folder: &Utf8Path,
    recipe: Recipe<'_>,
    host: &Host<'_>,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<()> {
    match find_or_make(recipe, host, settings, ui) {
        Ok(Some((template, _lock))) => {
            template.hold_in(folder)?;
            Ok(())
        }
        Ok(None) => Ok(()),
        // A sandbox that boots would write to the same full disk.
        Err(error) if error.is_interrupt() || error.is_of_full_disk() => Err(error.into()),
        Err(error) => {
            let why = plain(&error.to_string());
            ui.warn(&format!("no template could be made, so the sandbox boots: {}", why.trim()));
            Ok(())
        }
    }
}

/// Makes the template for sandboxes with the default memory and processors.
pub(crate) fn warm(manifest: &Manifest, settings: &Settings, ui: &Ui) -> anyhow::Result<()> {
    host::ensure(settings, ui, Needs::Run)?;
    let qemu = Qemu::find(Arch::X86_64)?.fenced_by(fence::here()?);
    let probe = accelerator(settings, &qemu, ui)?;
    let found = manifest.artifact(&settings.out_dir, Format::Qemu)?;
    let (file, vm) = (found.boot_file(), settings.spec.spec.vm);
    let recipe = Recipe {
        image: &settings.out_dir.join(&file.name),
        sha256: &file.sha256.to_string(),
        profile: &manifest.profile,
        memory_mib: vm.memory.get(),
        cpus: vm.cpus,
        disk_mib: vm.disk.get(),
    };
    let made = find_or_make(recipe, &Host { qemu: &qemu, probe: &probe }, settings, ui)?;
    if made.is_some() {
        ui.note("there is a template: `cargo xtask up` starts clones of it");
    }
    Ok(())
}

/// The template of a recipe, with the lock that keeps others from removing it.
pub(super) fn find_or_make(
    recipe: Recipe<'_>,
    host: &Host<'_>,
    settings: &Settings,
    ui: &Ui,
) -> Result<Option<(Template, TemplateLock)>, Error> {
    let facts = host.qemu.facts(&settings.state_dir)?;
    if !facts.has_private_memory {
        let version = host.qemu.version;
        ui.note(&format!(
            "QEMU {version} cannot map a template's memory without writing to it, so sandboxes boot; QEMU 10 can"
        ));
        return Ok(None);
    }
    let engine = host.probe.engine;
    let key = recipe.key(&facts, engine);
    let templates = Templates::new(&settings.state_dir);
    let lock =
        templates.lock(&key.id(), &mut || ui.note("another command makes the template; waiting for it"))?;
    match templates.find(&key, &lock) {
        Found::Whole(template) => return Ok(Some((template, lock))),
        Found::Damaged(damage) => ui.warn(&format!("the template is damaged and is rebuilt: {damage}")),
        Found::Nothing => {
            ui.note(
                "a machine is booted once and kept as a template: sandboxes of its kind start as clones of it",
            );
        }
    }
    let making = Making {
        recipe,
        key,
        qemu: host.qemu,
        facts: &facts,
        engine,
        deadline: deadline(engine.accelerator()),
    };
    let sink = ui.sink();
    let mut stages = Stages::new(&sink);
    let made = make(&templates, &lock, &making, &offline, &mut |event| stages.take(event));
    stages.finish(made.is_ok());
    let template = made?;
    // Templates that cannot be removed stay until the next attempt.
    if let Err(error) = templates.prune(LIMIT) {
        ui.warn(&error.to_string());
    }
    Ok(Some((template, lock)))
}

/// The network of a machine that becomes a template: it assigns an address and reaches nothing.
fn offline(socket: &Utf8Path) -> io::Result<Box<dyn Any>> {
    let network = Network::start(rave_net::Settings {
        socket: socket.to_owned(),
        policy: Policy { mode: Mode::Offline, ..Policy::default() },
        forwards: Vec::new(),
        journal: None,
        witness: Arc::new(NoRecord),
        outbound: Outbound::of_this_process(),
        authority: None,
        trust: Trust::OfHost,
        model: None,
        secrets: Vec::new(),
    })?;
    Ok(Box::new(network))
}
