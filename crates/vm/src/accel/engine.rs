//! What runs the guest's instructions.

use serde::{Deserialize, Serialize};

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
    /// Software emulation without AVX2, for a QEMU that was observed to emulate it wrongly: it treats `VPGATHERDD` and
    /// related instructions as having no index if the index is `XMM4` or `YMM4` (QEMU issue 2474), so that Chromium
    /// reads from wrong addresses and crashes.
    TcgWithoutAvx2,
}

impl Engine {
    /// The accelerator.
    pub fn accelerator(self) -> Accelerator {
        match self {
            Self::Kvm | Self::KvmWithoutArchCapabilities => Accelerator::Kvm,
            Self::Tcg | Self::TcgWithoutAvx2 => Accelerator::Tcg,
        }
    }

    /// The value of QEMU's `-cpu`. Under software emulation a fifth level of page tables (LA57) makes every miss of the
    /// translation cache slower, and STAC and CLAC (SMAP), around each copy to or from a program, end a translated
    /// block: without both, a desktop's browser opens with a seventh less processor time.
    pub(crate) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "host",
            Self::KvmWithoutArchCapabilities => "host,arch-capabilities=off",
            Self::Tcg => "max,la57=off,smap=off",
            Self::TcgWithoutAvx2 => "max,avx2=off,la57=off,smap=off",
        }
    }
}
