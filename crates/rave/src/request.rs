//! The machine of an artifact as the settings want it.

use camino::Utf8Path;
use rave_image::Manifest;
use rave_spec::Format;
use rave_vm::machine::{DiskExtent, Display, Firmware, Overlay};
use rave_vm::ports::PortPolicy;
use rave_vm::sandbox::{Hardware, LaunchConfig, ServicePort};

use crate::settings::Settings;

/// An artifact that was found, and the image that it is of.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// The file.
    pub path: &'a Utf8Path,
    /// Its format.
    pub format: Format,
}

impl Found<'_> {
    /// Where in its file the disk lies: an OVA is booted as it is, not unpacked.
    fn extent(&self) -> anyhow::Result<DiskExtent> {
        match self.format {
            Format::Virtualbox => {
                let disk = rave_image::formats::ova::locate_disk(self.path)?;
                Ok(DiskExtent::Bytes { offset: disk.offset, size: disk.size })
            }
            Format::Qemu | Format::Vmware | Format::Raw | Format::Iso => Ok(DiskExtent::Whole),
        }
    }
}

/// A machine of an artifact as rave.toml wants it: it forgets what the guest writes, starts by BIOS and shows nothing.
/// A command that wants it otherwise says so by struct update.
pub fn machine<'a>(
    settings: &'a Settings,
    run_root: &'a Utf8Path,
    found: Found<'a>,
    services: &'a [ServicePort],
) -> anyhow::Result<LaunchConfig<'a>> {
    let vm = settings.spec.spec.vm;
    Ok(LaunchConfig {
        run_root,
        label: settings.profile.as_str(),
        artifact: found.path,
        extent: found.extent()?,
        hardware: Hardware::of(found.format),
        overlay: Overlay::Throwaway,
        disk_mib: vm.disk.get(),
        memory_mib: vm.memory.get(),
        cpus: vm.cpus,
        firmware: Firmware::Bios,
        display: Display::Headless,
        services,
        user: &found.manifest.guest.user,
    })
}

/// Each service on the port that `host` chooses, knowing rave.toml's. The ports in the guest are the image's own, also
/// where rave.toml has others by now.
pub fn services(
    settings: &Settings,
    manifest: &Manifest,
    host: impl Fn(u16) -> PortPolicy,
) -> Vec<ServicePort> {
    let service = |(name, service): (rave_spec::ServiceName, rave_spec::Service)| ServicePort {
        name: name.to_string(),
        guest: manifest.guest.services.port(name.as_str()),
        host: host(service.host.get()),
    };
    settings.spec.spec.services.iter().map(service).collect()
}
