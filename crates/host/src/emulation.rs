//! Whether this QEMU emulates processors correctly where KVM does not work.

use rave_vm::accel::{self, Engine, ProbeRequest};
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;

use crate::context::Context;
use crate::installed::EMULATOR;
use crate::report::{Finding, Fix, State};
use crate::requirements::{BOOT, QEMU};
use crate::system::Host;

/// The folder of programs from Debian's packages.
const PACKAGED: &str = "/usr/bin/";

/// A finding if guests are emulated incorrectly, in which case a desktop does not work; nothing if all is well. It is
/// also nothing if no guest runs at all, which the accelerator's probe reports.
pub(crate) fn finding(context: Context<'_>, has_desktop: bool) -> Option<Finding> {
    let qemu = Qemu::find(Arch::X86_64).ok()?;
    let request = ProbeRequest {
        qemu: &qemu,
        cache_dir: context.state_dir,
        force: context.accelerator,
        refresh: false,
    };
    let probe = accel::probe(&request).ok()?;
    (probe.engine == Engine::TcgWithoutAvx2).then(|| Finding {
        name: "QEMU's emulation".to_owned(),
        found: format!("QEMU {} emulates AVX2 wrongly", qemu.version),
        needed: "a QEMU that emulates AVX2 correctly".to_owned(),
        why: "Chromium and Node.js crash in a guest that is emulated wrongly",
        parts: BOOT,
        state: if has_desktop { State::Missing } else { State::Warning },
        fix: fix(&qemu, &Host::examine()),
    })
}

fn fix(qemu: &Qemu, host: &Host) -> Fix {
    let is_packaged = qemu.program.as_str().starts_with(PACKAGED)
        && host.qemu.iter().any(|package| package.name == EMULATOR);
    if is_packaged && host.has_old_qemu() {
        return Fix::Upgrade(&QEMU);
    }
    Fix::Advice(format!("replace {} with QEMU 10 or newer", qemu.program))
}
