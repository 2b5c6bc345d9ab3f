//! What a template is made from.

use camino::Utf8Path;
use rave_spec::Format;

use super::files::Template;
use super::key::Key;
use crate::accel::Engine;
use crate::argv::qemu_argv;
use crate::machine::{Credential, Disk, DiskExtent, Fence, Grants, Link, Machine, Memory, Overlay};
use crate::qemu::Facts;
use crate::sandbox::Hardware;

/// The systemd credential that makes a template's guest stop at its barrier.
const CREDENTIAL: &str = "rave.template";

/// What to boot for a template.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// The image.
    pub image: &'a Utf8Path,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: &'a str,
    /// Its profile.
    pub profile: &'a str,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Size of the disk, MiB.
    pub disk_mib: u64,
}

impl Recipe<'_> {
    /// The key of the template that this host makes from it.
    pub fn key(&self, facts: &Facts, engine: Engine) -> Key {
        let machine = self.machine(&Template::at(Utf8Path::new("/template")), facts);
        let key = Key {
            image: self.sha256.to_owned(),
            profile: self.profile.to_owned(),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            disk_mib: self.disk_mib,
            machine: facts.q35.clone(),
            devices: devices(&machine, engine),
            qemu: facts.build.clone(),
            accelerator: engine.accelerator(),
            cpu: String::new(),
            host: None,
        };
        key.with_host(&facts.build, engine)
    }

    /// The machine to save.
    pub(super) fn machine(&self, template: &Template, facts: &Facts) -> Machine {
        let hardware = Hardware::of(Format::Qemu);
        Machine {
            disk: Some(Disk {
                path: template.base(),
                extent: DiskExtent::Whole,
                format: hardware.format,
                interface: hardware.interface,
            }),
            overlay: Overlay::Keep(template.disk()),
            disk_mib: Some(self.disk_mib),
            memory_mib: self.memory_mib,
            memory: Memory::File(template.memory()),
            kind: Some(facts.q35.clone()),
            cpus: self.cpus,
            network: Some(hardware.nic),
            // QEMU's user network would be part of the saved state, and clones have none.
            link: Link::Stream,
            fence: Fence::Closed(Grants { files: vec![template.devices()] }),
            channel: true,
            credentials: vec![credential()],
            ..Machine::new("rave-template", &template.folder().join("run"))
        }
    }
}

/// The credential that makes a booting guest stop at its barrier.
pub fn credential() -> Credential {
    Credential { name: CREDENTIAL.to_owned(), value: b"1".to_vec() }
}

/// QEMU's arguments for devices; they contain no paths.
pub(super) fn devices(machine: &Machine, engine: Engine) -> Vec<String> {
    let argv = qemu_argv(machine, engine);
    let pairs = argv.iter().zip(argv.iter().skip(1));
    pairs.filter(|(option, _)| *option == "-device").map(|(_, value)| value.clone()).collect()
}
