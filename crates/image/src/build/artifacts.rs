//! Artifacts: which exist, how they are compressed, and how missing ones are made.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rave_spec::{Compress, Compression, Format};

use super::{BuildPlan, BuildRequest, absolute, export, export_parallel};
use crate::artifact;
use crate::digest::Digest;
use crate::disk::RawDisk;
use crate::error::{Error, IoContext as _};
use crate::formats::{self, ExportSpec, Exporter, SourceDisk, longest_first};
use crate::manifest::{Artifact, ArtifactFile, Manifest};
use crate::preflight;
use crate::stage_runner::StageRunner;

/// The compression of a manifest's artifacts, if they are what `request` would build; otherwise none.
pub fn compressed(request: &BuildRequest<'_>, manifest: &Manifest) -> Result<Option<Compress>, Error> {
    let plan = BuildPlan::read(request)?;
    let key = |format, compress| formats::key(format, &ExportSpec { compress, ..plan.export_spec() });
    let fits = |compress: &Compress| {
        manifest.artifacts.iter().all(|artifact| artifact.key == key(artifact.format, *compress))
    };
    Ok(compressions().find(fits))
}

impl BuildPlan<'_> {
    /// An artifact that was not requested may stay regardless of its compression.
    pub(super) fn is_of_these_inputs(&self, artifact: &Artifact) -> bool {
        let format = artifact.format;
        let export = self.export_spec();
        if artifact.key == formats::key(format, &export) {
            return true;
        }
        let any = self.request.options.any_compression || !self.request.options.formats.contains(&format);
        any && compressions()
            .any(|compress| artifact.key == formats::key(format, &ExportSpec { compress, ..export.clone() }))
    }

    fn artifact_key(&self, format: Format) -> Digest {
        formats::key(format, &self.export_spec())
    }

    /// The inputs of artifacts, apart from the disk's content.
    pub(super) fn export_spec(&self) -> ExportSpec {
        let BuildRequest { spec, base, profile, epoch, compress, .. } = self.request;
        let stem = formats::stem(*base, profile);
        ExportSpec {
            appliance: super::appliance(
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

    /// Makes requested artifacts that are missing, as many in parallel as there are processors.
    pub(super) fn artifacts(&self, stages: &StageRunner<'_>, disk: &RawDisk) -> Result<Vec<Artifact>, Error> {
        let before = Manifest::read(self.request.out_dir).ok();
        let mut artifacts = Vec::new();
        let mut wanted = Vec::new();
        for format in Format::ALL.iter().copied() {
            let asked = self.request.options.formats.contains(&format);
            let present = before.as_ref().and_then(|manifest| self.present(manifest, format));
            match present {
                Some(artifact) if !(asked && self.request.options.refresh) => {
                    artifacts.push(artifact.clone());
                }
                _ if asked => wanted.push(format),
                _ => self.remove_stale(format)?,
            }
        }
        if !wanted.is_empty() {
            let export = self.export_spec();
            let allocated = fs::metadata(&disk.path).at("read", &disk.path)?.blocks() * 512;
            let plan = |format: &Format| formats::planned(*format, &export, disk.size, allocated);
            let files: Vec<_> = wanted.iter().flat_map(plan).collect();
            preflight::require(self.request.out_dir, &files)?;
            let source = SourceDisk { path: absolute(&disk.path)? };
            let exporter = Exporter::new(stages, source, export, Some(disk));
            artifacts
                .extend(export_parallel(longest_first(wanted), |format| self.artifact(&exporter, format))?);
        }
        artifacts.sort_by_key(|artifact| artifact.format);
        Ok(artifacts)
    }

    /// Removes files of other inputs, which the new manifest does not name.
    fn remove_stale(&self, format: Format) -> Result<(), Error> {
        self.remove_all_but(format, &[])
    }

    fn remove_all_but(&self, format: Format, kept: &[ArtifactFile]) -> Result<(), Error> {
        let stem = formats::stem(self.request.base, self.request.profile);
        // All files that the format may consist of.
        let mut names = formats::file_names(&stem, format, Compress::all(Compression::Zstd));
        names.retain(|name| kept.iter().all(|file| file.name != *name));
        names.iter().try_for_each(|name| artifact::remove(&self.request.out_dir.join(name)))
    }

    fn artifact(&self, exporter: &Exporter<'_>, format: Format) -> Result<Artifact, Error> {
        let files = export(exporter, format, self.request.out_dir)?;
        for file in &files {
            artifact::remember(&self.request.out_dir.join(&file.name), file.sha256)?;
        }
        self.remove_all_but(format, &files)?;
        let files = files.try_into().expect("each format has plain names");
        Ok(Artifact { format, files, key: self.artifact_key(format) })
    }
}

/// Every way to compress artifacts.
fn compressions() -> impl Iterator<Item = Compress> {
    let raw = [Compression::None, Compression::Zstd];
    Compression::ALL.iter().flat_map(move |qemu| raw.map(|raw| Compress { qemu: *qemu, raw }))
}
