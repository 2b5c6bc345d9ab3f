//! A RAVE artifact as a machine: its disk, its services' ports, and SSH access.

use std::sync::atomic::{AtomicU32, Ordering};

use camino::Utf8Path;
use rave_net::Policy;
use rave_spec::{Format, ServiceName};

use crate::Error;
use crate::files::make_private_dir;
use crate::instance::{Instance, Ready};
use crate::keys::KeyPair;
use crate::machine::{
    Disk, DiskExtent, DiskFormat, Display, Firmware, Interface, Link, Machine, Nic, Overlay,
};
use crate::ports::{PortRequest, PortTaken, resolve};
use crate::ssh::Ssh;

/// The forward that leads to the guest's SSH server, by the service's name in `rave.toml`.
pub const SSH: &str = ServiceName::Ssh.as_str();

/// What to boot, and how. Every field is the caller's choice.
#[derive(Debug, Clone)]
pub struct LaunchConfig<'a> {
    /// Parent of the run folders; created if it is missing.
    pub run_root: &'a Utf8Path,
    /// The first part of the machine's name.
    pub label: &'a str,
    /// The artifact.
    pub artifact: &'a Utf8Path,
    /// Where in its file the disk is.
    pub extent: DiskExtent,
    /// The disk controller and network card for it.
    pub hardware: Hardware,
    /// Where the guest's writes go.
    pub overlay: Overlay,
    /// Size of the disk, MiB.
    pub disk_mib: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// The firmware it boots with.
    pub firmware: Firmware,
    /// How the user sees the screen.
    pub display: Display,
    /// What the guest may reach.
    pub policy: Policy,
    /// The services that are reachable from the host, including [`SSH`].
    pub services: &'a [PortRequest],
    /// The guest's user.
    pub user: &'a str,
}

/// A machine that is ready to boot, with the key that it will accept.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// The machine; the caller may change it.
    pub machine: Machine,
    /// The key that is passed to the guest.
    pub key: KeyPair,
    /// The requested ports that are taken, for which a free one was found instead.
    pub taken: Vec<PortTaken>,
    user: String,
}

impl LaunchConfig<'_> {
    /// Finds the ports, creates the run folder and the key. The machine's name is unique in `run_root`.
    pub fn prepare(&self) -> Result<Sandbox, Error> {
        let name = unique(self.label);
        let hardware = self.hardware;
        let ports = resolve(self.services)?;
        let run_dir = self.run_root.join(&name);
        make_private_dir(&run_dir)?;
        let key = KeyPair::generate(&run_dir, &name)?;
        // A live session keeps its writes in memory.
        let (overlay, disk_mib) = match hardware.interface {
            Interface::Cd => (Overlay::None, None),
            _ => (self.overlay.clone(), Some(self.disk_mib)),
        };
        let machine = Machine {
            firmware: self.firmware.clone(),
            disk: Some(Disk {
                path: self.artifact.to_owned(),
                extent: self.extent,
                format: hardware.format,
                interface: hardware.interface,
            }),
            overlay,
            disk_mib,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            network: Some(hardware.nic),
            link: Link::Own(self.policy.clone()),
            forwards: ports.forwards,
            display: self.display.clone(),
            credentials: vec![key.credential()],
            ..Machine::new(name, &run_dir)
        };
        Ok(Sandbox { machine, key, taken: ports.taken, user: self.user.to_owned() })
    }
}

impl Sandbox {
    /// SSH access to the guest as its user, with the server's keys pinned as the guest reported them.
    pub fn ssh(&self, instance: &Instance, ready: &Ready) -> Result<Ssh, Error> {
        let machine = instance.machine();
        let bad = |why: &str| Error::BadMachine { name: machine.name.clone(), why: why.to_owned() };
        let forward = machine.forward(SSH).ok_or_else(|| bad("it forwards no port to its ssh server"))?;
        if ready.host_keys.is_empty() {
            return Err(bad("the guest has not announced the keys of its ssh server"));
        }
        let address = (forward.bind, forward.host);
        let Machine { name, files, .. } = machine;
        Ssh::pin(&files.run_dir, name, &self.user, address, &self.key, &ready.host_keys)
    }
}

