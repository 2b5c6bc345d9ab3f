//! The complete build, from the specification to artifacts with a manifest.

mod artifacts;
mod baseline;
mod export;
mod guest;
mod request;

use std::fs;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::assets::GuestFile;
use rave_guest::config::GuestConfig;
use rave_process::progress::{Event, Sink};
use rave_process::{FileLock, Holder};
use rave_spec::{Base, Format};

use crate::artifact;
use crate::bases::debian::{self, Rootfs};
use crate::certificates::Certificates;
use crate::digest::Digest;
use crate::disk::{self, DiskInputs, RawDisk, boot_loader};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::guest_program;
use crate::manifest::{Artifact, BuildInput, DebianOrigin, LockUse, Manifest, Origin, SCHEMA};
use crate::npm_tools::{self, NpmTools};
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;
use crate::tempdir;
use crate::tool_versions;
use crate::tree::accounts::Account;
use crate::tree::overlay::Overlay;
use crate::tree::root_tar::RootTar;

pub use artifacts::compressed;
pub use baseline::{Baseline, baseline_disk};
pub(crate) use export::{absolute, export, export_parallel};
pub use guest::appliance;
pub(crate) use guest::config;
pub use request::{BuildOptions, BuildRequest, ChangedArtifact};

/// The result of a build.
#[derive(Debug, Clone)]
pub struct BuildResult {
    /// The manifest that is now in the folder.
    pub manifest: Manifest,
    /// False if all requested artifacts already existed, built from the same inputs.
    pub changed: bool,
}

/// All inputs, read and checked, before anything is built.
struct BuildPlan<'a> {
    request: &'a BuildRequest<'a>,
    rootfs: Rootfs,
    source: guest_program::GuestSources,
    account: Account,
    config: GuestConfig,
    overlay: Overlay,
    keys: StageKeys,
}

#[derive(Clone, Copy)]
struct StageKeys {
    rootfs: Digest,
    tools: Digest,
    guest: Digest,
    disk: Digest,
}

impl StageKeys {
    fn of(
        request: &BuildRequest<'_>,
        rootfs: &Rootfs,
        source: &guest_program::GuestSources,
        overlay: &Overlay,
        account: &Account,
    ) -> Self {
        let (rootfs, tools, guest) = (rootfs.key(), npm_tools::key(request.epoch), source.key());
        let disk = disk::key(&rootfs, &tools, &guest, &overlay.digest(), account);
        Self { rootfs, tools, guest, disk }
    }

    fn named(&self) -> Vec<BuildInput> {
        let Self { rootfs, tools, guest, disk } = *self;
        let inputs = [
            (debian::STAGE, rootfs),
            (npm_tools::STAGE, tools),
            (guest_program::STAGE, guest),
            (disk::STAGE, disk),
        ];
        inputs.map(|(name, sha256)| BuildInput { name: name.to_owned(), sha256 }).into()
    }
}

/// The inputs of the disk image, as files on this host.
struct StageOutputs {
    root: RootTar,
    tools: NpmTools,
    program: Utf8PathBuf,
}

