//! The whole way from the specification to artifacts with a manifest.

mod place;
mod plain;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::assets::{self, GuestFile, Paths};
use rave_guest::config::{GuestConfig, Services};
use rave_process::progress::{Event, Sink};
use rave_process::{FileLock, Holder};
use rave_spec::{Base, Compress, Compression, Format, Profile, Spec};

use crate::artifact;
use crate::bases::debian::{self, Rootfs};
use crate::digest::Digest;
use crate::disk::{self, Disk, Recipe, boot_loader};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::formats;
use crate::formats::ovf::vbox::Forward;
use crate::formats::{Appliance, Driver, Source, Workshop};
use crate::guest_program;
use crate::manifest::{Artifact, ArtifactFile, Input, Manifest, SCHEMA};
use crate::room;
use crate::scratch;
use crate::stages::Stages;
use crate::store::Store;
use crate::tools;
use crate::tree::accounts::{Account, hash_password};
use crate::tree::overlay::Overlay;
use crate::versions;

pub(crate) use place::{longest_first, place, side_by_side};
pub use plain::{Plain, plain_disk};

/// `SOURCE_DATE_EPOCH` where the environment sets none: 2026-01-01T00:00:00Z. A fixed day, so that the same
/// inputs give the same bytes on every day.
pub const DEFAULT_EPOCH: u64 = 1_767_225_600;

/// What to build.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The checkout.
    pub root: &'a Utf8Path,
    /// The specification.
    pub spec: &'a Spec,
    /// The profile's name.
    pub profile: &'a str,
    /// The base.
    pub base: Base,
    /// The formats, at least one.
    pub formats: &'a [Format],
    /// How artifacts are compressed that are made now.
    pub compress: Compress,
    /// Whether an artifact that is there counts however it is compressed: to boot it makes no difference.
    pub any_compression: bool,
    /// Where artifacts and manifest go.
    pub out_dir: &'a Utf8Path,
    /// Where finished stages are kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// Build every stage, even where the cache has its result.
    pub refresh: bool,
    /// What to do with an artifact that somebody changed since it was built.
    pub changed_artifact: ChangedArtifact,
    /// `SOURCE_DATE_EPOCH` in seconds.
    pub epoch: u64,
}

/// What to do with an artifact that somebody changed since it was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangedArtifact {
    /// Make it anew, with a warning: `image` was asked for just that.
    Replace,
    /// Stop with both digests: whoever wants to boot it should know.
    Refuse,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Built {
    /// The manifest as it lies in the folder now.
    pub manifest: Manifest,
    /// False when all asked artifacts were there, made from the same inputs.
    pub changed: bool,
}

/// All inputs, read and checked, before anything is built.
struct Plan<'a> {
    request: &'a Request<'a>,
    rootfs: Rootfs,
    source: guest_program::Source,
    account: Account,
    config: GuestConfig,
    overlay: Overlay,
    keys: Keys,
}

#[derive(Clone, Copy)]
struct Keys {
    rootfs: Digest,
    tools: Digest,
    guest: Digest,
    disk: Digest,
}

