//! The stages of a boot.

use std::fmt;

use rave_guest::protocol;

/// Where a boot is, or where it hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BootStage {
    /// `SeaBIOS` or OVMF looks for something to boot.
    Firmware,
    /// The firmware started the boot loader; the kernel has printed nothing yet.
    BootLoader,
    /// The kernel runs and has not started its first program.
    Kernel,
    /// The first program of the initial RAM disk runs; the root filesystem's has printed nothing yet.
    Initrd,
    /// The root filesystem's init runs; RAVE's own service has reported nothing yet.
    Userspace,
    /// The guest waits for an address.
    Network,
    /// The guest waits for its SSH server.
    Sshd,
    /// The guest waits for the service of this readiness stage.
    Service(protocol::GuestStage),
}

impl From<protocol::GuestStage> for BootStage {
    fn from(stage: protocol::GuestStage) -> Self {
        match stage {
            protocol::GuestStage::Userspace => Self::Userspace,
            protocol::GuestStage::Network => Self::Network,
            protocol::GuestStage::Sshd => Self::Sshd,
            other => Self::Service(other),
        }
    }
}

impl fmt::Display for BootStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Firmware => f.write_str("firmware"),
            Self::BootLoader => f.write_str("boot loader"),
            Self::Kernel => f.write_str("kernel"),
            Self::Initrd => f.write_str("initrd"),
            Self::Userspace => f.write_str("userspace"),
            Self::Network => f.write_str("network"),
            Self::Sshd => f.write_str("sshd"),
            Self::Service(stage) => write!(f, "{stage}"),
        }
    }
}

impl BootStage {
    /// Whether nothing has been written to the disk yet.
    pub fn is_before_userspace(self) -> bool {
        self < Self::Userspace
    }

    /// How to fix a boot that ends here.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Firmware => {
                "the disk may lack a boot loader for this firmware: try the other one (--firmware bios or uefi), or rebuild \
                 the image (cargo xtask image --refresh)"
            }
            Self::BootLoader => "rebuild the image: cargo xtask image --refresh",
            Self::Kernel => {
                "give the machine more memory (--memory), or another accelerator (--accel tcg); otherwise rebuild the image"
            }
            Self::Initrd => {
                "the kernel does not find the root filesystem: rebuild the image (cargo xtask image --refresh)"
            }
            Self::Userspace => {
                "see the serial log for the unit that it waits for; give the machine more memory (--memory)"
            }
            Self::Network => "see the serial log; the guest expects an address by DHCP on its virtio card",
            Self::Sshd | Self::Service(_) => {
                "see the serial log; units added in rave.toml's [extra] are the usual cause"
            }
        }
    }
}
