//! The QEMU command line as a pure value. One small function per group of arguments; nothing here touches the system.

use camino::Utf8Path;

use crate::accel::{Accelerator, Engine};
use crate::machine::{
    Arch, Clock, Display, DisplayServer, Fence, Firmware, Interface, Machine, Memory, Overlay, VNC_BASE,
};
use crate::ring::{FIRMWARE_LOG, READY_DEVICE};

/// Name of the virtio-serial port on which the guest runs programs for the host.
use rave_guest::channel::PORT_NAME as CHANNEL_NAME;
/// Name of the virtio-serial port on which the guest reports its progress.
use rave_guest::protocol::PORT_NAME;

/// The arguments of QEMU for this machine, without the program itself. They have the same meaning in every version
/// since [`crate::qemu::OLDEST`].
pub fn qemu_argv(machine: &Machine, engine: Engine) -> Vec<String> {
    let mut argv = Argv::default();
    base(&mut argv, machine);
    fence(&mut argv, machine);
    acceleration(&mut argv, engine);
    firmware(&mut argv, machine);
    disk(&mut argv, machine);
    more_disks(&mut argv, machine);
    kernel(&mut argv, machine);
    network(&mut argv, machine);
    consoles(&mut argv, machine);
    credentials(&mut argv, machine);
    display(&mut argv, machine);
    argv.0
}

#[derive(Default)]
struct Argv(Vec<String>);

impl Argv {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }
}

/// A path inside a list of options: QEMU doubles commas (qemu-options.hx, "comma").
fn path(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

fn base(argv: &mut Argv, machine: &Machine) {
    argv.flag("-nodefaults");
    argv.flag("-no-user-config");
    argv.add("-name", machine.name.replace(',', ",,"));
    memory(argv, machine);
    argv.add("-smp", format!("cpus={}", machine.cpus));
    argv.add(
        "-rtc",
        match &machine.clock {
            Clock::Host => "base=utc,clock=host".to_owned(),
            Clock::At(time) => format!("base={time},clock=vm"),
        },
    );
    // Without it a fresh guest may wait for entropy before it generates host keys.
    argv.add("-device", "virtio-rng-pci");
}

/// Marks a machine that was resumed from a moment: its migration stream has no configuration section.
pub(crate) const RESUMED: &str = "migration.send-configuration=off";

/// A cloned machine has a generation ID (vmgenid): when it changes, the guest's kernel reseeds its random generator.
fn memory(argv: &mut Argv, machine: &Machine) {
    let kind = match machine.arch {
        Arch::X86_64 => machine.kind.as_deref().unwrap_or("q35"),
    };
    let (file, access) = match &machine.memory {
        Memory::Anonymous => {
            argv.add("-machine", kind);
            argv.add("-m", format!("size={}M", machine.memory_mib));
            return;
        }
        Memory::File(file) => (file, "share=on"),
        Memory::CopyOf(file) | Memory::Resumed { file, .. } => (file, "share=off,readonly=on,rom=off"),
    };
    let is_resumed = matches!(machine.memory, Memory::Resumed { .. });
    // The stream of a moment does not end with a description of itself.
    let more = if is_resumed { ",suppress-vmdesc=on" } else { "" };
    argv.add("-machine", format!("{kind},memory-backend=mem{more}"));
    argv.add("-m", format!("size={}M", machine.memory_mib));
    let (size, file) = (machine.memory_mib, path(file));
    argv.add("-object", format!("memory-backend-file,id=mem,size={size}M,mem-path={file},{access}"));
    if !matches!(machine.memory, Memory::Resumed { has_generation: false, .. }) {
        argv.add("-device", "vmgenid,guid=auto");
    }
    if is_resumed {
        argv.add("-global", RESUMED);
    }
    if is_resumed || matches!(machine.memory, Memory::CopyOf(_)) {
        argv.add("-incoming", "defer");
    }
}

/// QEMU's own seccomp(2) filters, qemu(1): a guest that has taken over QEMU cannot start programs with it.
fn fence(argv: &mut Argv, machine: &Machine) {
    if machine.fence != Fence::None {
        let denied = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];
        argv.add("-sandbox", format!("on,{}", denied.map(|what| format!("{what}=deny")).join(",")));
    }
}

fn acceleration(argv: &mut Argv, engine: Engine) {
    argv.add(
        "-accel",
        match engine.accelerator() {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg,thread=multi",
        },
    );
    argv.add("-cpu", engine.cpu());
}

fn firmware(argv: &mut Argv, machine: &Machine) {
    // SeaBIOS and debug builds of OVMF log what they try to port 0x402, at no cost to the guest.
    argv.add("-chardev", format!("ringbuf,id=firmware,size={FIRMWARE_LOG}"));
    argv.add("-device", "isa-debugcon,iobase=0x402,chardev=firmware");
    if let Firmware::Uefi { code, .. } = &machine.firmware {
        let code = path(code);
        argv.add("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file={code}"));
        argv.add("-drive", format!("if=pflash,unit=1,format=raw,file={}", path(&machine.files.uefi_vars())));
    }
}