/// Builds what is asked for and missing.
pub fn build(request: &Request<'_>, sink: Sink<'_>) -> Result<Built, Error> {
    let plan = Plan::read(request)?;
    plan.look_for_changes(sink)?;
    if let Some(manifest) = plan.finished() {
        return Ok(Built { manifest, changed: false });
    }
    for folder in [request.out_dir, request.cache_dir, request.log_dir] {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let _lock = lock(request.cache_dir, sink)?;
    // Whoever held the lock may just have built the same.
    if let Some(manifest) = plan.finished() {
        return Ok(Built { manifest, changed: false });
    }
    scratch::sweep(request.cache_dir)?;
    let store = Store::open(request.cache_dir)?;
    let stages = Stages::new(store, request.cache_dir, request.log_dir, request.refresh, sink);
    let (disk, packages) = plan.disk(&stages)?;
    let artifacts = plan.artifacts(&stages, &disk)?;
    let manifest = plan.manifest(artifacts, packages, disk.content)?;
    manifest.write(request.out_dir)?;
    Ok(Built { manifest, changed: true })
}

/// Whether all asked artifacts are there, made from the present inputs. Builds nothing.
pub fn is_current(request: &Request<'_>) -> Result<bool, Error> {
    Ok(Plan::read(request)?.finished().is_some())
}

/// One build at a time in a cache; a second one waits and says for whom.
pub(crate) fn lock(cache_dir: &Utf8Path, sink: Sink<'_>) -> Result<FileLock, Error> {
    let path = cache_dir.join("build.lock");
    let mut told = |holder: &Holder| {
        let text = format!("waiting for another build (process {}: {})", holder.pid, holder.command);
        sink(Event::Note { text: &text });
    };
    FileLock::acquire(&path, &mut told).stage("lock")
}

impl<'a> Plan<'a> {
    fn read(request: &'a Request<'a>) -> Result<Self, Error> {
        if request.base != Base::Debian {
            return Err(Error::BaseNotAvailable { base: request.base });
        }
        if let Some(format) = request.formats.iter().find(|format| !formats::AVAILABLE.contains(format)) {
            return Err(formats::not_on_base(*format));
        }
        let profile = request
            .spec
            .profile(request.profile)
            .map_err(|unknown| Error::Input { what: "profile".into(), detail: unknown.to_string() })?;
        let spec = request.spec;
        let rootfs = Rootfs::new(spec, profile, request.epoch);
        let source = guest_program::Source::read(request.root)?;
        let account = account(spec, profile, request.epoch);
        let config = guest_config(spec, profile);
        let overlay = overlay(request, &config)?;
        let tools = tools::key(request.epoch);
        let disk = disk::key(&rootfs.key(), &tools, &source.key(), &overlay.digest(), &account);
        let keys = Keys { rootfs: rootfs.key(), tools, guest: source.key(), disk };
        Ok(Self { request, rootfs, source, account, config, overlay, keys })
    }

    /// The manifest, when every asked artifact is in the folder, made from these inputs and unchanged.
    fn finished(&self) -> Option<Manifest> {
        if self.request.refresh {
            return None;
        }
        let manifest = Manifest::read(self.request.out_dir).ok()?;
        let present = |format: &Format| self.present(&manifest, *format).is_some();
        self.request.formats.iter().all(present).then_some(manifest)
    }

    /// Artifacts of these very inputs that are not what the manifest says.
    fn look_for_changes(&self, sink: Sink<'_>) -> Result<(), Error> {
        let Ok(manifest) = Manifest::read(self.request.out_dir) else { return Ok(()) };
        let current = |artifact: &&Artifact| {
            self.request.formats.contains(&artifact.format) && self.is_of_these_inputs(artifact)
        };
        for artifact in manifest.artifacts.iter().filter(current) {
            match (artifact::verify(self.request.out_dir, artifact), self.request.changed_artifact) {
                (Err(error @ Error::ArtifactDiffers { .. }), ChangedArtifact::Refuse) => return Err(error),
                (Err(error @ Error::ArtifactDiffers { .. }), ChangedArtifact::Replace) => {
                    sink(Event::Warning { text: &format!("{error}; it is made anew") });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn present<'m>(&self, manifest: &'m Manifest, format: Format) -> Option<&'m Artifact> {
        let artifact = manifest.artifacts.iter().find(|artifact| artifact.format == format)?;
        (self.is_of_these_inputs(artifact) && artifact::is_unchanged(self.request.out_dir, artifact))
            .then_some(artifact)
    }

    /// One that nobody asked for may stay however it is compressed.
    fn is_of_these_inputs(&self, artifact: &Artifact) -> bool {
        let format = artifact.format;
        let recipe = self.recipe();
        if artifact.key == formats::key(format, &recipe) {
            return true;
        }
        let any = self.request.any_compression || !self.request.formats.contains(&format);
        any && compressions().any(|compress| {
            artifact.key == formats::key(format, &formats::Recipe { compress, ..recipe.clone() })
        })
    }

    fn artifact_key(&self, format: Format) -> Digest {
        formats::key(format, &self.recipe())
    }

    /// What artifacts are made of, apart from the disk's content.
    fn recipe(&self) -> formats::Recipe {
        let Request { spec, base, profile, epoch, compress, .. } = self.request;
        let stem = formats::stem(*base, profile);
        formats::Recipe {
            appliance: appliance(
                spec,
                &stem,
                self.config.features.contains(rave_spec::Feature::Desktop.as_str()),
            ),
            stem,
            size: spec.vm.disk.get() << 20,
            compress: *compress,
            identity: self.keys.disk,
            epoch: *epoch,
        }
    }

    fn disk(&self, stages: &Stages<'_>) -> Result<(Disk, Vec<crate::tree::root_tar::Package>), Error> {
        // The inputs need nothing of each other. The first is the longest and leaves a processor idle; the other two
        // take that one in turn, for a third at once would slow it down.
        let (root, rest) = thread::scope(|scope| {
            let rest = scope.spawn(|| {
                Ok((tools::build(stages, &self.config, self.request.epoch)?, self.source.build(stages)?))
            });
            let root = self.rootfs.build(stages);
            (root, join(rest))
        });
        let (root, (tools, program)) = (root?, rest?);
        let mut overlay = self.overlay.clone();
        let content = fs::read(&program).at("read", &program)?;
        overlay.add(GuestFile::file(guest_program::PLACE, 0o755, content));
        let recipe = Recipe {
            root: &root,
            tools: &tools,
            account: &self.account,
            overlay: &overlay,
            kernel_arguments: boot_loader::KERNEL_ARGUMENTS,
            key: self.keys.disk,
            epoch: self.request.epoch,
            most: self.request.spec.vm.disk.bytes(),
        };
        let disk = recipe.build(stages, disk::STAGE)?;
        Ok((disk, root.packages))
    }

    /// Makes what is asked for and missing, side by side as there are processors.
    fn artifacts(&self, stages: &Stages<'_>, disk: &Disk) -> Result<Vec<Artifact>, Error> {
        let before = Manifest::read(self.request.out_dir).ok();
        let mut artifacts = Vec::new();
        let mut wanted = Vec::new();
        for format in Format::ALL.iter().copied() {
            let asked = self.request.formats.contains(&format);
            let present = before.as_ref().and_then(|manifest| self.present(manifest, format));
            match present {
                Some(artifact) if !(asked && self.request.refresh) => artifacts.push(artifact.clone()),
                _ if asked => wanted.push(format),
                _ => self.remove_stale(format)?,
            }
        }
        if !wanted.is_empty() {
            let recipe = self.recipe();
            let allocated = fs::metadata(&disk.path).at("read", &disk.path)?.blocks() * 512;
            let plan = |format: &Format| formats::planned(*format, &recipe, disk.size, allocated);
            let files: Vec<_> = wanted.iter().flat_map(plan).collect();
            room::require(self.request.out_dir, &files)?;
            let source = Source { path: absolute(&disk.path)?, driver: Driver::Raw };
            let workshop = Workshop::new(stages, source, recipe, Some(disk));
            artifacts.extend(side_by_side(longest_first(wanted), |format| self.artifact(&workshop, format))?);
        }
        artifacts.sort_by_key(|artifact| artifact.format);
        Ok(artifacts)
    }

    /// Files of other inputs that the new manifest would not name.
    fn remove_stale(&self, format: Format) -> Result<(), Error> {
        self.remove_all_but(format, &[])
    }

    fn remove_all_but(&self, format: Format, kept: &[ArtifactFile]) -> Result<(), Error> {
        let stem = formats::stem(self.request.base, self.request.profile);
        // All that the format may consist of.
        let mut names = formats::file_names(&stem, format, Compress::all(Compression::Zstd));
        names.retain(|name| kept.iter().all(|file| file.name != *name));
        names.iter().try_for_each(|name| {
            let path = self.request.out_dir.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("remove", &path, error))
                }
                _ => Ok(()),
            }
        })
    }

    fn artifact(&self, workshop: &Workshop<'_>, format: Format) -> Result<Artifact, Error> {
        let files = place(workshop, format, self.request.out_dir)?;
        for file in &files {
            artifact::remember(&self.request.out_dir.join(&file.name), file.sha256)?;
        }
        self.remove_all_but(format, &files)?;
        let files = files.try_into().expect("each format has plain names");
        Ok(Artifact { format, files, key: self.artifact_key(format) })
    }

    fn manifest(
        &self,
        artifacts: Vec<Artifact>,
        packages: Vec<crate::tree::root_tar::Package>,
        content: Digest,
    ) -> Result<Manifest, Error> {
        let Keys { rootfs, tools, guest, disk } = self.keys;
        let inputs = [
            (debian::STAGE, rootfs),
            (tools::STAGE, tools),
            (guest_program::STAGE, guest),
            (disk::STAGE, disk),
        ];
        Ok(Manifest {
            schema: SCHEMA,
            base: self.request.base,
            profile: self.request.profile.to_owned(),
            source_date_epoch: self.request.epoch,
            inputs: inputs.map(|(name, sha256)| Input { name: name.to_owned(), sha256 }).into(),
            content,
            guest: self.config.clone(),
            artifacts,
            build_tools: versions::build_tools(),
            packages,
            npm_packages: tools::locked(&self.config)?,
        })
    }
}

