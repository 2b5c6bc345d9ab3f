//! The complete build of this base: `nix build`, its results in the output folder, the manifest.

use std::fs;
use std::time::Instant;

use camino::Utf8Path;
use rave_process::progress::{Event as Shown, Sink, StageOutcome};
use rave_process::{Cmd, Stream};
use rave_spec::{Format, Nixos, Spec};

use super::argv;
use super::build_failure::FailureCollector;
use super::error::{Checkout, Error as NixError};
use super::events::{ActivityKind, NixEvent, Reader};
use super::gc_roots::GcRoots;
use super::installation::Nix;
use super::progress::Progress;
use super::responses::{self, BuiltOutput, Flake};
use super::transcript::Transcript;
use super::{output_links, packages, progress};
use crate::artifact;
use crate::build::{BuildResult, ChangedArtifact, config, lock};
use crate::closure::registration::Registration;
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::manifest::{self, Artifact, BuildTool, Manifest, NixOutput, NixPackage, Origin, SCHEMA};
use crate::npm_tools;

/// The stage that places the results in the output folder.
const PLACE: &str = "artifacts";

/// What to build.
#[derive(Debug, Clone)]
pub struct FlakeBuild<'a> {
    /// The checkout, with its flake.
    pub root: &'a Utf8Path,
    /// The settings that the flake sees: only rave.toml and profiles/.
    pub spec: &'a Spec,
    /// The profile's name.
    pub profile: &'a str,
    /// The formats, at least one.
    pub formats: &'a [Format],
    /// Where the artifacts and the manifest go.
    pub out_dir: &'a Utf8Path,
    /// The folder of the lock that serialises builds.
    pub cache_dir: &'a Utf8Path,
    /// Where garbage collector roots are.
    pub state_dir: &'a Utf8Path,
    /// Where the log goes.
    pub log_dir: &'a Utf8Path,
    /// Place and hash every artifact again.
    pub refresh: bool,
    /// What to do with an artifact that was changed since it was built.
    pub changed_artifact: ChangedArtifact,
    /// What is passed on to nix.
    pub options: &'a Nixos,
}

/// Whether the outputs are in a store of the tests.
fn is_payload(built: &[BuiltOutput]) -> bool {
    let stores = built.iter().filter_map(|output| Utf8Path::new(&output.out_path).parent()?.parent());
    stores.map(|folder| folder.join(manifest::PAYLOAD_MARK)).any(|mark| mark.symlink_metadata().is_ok())
}

/// Builds requested artifacts that are missing.
pub fn build(order: &FlakeBuild<'_>, sink: Sink<'_>) -> Result<BuildResult, Error> {
    let nix = Nix::find()?;
    for folder in [order.out_dir, order.cache_dir, order.state_dir, order.log_dir] {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let _lock = lock(order.cache_dir, sink)?;
    let roots = GcRoots::open(order.state_dir, order.out_dir)?;
    let argv = argv::build(order.formats, order.profile, order.options, &roots.pending());
    let mut built = order.nix(&argv, order.formats.len() + 1, sink)?;
    let closure = built.remove(order.formats.len());
    let before = Manifest::read(order.out_dir).ok();
    let kept = order.kept(before.as_ref(), &built, sink)?;
    for (format, built) in order.formats.iter().zip(&built) {
        roots.keep(*format, built)?;
    }
    if let (Some(manifest), true) = (&before, kept.iter().all(Option::is_some)) {
        roots.tidy()?;
        return Ok(BuildResult { manifest: manifest.clone(), changed: false });
    }
    let packages = packages_of(&closure)?;
    let manifest = order.manifest(&nix, (&built, packages), kept, before.as_ref(), &roots, sink)?;
    manifest.write(order.out_dir)?;
    roots.tidy()?;
    Ok(BuildResult { manifest, changed: true })
}

/// The packages in the guest.
fn packages_of(closure: &BuiltOutput) -> Result<Vec<NixPackage>, Error> {
    // closureInfo's file (nixpkgs, pkgs/build-support/closure-info.nix).
    let registration = Utf8Path::new(&closure.out_path).join("registration");
    Ok(packages::of(&Registration::read(&registration)?))
}

/// Builds the disk and the formats, and each of them a second time. A difference is an error of nix, which names it.
pub fn check_reproducible(order: &FlakeBuild<'_>, sink: Sink<'_>) -> Result<(), Error> {
    let _lock = lock(order.cache_dir, sink)?;
    let roots = GcRoots::open(order.state_dir, order.out_dir)?;
    for rebuild in [false, true] {
        let options = Nixos { rebuild, ..order.options.clone() };
        let argv = argv::with_disk(order.formats, order.profile, &options, &roots.pending());
        order.nix(&argv, order.formats.len() + 2, sink)?;
    }
    roots.tidy()
}

/// Whether all requested artifacts exist and were built from the flake as it is now. Builds nothing.
pub fn is_current(order: &FlakeBuild<'_>, sink: Sink<'_>) -> Result<bool, Error> {
    let Ok(manifest) = Manifest::read(order.out_dir) else { return Ok(false) };
    if order.formats.iter().any(|format| present(&manifest, order.out_dir, *format).is_none()) {
        return Ok(false);
    }
    Nix::find()?;
    fs::create_dir_all(order.log_dir).at("create", order.log_dir)?;
    let argv = argv::evaluate(order.formats, order.profile, order.options);
    let wanted = order.nix(&argv, order.formats.len() + 1, sink)?;
    let is_of = |(format, wanted): (&Format, &BuiltOutput)| {
        let artifact = manifest.artifacts.iter().find(|artifact| artifact.format == *format);
        artifact.is_some_and(|artifact| artifact.key == output_links::key(wanted))
    };
    Ok(order.formats.iter().zip(&wanted).all(is_of))
}

/// The artifact of a format, if it matches its manifest.
fn present<'m>(manifest: &'m Manifest, out_dir: &Utf8Path, format: Format) -> Option<&'m Artifact> {
    manifest.origin.nixos()?;
    let artifact = manifest.artifacts.iter().find(|artifact| artifact.format == format)?;
    artifact::is_unchanged(out_dir, artifact).then_some(artifact)
}