fn disk(argv: &mut Argv, machine: &Machine) {
    let Some(disk) = &machine.disk else { return };
    let (file, driver, cache) = match &machine.overlay {
        // Nobody reads it after the run: a flush by the guest need not reach the host's disk.
        Overlay::Throwaway => (machine.files.throwaway(), "qcow2", ",cache.no-flush=on"),
        Overlay::Keep(kept) => (kept.clone(), "qcow2", ""),
        Overlay::None => (disk.path.clone(), disk.format.driver(), ""),
    };
    let access = match disk.interface {
        Interface::Cd => "read-only=on",
        _ => "discard=unmap",
    };
    argv.add(
        "-blockdev",
        format!(
            "driver={driver},node-name=disk,{access}{cache},file.driver=file,file.filename={}",
            path(&file)
        ),
    );
    device(argv, disk.interface, 0);
}

fn more_disks(argv: &mut Argv, machine: &Machine) {
    for (number, disk) in (1..).zip(&machine.more_disks) {
        let (driver, file) = (disk.format.driver(), path(&disk.path));
        let access = if disk.read_only { "read-only=on" } else { "discard=unmap" };
        let node = node(number);
        argv.add(
            "-blockdev",
            format!("driver={driver},node-name={node},{access},file.driver=file,file.filename={file}"),
        );
        device(argv, disk.interface, number);
    }
}

/// The block node of a disk; the first disk has number 0.
fn node(number: usize) -> String {
    if number == 0 { "disk".into() } else { format!("disk{number}") }
}

/// The name of the first disk on SAS, because Linux's driver skips a disk without a name: locally assigned (NAA 3h;
/// SCSI Primary Commands 4, 7.8.6.6.3).
const WORLD_WIDE_NAME: u64 = 0x3000_0000_0000_0001;

/// A disk's controller and the disk on it. Each disk has its own controller, except on q35's AHCI.
fn device(argv: &mut Argv, interface: Interface, number: usize) {
    let (node, own) = (node(number), if number == 0 { String::new() } else { number.to_string() });
    let drive = format!("drive={node}");
    let place = format!("bootindex={number}");
    match interface {
        Interface::Virtio => argv.add("-device", format!("virtio-blk-pci,{drive},{place}")),
        // q35's own AHCI controller is the bus `ide.0` to `ide.5`.
        Interface::Ahci => argv.add("-device", format!("ide-hd,{drive},bus=ide.{number},{place}")),
        Interface::Nvme => {
            // On the root bus SeaBIOS 1.16.3 maps the disk's registers above 4 GiB, out of reach of its own driver
            // ("Can not map memory bar over 4Gig"). A bridge has a 32-bit window for them (PCI-to-PCI Bridge 1.2,
            // 3.2.5.8).
            argv.add("-device", format!("pcie-root-port,id=nvme-port{own},chassis={}", number + 1));
            argv.add("-device", format!("nvme,bus=nvme-port{own},{drive},serial=rave{own},{place}"));
        }
        Interface::Scsi => {
            argv.add("-device", format!("mptsas1068,id=scsi{own}"));
            let name = WORLD_WIDE_NAME + number as u64;
            argv.add("-device", format!("scsi-hd,{drive},bus=scsi{own}.0,wwn={name:#x},{place}"));
        }
        Interface::Pvscsi => {
            argv.add("-device", format!("pvscsi,id=scsi{own}"));
            argv.add("-device", format!("scsi-hd,{drive},bus=scsi{own}.0,{place}"));
        }
        Interface::Cd => argv.add("-device", format!("ide-cd,{drive},bus=ide.{number},{place}")),
        Interface::UsbStick => {
            argv.add("-device", format!("qemu-xhci,id=usb{own}"));
            argv.add("-device", format!("usb-storage,{drive},bus=usb{own}.0,removable=on,{place}"));
        }
    }
}

fn kernel(argv: &mut Argv, machine: &Machine) {
    let Some(kernel) = &machine.kernel else { return };
    argv.add("-kernel", kernel.image.as_str());
    if let Some(initrd) = &kernel.initrd {
        argv.add("-initrd", initrd.as_str());
    }
    argv.add("-append", kernel.command_line.as_str());
}

fn network(argv: &mut Argv, machine: &Machine) {
    let Some(nic) = machine.network else { return };
    let socket = path(&machine.files.network_socket);
    argv.add("-netdev", format!("stream,id=net,server=on,addr.type=unix,addr.path={socket}"));
    // No option ROM: the machine never boots from the network, and loading iPXE takes time.
    argv.add("-device", format!("{},netdev=net,romfile=", nic.device()));
}

