//! What the engines are asked for, filled from the settings in one place.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::bases::debian::lock::Lock;
use rave_image::{Manifest, Request};
use rave_spec::{Compress, Format};
use rave_vm::machine::{Display, Firmware, Overlay, Part};
use rave_vm::ports::Want;
use rave_vm::sandbox::{Hardware, Plan, ServicePort};

use crate::cmd::image::{Wanted, epoch, failure};
use crate::settings::Settings;

/// The folders of a build.
pub struct Places {
    out: Utf8PathBuf,
    cache: Utf8PathBuf,
    logs: Utf8PathBuf,
}

impl Places {
    /// The user's.
    pub fn of(settings: &Settings) -> Self {
        Self {
            out: settings.out_dir.clone(),
            cache: settings.cache_dir.clone(),
            logs: settings.state_dir.join("logs"),
        }
    }

    /// The user's, with the artifacts elsewhere.
    pub fn with_out(settings: &Settings, out: Utf8PathBuf) -> Self {
        Self { out, ..Self::of(settings) }
    }

    /// All in `folder`, with the artifacts in its folder `out`.
    pub fn below(folder: &Utf8Path, out: &str) -> Self {
        Self { out: folder.join(out), cache: folder.join("cache"), logs: folder.join("logs") }
    }
}

/// What to build, and where.
pub fn image<'a>(
    settings: &'a Settings,
    wanted: &Wanted<'a>,
    places: &'a Places,
    lock: &'a Lock,
) -> anyhow::Result<Request<'a>> {
    Ok(Request {
        root: &settings.root,
        spec: &settings.spec.spec,
        profile: settings.profile.as_str(),
        base: settings.base,
        formats: wanted.formats,
        compress: wanted.compress.map_or(settings.spec.spec.compress, Compress::all),
        any_compression: wanted.any_compression,
        out_dir: &places.out,
        cache_dir: &places.cache,
        log_dir: &places.logs,
        refresh: wanted.refresh,
        changed_artifact: wanted.changed_artifact,
        epoch: epoch(settings, || Ok(lock.date()))?,
        lock,
        packages: wanted.packages,
        network: wanted.network,
    })
}

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
    fn part(&self) -> anyhow::Result<Part> {
        match self.format {
            Format::Virtualbox => {
                let disk =
                    rave_image::formats::ova::locate_disk(self.path).map_err(|error| failure(&error))?;
                Ok(Part::Bytes { offset: disk.offset, size: disk.size })
            }
            Format::Qemu | Format::Vmware | Format::Raw | Format::Iso => Ok(Part::Whole),
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
) -> anyhow::Result<Plan<'a>> {
    let vm = settings.spec.spec.vm;
    Ok(Plan {
        run_root,
        label: settings.profile.as_str(),
        artifact: found.path,
        part: found.part()?,
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
pub fn services(settings: &Settings, manifest: &Manifest, host: impl Fn(u16) -> Want) -> Vec<ServicePort> {
    let service = |(name, service): (rave_spec::ServiceName, rave_spec::Service)| ServicePort {
        name: name.to_string(),
        guest: manifest.guest.services.port(name.as_str()),
        host: host(service.host.get()),
    };
    settings.spec.spec.services.iter().map(service).collect()
}
