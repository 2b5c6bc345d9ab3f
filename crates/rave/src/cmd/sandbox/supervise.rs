//! The supervisor's process; `up`, `start` and whoever finds a sandbox without one start it.

use camino::Utf8Path;
use rave_sandbox::secrets::Credentials;
use rave_sandbox::supervisor::{self, Host};
use rave_sandbox::{Record, SandboxName, Store, network};
use rave_vm::accel::{self, Accelerator, ProbeRequest, ProbeResult};
use rave_vm::fence::Fencer;
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::{model, secrets};
use crate::cli;
use crate::cmd::fence;
use crate::exit::Code;

/// Runs until the machine has ended.
pub(super) fn run(args: &cli::Supervise) -> anyhow::Result<Code> {
    let name: SandboxName = args.name.parse()?;
    let store = Store::new(&args.state);
    let record = store.get(&name)?;
    // No other process of this user reads its memory, which holds more than a sandbox may know (PR_SET_DUMPABLE(2const)).
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let host = || {
        let fencer = fencer(&record)?;
        let qemu = Qemu::find(Arch::X86_64)?.fenced_by(fencer);
        let engine = probe(&qemu, &args.state, args.accel)?.engine;
        Ok(Host { qemu, engine })
    };
    let place = store.place(&name);
    let model = match model::load() {
        Ok(model) => model,
        // Who does not use it is not kept from anything by its configuration.
        Err(_) if network::read(&place)?.model().is_err() => None,
        Err(error) => return Err(error),
    };
    // Whoever uses none is not let through where they cannot be read: nobody would know which hosts to guard.
    let credentials = Credentials { model, secrets: secrets::load()? };
    supervisor::run(&place, &record, credentials, host)?;
    Ok(Code::Ok)
}

/// What fences QEMU here, unless that is less than what the sandbox needs.
fn fencer(record: &Record) -> Result<Fencer, rave_vm::Error> {
    let bad = |why: String| rave_vm::Error::BadMachine { name: record.name.to_string(), why };
    let fencer = fence::here().map_err(|error| bad(format!("{error:#}")))?;
    if record.require_fence {
        fence::require(&fencer.offer).map_err(|error| bad(error.to_string()))?;
    }
    Ok(fencer)
}

/// Proves the accelerator.
pub(super) fn probe(
    qemu: &Qemu,
    state_dir: &Utf8Path,
    accel: Option<cli::Accel>,
) -> Result<ProbeResult, rave_vm::Error> {
    let force = accel.map(Accelerator::from);
    accel::probe(&ProbeRequest { qemu, cache_dir: state_dir, force, refresh: false })
}