fn consoles(argv: &mut Argv, machine: &Machine) {
    let files = &machine.files;
    argv.add("-chardev", format!("file,id=serial,append=on,path={}", path(&files.serial_log)));
    argv.add("-serial", "chardev:serial");
    argv.add("-device", "virtio-serial-pci");
    argv.add("-chardev", format!("file,id=ready,append=on,path={}", path(&files.ready_log)));
    argv.add("-device", format!("virtserialport,id={READY_DEVICE},chardev=ready,name={PORT_NAME}"));
    argv.add("-chardev", format!("socket,id=qmp,server=on,wait=off,path={}", path(&files.qmp_socket)));
    argv.add("-mon", "chardev=qmp,mode=control");
    if machine.channel {
        let socket = path(&files.channel_socket);
        argv.add("-chardev", format!("socket,id=channel,server=on,wait=off,path={socket}"));
        argv.add("-device", format!("virtserialport,chardev=channel,name={CHANNEL_NAME}"));
    }
    if machine.guest_agent {
        let socket = path(&files.agent_socket);
        argv.add("-chardev", format!("socket,id=guest-agent,server=on,wait=off,path={socket}"));
        // The name that qemu-ga(8) looks for.
        argv.add("-device", "virtserialport,chardev=guest-agent,name=org.qemu.guest_agent.0");
    }
}

/// systemd gets credentials from a hypervisor in SMBIOS OEM strings (type 11), systemd.system-credentials(7). As files
/// they stay off the command line, and unlike `fw_cfg` (55 bytes) they do not limit the length of a credential's name.
fn credentials(argv: &mut Argv, machine: &Machine) {
    for index in 0..machine.credentials.len() {
        argv.add("-smbios", format!("type=11,path={}", path(&machine.files.credential(index))));
    }
}

/// The initial size of the desktop's screen; a display that resizes it with its window may change it.
const RESOLUTION: &str = "xres=1280,yres=800";

/// The video device exists without a display too, for [`crate::Instance::screenshot`]. virtio-vga starts as a VGA,
/// which both firmwares and boot loaders draw on, and continues as virtio-gpu, whose driver is part of Linux, works
/// with Xorg's modesetting and resizes the screen when a window asks for it. `bochs-display` has no text mode for
/// `SeaBIOS`, `VGA` keeps one size, and qxl is no longer developed.
fn display(argv: &mut Argv, machine: &Machine) {
    argv.add("-device", format!("virtio-vga,edid=on,{RESOLUTION}"));
    match &machine.display {
        Display::Headless => {
            argv.add("-display", "none");
            return;
        }
        // Otherwise a guest that starts would be given the size of a window without a picture, 640x480, as its screen
        // size. This way the window takes the guest's size first, and the guest follows when a user resizes the window.
        Display::Gtk => argv.add("-display", "gtk,zoom-to-fit=off"),
        Display::Sdl => argv.add("-display", "sdl"),
        Display::Vnc(DisplayServer { bind, port, .. }) => {
            argv.add("-display", "none");
            let number = port.saturating_sub(VNC_BASE);
            argv.add("-vnc", format!("{bind}:{number},password-secret={PASSWORD}"));
        }
        Display::Spice(DisplayServer { bind, port, .. }) => {
            argv.add("-display", "none");
            // Otherwise the guest's agent, which SPICE also needs for resizing, gets access to the user's clipboard and
            // files.
            let closed = if machine.clipboard { "" } else { ",disable-copy-paste=on" };
            let closed = format!("{closed},disable-agent-file-xfer=on");
            argv.add("-spice", format!("addr={bind},port={port},password-secret={PASSWORD}{closed}"));
        }
    }
    if let Display::Vnc(_) | Display::Spice(_) = machine.display {
        let file = path(&machine.files.display_password());
        argv.add("-object", format!("secret,id={PASSWORD},file={file}"));
    }
    argv.add("-device", "virtio-keyboard-pci");
    // A tablet reports absolute positions: the window does not grab the pointer, and the pointer does not drift.
    argv.add("-device", "virtio-tablet-pci");
    clipboard(argv, machine);
}

/// The id of the object that holds a display's password.
const PASSWORD: &str = "display-password";

/// The port on which the guest's `spice-vdagent` looks for its peer, by SPICE's agent protocol. Over SPICE the peer is
/// the client, otherwise QEMU itself.
fn clipboard(argv: &mut Argv, machine: &Machine) {
    let agent = match machine.display {
        Display::Spice(_) => "spicevmc,id=agent,name=vdagent",
        Display::Gtk | Display::Vnc(_) if machine.clipboard => {
            "qemu-vdagent,id=agent,name=vdagent,clipboard=on"
        }
        _ => return,
    };
    argv.add("-chardev", agent);
    argv.add("-device", "virtserialport,chardev=agent,name=com.redhat.spice.0");
}

#[cfg(test)]
mod tests;
