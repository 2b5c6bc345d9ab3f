//! How the guest's instructions run on this host, proved by running some.
//!
//! [`probe`] boots a tiny guest under KVM, and under software emulation (TCG) if KVM does not work. The result is
//! cached in a file, so that a KVM that hangs costs its deadline once per boot of the host.

mod boot_sector;
mod cache;
mod engine;
mod guest;
mod kvm_device;
mod probe_result;

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;
use crate::qemu::Qemu;
use cache::{Cache, Key};
use guest::{GuestRun, Run};

pub use engine::{Accelerator, Engine};
pub use probe_result::{KvmState, ProbeResult, Progress};

/// How long the guest may take under KVM. Hardware needs a few hundredths of a second, nested hardware a few tenths.
const KVM_DEADLINE: Duration = Duration::from_secs(6);

/// How long the guest may take under software emulation: it takes 0.3 s on an idle machine, but the host may be busy.
const TCG_DEADLINE: Duration = Duration::from_secs(60);

/// What to prove.
#[derive(Debug, Clone, Copy)]
pub struct ProbeRequest<'a> {
    /// The QEMU to probe with.
    pub qemu: &'a Qemu,
    /// Folder of the file that caches the result; created if it is missing.
    pub cache_dir: &'a Utf8Path,
    /// Use only this accelerator, and fail if it does not work.
    pub force: Option<Accelerator>,
    /// Probe again, even if there is a cached result.
    pub refresh: bool,
}

/// Finds the accelerator to use.
///
/// A KVM that works or hangs and a TCG that works are remembered until the host reboots or QEMU changes. The other
/// states are cheap to find and may be fixed without a reboot, so they are checked each time.
pub fn probe(request: &ProbeRequest<'_>) -> Result<ProbeResult, Error> {
    let key = Key::of(request.qemu)?;
    let file = cache::file(request.cache_dir);
    let known = if request.refresh { Cache::empty(&key) } else { Cache::load(&file, &key) };
    let mut cache = known.clone();
    let mut prober = Prober { qemu: request.qemu, ran: false };

    let (kvm, engine) = match request.force {
        Some(Accelerator::Tcg) => (KvmState::NotTried, None),
        _ => prober.kvm(&mut cache)?,
    };
    let (engine, tcg_ms) = match (engine, request.force) {
        (Some(engine), _) => (engine, None),
        (None, Some(Accelerator::Kvm)) => return Err(Error::KvmUnusable { state: kvm }),
        (None, _) => {
            let (engine, ms) = prober.tcg(&mut cache)?;
            (engine, Some(ms))
        }
    };
    if cache != known {
        cache.save(&file)?;
    }
    Ok(ProbeResult { engine, kvm, tcg_ms, cached: !prober.ran })
}

struct Prober<'a> {
    qemu: &'a Qemu,
    /// Whether a guest was run.
    ran: bool,
}

impl Prober<'_> {
    fn kvm(&mut self, cache: &mut Cache) -> Result<(KvmState, Option<Engine>), Error> {
        if let Some(obstacle) = kvm_device::obstacle() {
            return Ok((obstacle, None));
        }
        if let Some((state, engine)) = &cache.kvm {
            return Ok((state.clone(), *engine));
        }
        let mut last = KvmState::NotTried;
        for engine in [Engine::Kvm, Engine::KvmWithoutArchCapabilities] {
            match self.run(engine, KVM_DEADLINE)?.outcome {
                GuestRun::Done { ms, .. } => {
                    let state = KvmState::Works { ms };
                    cache.kvm = Some((state.clone(), Some(engine)));
                    return Ok((state, Some(engine)));
                }
                GuestRun::Hung { after, reached } => {
                    let state = KvmState::Hangs { after, reached };
                    cache.kvm = Some((state.clone(), None));
                    return Ok((state, None));
                }
                // Report the first engine's reason: the second only tries a workaround.
                GuestRun::Died { tail, .. } if last == KvmState::NotTried => last = KvmState::Fails { tail },
                GuestRun::Died { .. } => {}
            }
        }
        Ok((last, None))
    }

    /// The engine that emulates correctly, and how long its guest took, ms.
    fn tcg(&mut self, cache: &mut Cache) -> Result<(Engine, u64), Error> {
        if let Some(known) = cache.tcg {
            return Ok(known);
        }
        let run = self.run(Engine::Tcg, TCG_DEADLINE)?;
        match run.outcome {
            GuestRun::Done { ms, avx2_is_wrong } => {
                let engine = if avx2_is_wrong { Engine::TcgWithoutAvx2 } else { Engine::Tcg };
                cache.tcg = Some((engine, ms));
                Ok((engine, ms))
            }
            outcome => Err(Error::TcgUnusable { command: run.command, why: outcome.to_string() }),
        }
    }

    fn run(&mut self, engine: Engine, deadline: Duration) -> Result<Run, Error> {
        self.ran = true;
        guest::run(self.qemu, engine, deadline)
    }
}

/// The file in `cache_dir` that [`probe`] keeps its result in.
pub fn cache_file(cache_dir: &Utf8Path) -> Utf8PathBuf {
    cache::file(cache_dir)
}