/// Every way to compress artifacts.
fn compressions() -> impl Iterator<Item = Compress> {
    let raw = [Compression::None, Compression::Zstd];
    Compression::ALL.iter().flat_map(move |qemu| raw.map(|raw| Compress { qemu: *qemu, raw }))
}

pub(crate) fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    camino::absolute_utf8(path).at("look at", path)
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The machine that descriptors describe.
pub fn appliance(spec: &Spec, name: &str, desktop: bool) -> Appliance {
    let forward = |(name, service): (rave_spec::ServiceName, rave_spec::Service)| Forward {
        name: name.to_string(),
        host_address: std::net::Ipv4Addr::LOCALHOST.to_string(),
        host: service.host.get(),
        guest: service.guest.get(),
    };
    Appliance {
        name: name.to_owned(),
        memory_mib: spec.vm.memory.get(),
        cpus: spec.vm.cpus,
        desktop,
        forwards: spec.services.iter().map(forward).collect(),
    }
}

fn account(spec: &Spec, profile: &Profile, epoch: u64) -> Account {
    let user = spec.guest.user.to_string();
    let password_hash = (!profile.hardened).then(|| hash_password(&spec.guest.password, &user));
    Account { user, password_hash, epoch }
}

fn guest_config(spec: &Spec, profile: &Profile) -> GuestConfig {
    let services = spec.services;
    GuestConfig {
        user: spec.guest.user.to_string(),
        home: format!("/home/{}", spec.guest.user),
        host_name: spec.guest.hostname.to_string(),
        hardened: profile.hardened,
        services: Services {
            kanban: services.kanban.guest.get(),
            router: services.router.guest.get(),
            gateway: services.gateway.guest.get(),
            ssh: services.ssh.guest.get(),
        },
        environment: spec.extra.environment.clone(),
        authorized_keys: spec.guest.authorized_keys.clone(),
        tools: format!("/{}", tools::PLACE),
        features: profile.features.iter().map(ToString::to_string).collect(),
        ..GuestConfig::default()
    }
}

/// RAVE's own files and the user's units.
fn overlay(request: &Request<'_>, config: &GuestConfig) -> Result<Overlay, Error> {
    let mut overlay = Overlay::default();
    for file in assets::files(config, &Paths::debian()) {
        overlay.add(file);
    }
    for unit in &request.spec.extra.units {
        let path = request.root.join(unit);
        let content = fs::read_to_string(&path).map_err(|error| Error::Input {
            what: format!("extra.units: {unit}"),
            detail: format!("cannot read {path}: {error}"),
        })?;
        for file in assets::extra_unit(unit.file_name().unwrap_or(unit.as_str()), &content) {
            overlay.add(file);
        }
    }
    Ok(overlay)
}