/// Builds requested artifacts that are missing.
pub fn build(request: &BuildRequest<'_>, sink: Sink<'_>) -> Result<BuildResult, Error> {
    let plan = BuildPlan::read(request)?;
    plan.check_artifacts(sink)?;
    if let Some(manifest) = plan.finished() {
        return Ok(BuildResult { manifest, changed: false });
    }
    for folder in [request.out_dir, request.cache_dir, request.log_dir] {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let _lock = lock(request.cache_dir, sink)?;
    // The previous holder of the lock may have built the same.
    if let Some(manifest) = plan.finished() {
        return Ok(BuildResult { manifest, changed: false });
    }
    tempdir::sweep(request.cache_dir)?;
    let store = StageCache::open(request.cache_dir)?;
    let stages = StageRunner::new(store, request.cache_dir, request.log_dir, request.options.refresh, sink);
    let (inputs, plan) = plan.inputs(&stages)?;
    // Only now the packages may be known, and that the same image was built from them before.
    if let Some(manifest) = plan.finished() {
        return Ok(BuildResult { manifest, changed: false });
    }
    let disk = plan.disk(&stages, &inputs)?;
    let (packages, archives) = (inputs.root.packages, inputs.root.archives);
    let artifacts = plan.artifacts(&stages, &disk)?;
    let manifest = plan.manifest(artifacts, packages, archives, disk.content)?;
    manifest.write(request.out_dir)?;
    Ok(BuildResult { manifest, changed: true })
}

/// Whether all requested artifacts exist and were built from the current inputs. Builds nothing.
pub fn is_current(request: &BuildRequest<'_>) -> Result<bool, Error> {
    Ok(BuildPlan::read(request)?.finished().is_some())
}

/// The digests of what would be built. Builds nothing.
pub fn inputs(request: &BuildRequest<'_>) -> Result<Vec<BuildInput>, Error> {
    Ok(BuildPlan::read(request)?.keys.named())
}

/// Locks the cache for one build at a time; a second one waits and reports for which.
pub(crate) fn lock(cache_dir: &Utf8Path, sink: Sink<'_>) -> Result<FileLock, Error> {
    let path = cache_dir.join("build.lock");
    let mut on_wait = |holder: &Holder| {
        let text = format!("waiting for another build (process {}: {})", holder.pid, holder.command);
        sink(Event::Note { text: &text });
    };
    FileLock::acquire(&path, &mut on_wait).stage("lock")
}

impl<'a> BuildPlan<'a> {
    fn read(request: &'a BuildRequest<'a>) -> Result<Self, Error> {
        if request.base != Base::Debian {
            return Err(Error::NotOnBase { base: request.base });
        }
        let profile = request
            .spec
            .profile(request.profile)
            .map_err(|unknown| Error::Input { what: "profile".into(), detail: unknown.to_string() })?;
        let spec = request.spec;
        let certificates = Certificates::read(request.root, &spec.guest.certificates)?;
        let rootfs = Rootfs::new(spec, profile, request.epoch)
            .trusting(certificates.clone())
            .with_known_packages(&request.resolve_options());
        let source = guest_program::GuestSources::read(request.root)?;
        let account = guest::account(spec, profile, request.epoch);
        let config = guest::config(spec, profile);
        let overlay = guest::overlay(request, &config, &certificates)?;
        let keys = StageKeys::of(request, &rootfs, &source, &overlay, &account);
        Ok(Self { request, rootfs, source, account, config, overlay, keys })
    }

    /// The manifest, if every requested artifact is in the folder, built from these inputs and unchanged.
    fn finished(&self) -> Option<Manifest> {
        if self.request.options.refresh {
            return None;
        }
        let manifest = Manifest::read(self.request.out_dir).ok()?;
        let present = |format: &Format| self.present(&manifest, *format).is_some();
        self.request.options.formats.iter().all(present).then_some(manifest)
    }

    /// Handles artifacts of exactly these inputs that do not match the manifest.
    fn check_artifacts(&self, sink: Sink<'_>) -> Result<(), Error> {
        let Ok(manifest) = Manifest::read(self.request.out_dir) else { return Ok(()) };
        let current = |artifact: &&Artifact| {
            self.request.options.formats.contains(&artifact.format) && self.is_of_these_inputs(artifact)
        };
        for artifact in manifest.artifacts.iter().filter(current) {
            match (artifact::verify(self.request.out_dir, artifact), self.request.options.changed_artifact) {
                (Err(error @ Error::ArtifactDiffers { .. }), ChangedArtifact::Refuse) => return Err(error),
                (Err(error @ Error::ArtifactDiffers { .. }), ChangedArtifact::Replace) => {
                    sink(Event::Warning { text: &format!("{error}; it is recreated") });
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

    /// Fetches and builds the inputs of the disk. The packages, and therefore the keys, may only be known afterwards.
    fn inputs(self, stages: &StageRunner<'_>) -> Result<(StageOutputs, Self), Error> {
        // The inputs are independent of each other. The first takes longest and leaves a processor idle; the other two
        // use it in turn, because a third one in parallel would slow the first down.
        let (root, rest) = thread::scope(|scope| {
            let rest = scope.spawn(|| {
                let (epoch, network) = (self.request.epoch, self.request.options.network);
                let tools = npm_tools::build(stages, &self.config, epoch, network)?;
                Ok::<_, Error>((tools, self.source.build(stages, network)?))
            });
            let root = self.rootfs.clone().build(stages, &self.request.resolve_options());
            (root, join(rest))
        });
        let ((rootfs, root), (tools, program)) = (root?, rest?);
        let keys = StageKeys::of(self.request, &rootfs, &self.source, &self.overlay, &self.account);
        Ok((StageOutputs { root, tools, program }, Self { rootfs, keys, ..self }))
    }

    fn disk(&self, stages: &StageRunner<'_>, inputs: &StageOutputs) -> Result<RawDisk, Error> {
        let mut overlay = self.overlay.clone();
        let content = fs::read(&inputs.program).at("read", &inputs.program)?;
        overlay.add(GuestFile::file(guest_program::PLACE, 0o755, content));
        let inputs = DiskInputs {
            root: &inputs.root,
            tools: &inputs.tools,
            account: &self.account,
            overlay: &overlay,
            kernel_arguments: boot_loader::KERNEL_ARGUMENTS,
            key: self.keys.disk,
            epoch: self.request.epoch,
            most: self.request.spec.vm.disk.bytes(),
        };
        inputs.build(stages, disk::STAGE)
    }

    fn manifest(
        &self,
        artifacts: Vec<Artifact>,
        packages: Vec<crate::tree::root_tar::InstalledPackage>,
        archives: Vec<String>,
        content: Digest,
    ) -> Result<Manifest, Error> {
        Ok(Manifest {
            schema: SCHEMA,
            origin: Origin::Debian(DebianOrigin {
                source_date_epoch: self.request.epoch,
                inputs: self.keys.named(),
                content,
                packages,
                archives,
                debian_lock: self.lock_use(),
            }),
            profile: self.request.profile.to_owned(),
            guest: self.config.clone(),
            artifacts,
            build_tools: tool_versions::build_tools(),
            npm_packages: npm_tools::locked(&self.config)?,
        })
    }

    fn lock_use(&self) -> LockUse {
        let resolution = self.rootfs.resolution();
        LockUse {
            sha256: self.request.lock.digest(),
            outside: resolution.map(|resolution| resolution.outside.clone()).unwrap_or_default(),
            differs: resolution.map(|resolution| resolution.differs.clone()).unwrap_or_default(),
        }
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