/// The label with this process's id and a counter.
fn unique(label: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{label}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The hardware that an artifact is booted on: what its target hypervisor provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// The format of the disk.
    pub format: DiskFormat,
    /// The disk's controller.
    pub interface: Interface,
    /// The network card.
    pub nic: Nic,
}

impl Hardware {
    /// The hardware that `run` uses for an artifact of this format; the smoke suite's matrix has more.
    pub fn of(format: Format) -> Self {
        let (format, interface, nic) = match format {
            Format::Qemu => (DiskFormat::Qcow2, Interface::Virtio, Nic::Virtio),
            Format::Raw => (DiskFormat::Raw, Interface::Virtio, Nic::Virtio),
            Format::Virtualbox => (DiskFormat::Vmdk, Interface::Ahci, Nic::E1000),
            Format::Vmware => (DiskFormat::Vmdk, Interface::Pvscsi, Nic::Vmxnet3),
            Format::Iso => (DiskFormat::Raw, Interface::Cd, Nic::Virtio),
        };
        Self { format, interface, nic }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortPolicy;

    fn config<'a>(root: &'a Utf8Path, services: &'a [PortRequest]) -> LaunchConfig<'a> {
        LaunchConfig {
            run_root: root,
            label: "test",
            artifact: Utf8Path::new("/out/rave.qcow2"),
            extent: DiskExtent::Whole,
            hardware: Hardware::of(Format::Qemu),
            overlay: Overlay::Throwaway,
            disk_mib: 100,
            memory_mib: 512,
            cpus: 1,
            firmware: Firmware::Bios,
            display: Display::Headless,
            policy: Policy::default(),
            services,
            user: "agent",
        }
    }

    #[test]
    fn parallel_sandboxes_share_no_folder_port_or_key() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let services = [PortRequest::new(SSH, 22, PortPolicy::Auto)];
        let [one, two] = [(), ()].map(|()| config(root, &services).prepare().unwrap());
        assert_ne!(one.machine.files.run_dir, two.machine.files.run_dir);
        assert_ne!(one.key.public, two.key.public);
        let forward = one.machine.forward(SSH).unwrap();
        assert_eq!((forward.guest, forward.policy), (22, PortPolicy::Auto));
        assert_eq!(one.machine.credentials, [one.key.credential()]);
    }

    #[test]
    fn each_format_gets_the_hardware_of_its_hypervisor() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let hardware = |format| {
            let machine = LaunchConfig { hardware: Hardware::of(format), ..config(root, &[]) }
                .prepare()
                .unwrap()
                .machine;
            let disk = machine.disk.unwrap();
            (disk.format.driver(), disk.interface.as_str(), machine.network.unwrap().as_str())
        };
        assert_eq!(hardware(Format::Qemu), ("qcow2", "virtio-blk", "virtio-net"));
        assert_eq!(hardware(Format::Virtualbox), ("vmdk", "ahci", "e1000"));
        assert_eq!(hardware(Format::Vmware), ("vmdk", "pvscsi", "vmxnet3"));
        assert_eq!(hardware(Format::Iso), ("raw", "sata-cd", "virtio-net"));
    }

    #[test]
    fn an_iso_is_a_cd_for_any_requested_disk() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let sandbox =
            LaunchConfig { hardware: Hardware::of(Format::Iso), ..config(root, &[]) }.prepare().unwrap();
        assert_eq!(sandbox.machine.disk.unwrap().interface, Interface::Cd);
        assert_eq!((sandbox.machine.overlay, sandbox.machine.disk_mib), (Overlay::None, None));
    }
}
