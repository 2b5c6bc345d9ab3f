//! What runs the guest's instructions.

use serde::{Deserialize, Serialize};

use crate::qemu::Version;

/// How the guest's instructions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Hardware virtualisation through `/dev/kvm`.
    Kvm,
    /// Software emulation by QEMU: everywhere, slow.
    Tcg,
}

impl std::fmt::Display for Accelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

/// An accelerator together with the processor that it shows the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// KVM with the host's processor.
    Kvm,
    /// KVM with the host's processor but its `IA32_ARCH_CAPABILITIES` register (MSR 0x10a). Clouds that filter the
    /// register make QEMU abort: `failed to set MSR 0x10a`.
    KvmWithoutArchCapabilities,
    /// Software emulation with all that QEMU can emulate.
    Tcg,
    /// Software emulation without AVX2. A QEMU before [`GATHERS_RIGHT`] emulates `VPGATHERDD` and its kin as if there were
    /// no index where the index is `XMM4` or `YMM4` (QEMU's issue 2474): Chromium's drawing reads astray and dies of it.
    TcgWithoutAvx2,
}

/// The first QEMU that decodes a vector index of 4 (VSIB) as the register it is.
const GATHERS_RIGHT: Version = Version { major: 9, minor: 1, patch: 0 };

impl Engine {
    /// Software emulation as far as this version of QEMU does it right.
    pub(super) fn tcg(version: Version) -> Self {
        if version < GATHERS_RIGHT { Self::TcgWithoutAvx2 } else { Self::Tcg }
    }

    /// The accelerator.
    pub fn accelerator(self) -> Accelerator {
        match self {
            Self::Kvm | Self::KvmWithoutArchCapabilities => Accelerator::Kvm,
            Self::Tcg | Self::TcgWithoutAvx2 => Accelerator::Tcg,
        }
    }

    /// The value of QEMU's `-cpu`.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::KvmWithoutArchCapabilities => "host,arch-capabilities=off",
            Self::Tcg => "max",
            Self::TcgWithoutAvx2 => "max,avx2=off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avx2_is_shown_by_a_qemu_that_emulates_it_right() {
        let of = |text| Engine::tcg(Version::parse(text).unwrap());
        assert_eq!(of("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"), Engine::TcgWithoutAvx2);
        assert_eq!(of("QEMU emulator version 9.0.4"), Engine::TcgWithoutAvx2);
        assert_eq!(of("QEMU emulator version 9.1.0"), Engine::Tcg);
        assert_eq!(of("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"), Engine::Tcg);
    }
}
