//! A virtual machine as a value: everything that its QEMU command line depends on, without side effects.

mod disk;
mod display;
mod link;
mod memory;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::ports::PortForward;

pub use disk::{Disk, DiskExtent, DiskFormat, ExtraDisk, Interface};
pub use display::{Display, DisplayServer, Password, VNC_BASE};
pub use link::{Fence, Grants, Link};
pub use memory::Memory;

/// The guest's processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
}

impl Arch {
    /// Name of QEMU's system emulator.
    pub fn qemu_name(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
        }
    }
}

/// A virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Names the run folder and the QEMU process: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// The emulated architecture.
    pub arch: Arch,
    /// The firmware it boots with.
    pub firmware: Firmware,
    /// The artifact that it boots from.
    pub disk: Option<Disk>,
    /// Where its writes to the disk go.
    pub overlay: Overlay,
    /// Size of the disk that the guest sees, MiB, if larger than the artifact's own size. Needs an overlay.
    pub disk_mib: Option<u64>,
    /// Further disks. It boots from them only if the first has nothing to boot.
    pub more_disks: Vec<ExtraDisk>,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Where the memory is stored.
    pub memory: Memory,
    /// The versioned machine type, `pc-q35-10.0`; QEMU's newest by default.
    pub kind: Option<String>,
    /// Virtual CPUs.
    pub cpus: u32,
    /// The network card; without it there are no forwards either.
    pub network: Option<Nic>,
    /// What the card is connected to.
    pub link: Link,
    /// Guest ports that are reachable from the host.
    pub forwards: Vec<PortForward>,
    /// How the user sees the screen.
    pub display: Display,
    /// Shares the clipboard with a display that has one: whatever its user copies, in any program, is available to the
    /// guest too. With displays other than SPICE, QEMU stands in for a SPICE client's agent, which needs
    /// [`crate::qemu::Offers::clipboard`]. The guest needs `spice-vdagent`.
    pub clipboard: bool,
    /// A port for `qemu-guest-agent`; the host's end is [`Files::agent_socket`].
    pub guest_agent: bool,
    /// A port on which `rave-guest` runs programs for the host; the host's end is [`Files::channel_socket`].
    pub channel: bool,
    /// Restrictions of QEMU itself.
    pub fence: Fence,
    /// systemd credentials of the guest, systemd.exec(5).
    pub credentials: Vec<Credential>,
    /// Boots this kernel instead of the disk's boot loader.
    pub kernel: Option<DirectKernel>,
    /// What the guest's real-time clock starts at.
    pub clock: Clock,
    /// Files of this run.
    pub files: Files,
}

impl Machine {
    /// A headless machine with 1 GiB, one CPU, BIOS, no disk and no network, whose files live in `run_dir`.
    pub fn new(name: impl Into<String>, run_dir: &Utf8Path) -> Self {
        Self {
            name: name.into(),
            arch: Arch::X86_64,
            firmware: Firmware::Bios,
            disk: None,
            overlay: Overlay::None,
            disk_mib: None,
            more_disks: Vec::new(),
            memory_mib: 1024,
            memory: Memory::Anonymous,
            kind: None,
            cpus: 1,
            network: None,
            link: Link::Stream,
            forwards: Vec::new(),
            display: Display::Headless,
            clipboard: false,
            guest_agent: false,
            channel: false,
            fence: Fence::None,
            credentials: Vec::new(),
            kernel: None,
            clock: Clock::Host,
            files: Files::in_dir(run_dir),
        }
    }

    /// The forward that leads to this service.
    pub fn forward(&self, service: &str) -> Option<&PortForward> {
        self.forwards.iter().find(|forward| forward.service == service)
    }
}

/// The firmware that the machine boots with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Firmware {
    /// `SeaBIOS`, part of QEMU.
    Bios,
    /// OVMF; each machine works on its own copy of the variables.
    Uefi {
        /// The code, mapped read-only.
        code: Utf8PathBuf,
        /// The variables to copy from.
        vars_template: Utf8PathBuf,
    },
}