impl FlakeBuild<'_> {
    /// Runs nix, shows its progress, and parses its output: the closure comes after the formats.
    fn nix(&self, argv: &[String], count: usize, sink: Sink<'_>) -> Result<Vec<BuiltOutput>, Error> {
        let log = self.log_dir.join("nixos.log");
        let mut transcript = Transcript::create(&log, argv)?;
        let (mut progress, mut failure, mut evaluated) =
            (Progress::new(sink), FailureCollector::default(), false);
        let mut take = |event: NixEvent| {
            evaluated |=
                matches!(event, NixEvent::Started { kind: ActivityKind::Realise | ActivityKind::Builds, .. });
            transcript.take(&event);
            failure.take(&event);
            progress.take(&event);
        };
        let (mut reader, mut answer) = (Reader::default(), String::new());
        let result = Cmd::new(&argv[0]).args(&argv[1..]).current_dir(self.root).run(&mut |line| {
            match line.stream {
                // A single line; a long one arrives in pieces.
                Stream::Stdout => answer.push_str(line.text),
                Stream::Stderr => reader.take(line.text, &mut take),
            }
        });
        reader.finish(&mut take);
        transcript.finish()?;
        match result {
            Ok(_) => {}
            Err(rave_process::Error::Failed { .. }) => {
                let source = self.flake().ok().and_then(|flake| flake.source);
                let here = Checkout { root: self.root, source };
                return Err(NixError::of_run(&failure, evaluated, &here, &log).into());
            }
            Err(error) => return Err(error).stage(progress::BUILD),
        }
        let built = responses::built(&answer, count)?;
        progress.finish();
        Ok(built)
    }

    /// For each format the artifact that exists and is current; handles artifacts that were changed.
    fn kept(
        &self,
        before: Option<&Manifest>,
        built: &[BuiltOutput],
        sink: Sink<'_>,
    ) -> Result<Vec<Option<Artifact>>, Error> {
        let mut kept = Vec::new();
        for (format, built) in self.formats.iter().zip(built) {
            let artifact = before.filter(|manifest| manifest.origin.nixos().is_some());
            let artifact =
                artifact.and_then(|manifest| manifest.artifacts.iter().find(|one| one.format == *format));
            let artifact =
                artifact.filter(|artifact| artifact.key == output_links::key(built) && !self.refresh);
            kept.push(match artifact.map(|artifact| (artifact, artifact::verify(self.out_dir, artifact))) {
                Some((artifact, Ok(_))) => Some(artifact.clone()),
                Some((_, Err(error @ Error::ArtifactDiffers { .. }))) => {
                    if self.changed_artifact == ChangedArtifact::Refuse {
                        return Err(error);
                    }
                    sink(Shown::Warning { text: &format!("{error}; it is recreated") });
                    None
                }
                // It is missing, or a link to a path that is no longer in the store.
                Some((_, Err(_))) | None => None,
            });
        }
        Ok(kept)
    }

    fn manifest(
        &self,
        nix: &Nix,
        (built, packages): (&[BuiltOutput], Vec<NixPackage>),
        kept: Vec<Option<Artifact>>,
        before: Option<&Manifest>,
        roots: &GcRoots,
        sink: Sink<'_>,
    ) -> Result<Manifest, Error> {
        sink(Shown::StageStarted { stage: PLACE });
        let started = Instant::now();
        let flake = self.flake()?;
        let infos = self.path_infos(built)?;
        let mut all = Vec::new();
        for (((format, built), kept), info) in self.formats.iter().zip(built).zip(kept).zip(infos) {
            let artifact = match kept {
                Some(artifact) => artifact,
                None => output_links::place(*format, built, self.out_dir)?,
            };
            let output = NixOutput {
                format: *format,
                drv_path: built.drv_path.clone(),
                out_path: built.out_path.clone(),
                nar_hash: info.nar_hash,
                closure_size: info.closure_size,
            };
            all.push((artifact, output));
        }
        all.extend(self.others(before, &flake, roots)?);
        all.sort_by_key(|(artifact, _)| artifact.format);
        let (artifacts, outputs) = all.into_iter().unzip();
        let profile = self
            .spec
            .profile(self.profile)
            .map_err(|unknown| Error::Input { what: "profile".into(), detail: unknown.to_string() })?;
        let guest = config(self.spec, profile);
        let elapsed = started.elapsed();
        sink(Shown::StageFinished { stage: PLACE, elapsed, outcome: StageOutcome::Built });
        Ok(Manifest {
            schema: SCHEMA,
            origin: Origin::Nixos(manifest::NixosOrigin {
                flake_revision: flake.revision,
                flake_nar_hash: flake.nar_hash,
                nix_version: nix.printed_version.clone(),
                outputs,
                packages,
                payload: is_payload(built),
            }),
            profile: self.profile.to_owned(),
            npm_packages: npm_tools::locked(&guest)?,
            guest,
            artifacts,
            build_tools: vec![BuildTool { name: "nix".into(), version: nix.printed_version.clone() }],
        })
    }

    /// Artifacts of formats that are not requested now: those built from the same flake are kept; others do not belong
    /// in the new manifest.
    fn others(
        &self,
        before: Option<&Manifest>,
        flake: &Flake,
        roots: &GcRoots,
    ) -> Result<Vec<(Artifact, NixOutput)>, Error> {
        let mut stay = Vec::new();
        for format in Format::ALL.iter().copied().filter(|format| !self.formats.contains(format)) {
            let of_same_flake = before.and_then(|manifest| {
                let origin = manifest.origin.nixos()?;
                let output = origin.outputs.iter().find(|output| output.format == format)?;
                let artifact = present(manifest, self.out_dir, format)?;
                let same = origin.flake_nar_hash == flake.nar_hash && !flake.nar_hash.is_empty();
                same.then(|| (artifact.clone(), output.clone()))
            });
            if let Some(pair) = of_same_flake {
                stay.push(pair);
            } else {
                output_links::remove_all(format, self.out_dir)?;
                roots.drop(format)?;
            }
        }
        Ok(stay)
    }

    fn flake(&self) -> Result<Flake, Error> {
        let text = self.ask(&argv::metadata(self.options))?;
        Ok(responses::flake(&text)?)
    }

    fn path_infos(&self, built: &[BuiltOutput]) -> Result<Vec<responses::PathInfo>, Error> {
        let paths: Vec<&str> = built.iter().map(|built| built.out_path.as_str()).collect();
        let text = self.ask(&argv::path_info(&paths))?;
        built.iter().map(|built| Ok(responses::path_info(&text, &built.out_path)?)).collect()
    }

    fn ask(&self, argv: &[String]) -> Result<String, Error> {
        Ok(Cmd::new(&argv[0]).args(&argv[1..]).current_dir(self.root).output().stage("nix")?.text())
    }
}
