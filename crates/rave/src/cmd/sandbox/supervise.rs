//! The supervisor's process, started by `up`, `start`, and every command that finds a running sandbox without one.

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
    // No other process of this user may read its memory, which contains more than a sandbox may know
    // (PR_SET_DUMPABLE(2const)).
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
        // A broken configuration of the model does not affect a sandbox that does not use it.
        Err(_) if network::read(&place)?.model().is_err() => None,
        Err(error) => return Err(error),
    };
    // Unreadable secrets are an error even for a sandbox that uses none: the hosts to guard would be unknown.
    let credentials = Credentials { model, secrets: secrets::load()? };
    supervisor::run(&place, &record, credentials, host)?;
    Ok(Code::Ok)
}

/// The fencer of QEMU, or an error if this host offers less than the sandbox requires.
fn fencer(record: &Record) -> Result<Fencer, rave_vm::Error> {
    let bad = |why: String| rave_vm::Error::BadMachine { name: record.name.to_string(), why };
    let fencer = fence::here().map_err(|error| bad(format!("{error:#}")))?;
    if record.require_fence {
        fence::require(&fencer.offer).map_err(|error| bad(error.to_string()))?;
    }
    Ok(fencer)
}

/// Tests the accelerator.
pub(super) fn probe(
    qemu: &Qemu,
    state_dir: &Utf8Path,
    accel: Option<cli::Accel>,
) -> Result<ProbeResult, rave_vm::Error> {
    let force = accel.map(Accelerator::from);
    accel::probe(&ProbeRequest { qemu, cache_dir: state_dir, force, refresh: false })
}
