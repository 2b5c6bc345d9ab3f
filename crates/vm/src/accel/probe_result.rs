//! The probe's result, and its description in words.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Accelerator, Engine};

/// What [`super::probe`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeResult {
    /// What to boot with.
    pub engine: Engine,
    /// The state of KVM.
    pub kvm: KvmState,
    /// How long the guest took under software emulation, ms; `None` if that was not needed.
    pub tcg_ms: Option<u64>,
    /// Whether everything came from the cache and no guest was run.
    pub cached: bool,
}

impl ProbeResult {
    /// The accelerator to boot with.
    pub fn accelerator(&self) -> Accelerator {
        self.engine.accelerator()
    }
}

/// The state of KVM on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvmState {
    /// The guest ran.
    Works {
        /// From QEMU's start to its end, ms.
        ms: u64,
    },
    /// `/dev/kvm` creates machines, but the guest did not finish in time.
    Hangs {
        /// The time it was given.
        after: Duration,
        /// How far it got.
        reached: Progress,
    },
    /// QEMU exited.
    Fails {
        /// Its last lines.
        tail: Vec<String>,
    },
    /// `/dev/kvm` exists, but this user may not open it.
    NoPermission {
        /// The device's group, by name if it has one.
        group: String,
        /// The system's error.
        reason: String,
    },
    /// There is no usable `/dev/kvm`.
    Absent {
        /// The system's error.
        reason: String,
    },
    /// The other accelerator was requested.
    NotTried,
}

/// How far the probe's guest got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Not even its first instruction ran.
    Firmware,
    /// Its 16-bit code runs.
    RealMode,
    /// Its 64-bit code runs.
    LongMode,
    /// Timer interrupts arrive.
    Interrupts,
    /// All of its work is done.
    Done,
}

impl Progress {
    /// Reads the letters that the guest wrote to its serial port.
    pub(super) fn of(serial: &[u8]) -> Self {
        match serial.last() {
            Some(b'R') => Self::RealMode,
            Some(b'L') => Self::LongMode,
            Some(b'T') => Self::Interrupts,
            Some(b'W' | b'A' | b'a' | b'-') => Self::Done,
            _ => Self::Firmware,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firmware => "its firmware did not find the disk",
            Self::RealMode => "its 16-bit code ran, its 64-bit code did not",
            Self::LongMode => "its 64-bit code ran, no timer interrupt came",
            Self::Interrupts => "it ran, but far slower than under software emulation",
            Self::Done => "it completed",
        })
    }
}

impl KvmState {
    /// How to fix it; `None` if there is nothing to fix.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Works { .. } | Self::NotTried => None,
            Self::Hangs { .. } => Some(
                "this host is a virtual machine that offers kvm without hardware behind it: turn on nested virtualisation \
                 in the hypervisor below, or continue with software emulation (--accel tcg)"
                    .into(),
            ),
            Self::Fails { .. } => Some(
                "stop other hypervisors (VirtualBox, VMware) and see `dmesg | grep kvm`, or continue with software \
                 emulation (--accel tcg)"
                    .into(),
            ),
            Self::NoPermission { group, .. } => Some(format!(
                "sudo usermod -aG {group} \"$USER\", then log in again; in a container, pass --device /dev/kvm"
            )),
            Self::Absent { .. } => Some(
                "turn on VT-x or AMD-V in the firmware's setup and load the module (sudo modprobe kvm_intel, or kvm_amd); in a \
                 virtual machine turn on nested virtualisation; in a container pass --device /dev/kvm"
                    .into(),
            ),
        }
    }
}

impl fmt::Display for KvmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works { ms } => write!(f, "kvm works: a guest ran in {ms} ms"),
            Self::Hangs { after, reached } => write!(
                f,
                "/dev/kvm opens, but a tiny guest did not finish within {} s: {reached}",
                after.as_secs_f64()
            ),
            Self::Fails { tail } => {
                let last = tail.iter().rev().find(|line| !line.trim().is_empty());
                write!(f, "QEMU fails under kvm: {}", last.map_or("it printed nothing", String::as_str))
            }
            Self::NoPermission { group, reason } => {
                write!(f, "/dev/kvm exists, but only for the group {group}: {reason}")
            }
            Self::Absent { reason } => write!(f, "no /dev/kvm: {reason}"),
            Self::NotTried => f.write_str("kvm was not tried"),
        }
    }
}

impl fmt::Display for ProbeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.accelerator(), self.tcg_ms) {
            (Accelerator::Tcg, Some(ms)) => {
                let except = if self.engine == Engine::TcgWithoutAvx2 { " except for AVX2" } else { "" };
                write!(f, "software emulation works{except}: a guest ran in {ms} ms; {}", self.kvm)
            }
            _ => write!(f, "{}", self.kvm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states() -> Vec<KvmState> {
        vec![
            KvmState::Hangs { after: Duration::from_secs(6), reached: Progress::Interrupts },
            KvmState::Fails { tail: vec!["failed to set MSR 0x10a".into(), String::new()] },
            KvmState::NoPermission { group: "kvm".into(), reason: "permission denied".into() },
            KvmState::Absent { reason: "not found".into() },
        ]
    }

    #[test]
    fn every_failure_has_its_own_message_and_remedy() {
        let texts: std::collections::BTreeSet<String> = states().iter().map(ToString::to_string).collect();
        let remedies: std::collections::BTreeSet<String> =
            states().iter().map(|state| state.remedy().unwrap()).collect();
        assert_eq!((texts.len(), remedies.len()), (4, 4));
        assert_eq!(KvmState::Works { ms: 1 }.remedy(), None);
        assert!(states()[1].to_string().contains("failed to set MSR 0x10a"));
        assert!(states()[2].remedy().unwrap().contains("usermod -aG kvm"));
    }

    #[test]
    fn progress_is_the_last_character() {
        for (serial, progress) in [
            (&b""[..], Progress::Firmware),
            (b"R", Progress::RealMode),
            (b"RL", Progress::LongMode),
            (b"RLT", Progress::Interrupts),
            (b"RLTW", Progress::Done),
            (b"RLTWa", Progress::Done),
            (b"RLTW\0", Progress::Firmware),
        ] {
            assert_eq!(Progress::of(serial), progress);
        }
    }
}
