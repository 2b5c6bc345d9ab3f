//! The machine of an artifact, from the settings.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::manifest::{Artifact, ArtifactFile};
use rave_image::{Manifest, artifact, foreign};
use rave_net::{Mode, Policy};
use rave_spec::{Format, Service, ServiceName};
use rave_vm::machine::{DiskExtent, Display, Firmware, Overlay};
use rave_vm::ports::{PortPolicy, PortRequest};
use rave_vm::sandbox::{Hardware, LaunchConfig};

use crate::guest_proxy;
use crate::settings::Settings;

/// An artifact that was found, and the image that it belongs to.
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
    /// The extent of the disk in its file: an OVA is booted without unpacking it.
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

/// The artifact of a format and its bootable file, as described by the manifest. All commands that boot must use this:
/// a manifest may be untrusted, and an image that refers to other files would bring this host's files into the guest.
pub fn artifact<'a>(
    out_dir: &Utf8Path,
    manifest: &'a Manifest,
    format: Format,
) -> Result<(&'a Artifact, Utf8PathBuf), rave_image::Error> {
    let artifact = manifest.artifact(out_dir, format)?;
    Ok((artifact, boot_file(out_dir, artifact)?))
}

fn boot_file(out_dir: &Utf8Path, artifact: &Artifact) -> Result<Utf8PathBuf, rave_image::Error> {
    let here = |file: &ArtifactFile| Some(out_dir.join(&file.name)).filter(|path| path.exists());
    artifact.files.iter().filter_map(here).try_for_each(|path| foreign::is_regular(&path))?;
    if let Some(path) = here(artifact.boot_file()) {
        foreign::is_self_contained(&path, artifact.format)?;
    }
    artifact::verify(out_dir, artifact)
}

/// A machine of an artifact as described by rave.toml: it discards the guest's writes, boots with BIOS and shows no
/// screen. Commands override this with struct update syntax.
pub fn machine<'a>(
    settings: &'a Settings,
    run_root: &'a Utf8Path,
    found: Found<'a>,
    services: &'a [PortRequest],
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
        policy: reach(found.manifest),
        services,
        user: &found.manifest.guest.user,
    })
}

/// What the guest of `run` and `smoke` may reach: the internet, and its own proxy wherever it is.
fn reach(manifest: &Manifest) -> Policy {
    Policy { mode: Mode::Open, allow: guest_proxy::rules(&manifest.guest.environment), ..Policy::default() }
}

/// The forward of each service, with the host port that `policy` chooses given that of rave.toml. The guest's ports
/// come from the image: rave.toml may have changed since it was built.
pub fn services(
    settings: &Settings,
    manifest: &Manifest,
    policy: impl Fn(ServiceName, u16) -> PortPolicy,
) -> Vec<PortRequest> {
    let guest = manifest.guest.services;
    let request = |(name, service): (ServiceName, Service)| {
        let guest = match name {
            ServiceName::Kanban => guest.kanban,
            ServiceName::Router => guest.router,
            ServiceName::Gateway => guest.gateway,
            ServiceName::Ssh => guest.ssh,
        };
        PortRequest::new(name.as_str(), guest, policy(name, service.host.get()))
    };
    settings.spec.spec.services.iter().map(request).collect()
}