/// A network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Nic {
    /// virtio-net.
    Virtio,
    /// Intel 82540EM, as in VirtualBox.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// VMware's own.
    Vmxnet3,
}

impl Nic {
    /// The common name; it is also QEMU's name, except for virtio-net.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net",
            Self::E1000 => "e1000",
            Self::E1000e => "e1000e",
            Self::Vmxnet3 => "vmxnet3",
        }
    }

    /// QEMU's name of the device.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            other => other.as_str(),
        }
    }
}

/// Where the guest's writes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// Into a qcow2 in the run folder, which is removed with the folder.
    Throwaway,
    /// Into this qcow2, created if it is missing and used again by the next run.
    Keep(Utf8PathBuf),
    /// Into the artifact itself.
    None,
}

/// A systemd credential. Its value reaches QEMU in a file of mode 0600, never on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The name that `LoadCredential=` or systemd itself knows, such as `ssh.authorized_keys.root`.
    pub name: String,
    /// The value.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({}, {} bytes)", self.name, self.value.len())
    }
}

/// A kernel that QEMU loads itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectKernel {
    /// The kernel.
    pub image: Utf8PathBuf,
    /// Its initial RAM disk.
    pub initrd: Option<Utf8PathBuf>,
    /// Its command line.
    pub command_line: String,
}

/// What the guest's real-time clock starts at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clock {
    /// The host's time, UTC.
    Host,
    /// This UTC time, `2006-06-17T16:01:21`.
    At(String),
}

/// The files of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder for all files without another place.
    pub run_dir: Utf8PathBuf,
    /// What the guest prints on its first serial port.
    pub serial_log: Utf8PathBuf,
    /// JSON lines of `rave_guest::protocol`.
    pub ready_log: Utf8PathBuf,
    /// QEMU's control socket. The kernel takes at most 107 bytes of a socket's path.
    pub qmp_socket: Utf8PathBuf,
    /// The host's end of `qemu-guest-agent`'s port; the same limit applies.
    pub agent_socket: Utf8PathBuf,
    /// The host's end of `rave_guest::channel`; the same limit applies.
    pub channel_socket: Utf8PathBuf,
    /// QEMU's end of its network card; the same limit applies.
    pub network_socket: Utf8PathBuf,
}

/// The longest path of a Unix socket, bytes: `sun_path` of unix(7) without its final NUL.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

impl Files {
    /// All files in `run_dir`.
    pub fn in_dir(run_dir: &Utf8Path) -> Self {
        Self {
            serial_log: run_dir.join("serial.log"),
            ready_log: run_dir.join("ready.jsonl"),
            qmp_socket: run_dir.join("qmp.sock"),
            agent_socket: run_dir.join("qga.sock"),
            channel_socket: run_dir.join("rgc.sock"),
            network_socket: run_dir.join("net.sock"),
            run_dir: run_dir.to_owned(),
        }
    }

    /// The copy of the UEFI variables.
    pub(crate) fn uefi_vars(&self) -> Utf8PathBuf {
        self.run_dir.join("uefi-vars.fd")
    }

    /// The overlay of [`Overlay::Throwaway`].
    pub(crate) fn throwaway(&self) -> Utf8PathBuf {
        self.run_dir.join("overlay.qcow2")
    }

    /// What the guest was denied, as `rave_net::Log`.
    pub fn network_log(&self) -> Utf8PathBuf {
        self.run_dir.join("network-log.json")
    }

    /// The password of a display's server.
    pub(crate) fn display_password(&self) -> Utf8PathBuf {
        self.run_dir.join("display-password")
    }

    /// The text of a credential as QEMU passes it to the guest.
    pub(crate) fn credential(&self, index: usize) -> Utf8PathBuf {
        self.run_dir.join(format!("credential-{index}"))
    }
}
