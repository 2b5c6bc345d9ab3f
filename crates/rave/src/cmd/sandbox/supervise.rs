//! The supervisor's process; `up`, `start` and whoever finds a sandbox without one start it.

use camino::Utf8Path;
use rave_sandbox::supervisor::{self, Host};
use rave_sandbox::{SandboxName, Store, network};
use rave_vm::accel::{self, Accelerator, ProbeRequest, ProbeResult};
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;

use super::model;
use crate::cli;
use crate::exit::Code;

/// Runs until the machine has ended.
pub(super) fn run(args: &cli::Supervise) -> anyhow::Result<Code> {
    let name: SandboxName = args.name.parse()?;
    let store = Store::new(&args.state);
    let record = store.get(&name)?;
    let host = || {
        let qemu = Qemu::find(Arch::X86_64)?;
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
    supervisor::run(&place, &record, model, host)?;
    Ok(Code::Ok)
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
