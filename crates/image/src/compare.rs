//! Whether two builds produced the same bytes, and where they differ: which file inside the image first, then which
//! part of the disk, then which part of the artifact around it.

mod bytes;
mod disk;
#[cfg(test)]
mod tests;
mod trees;

use std::fs::File;

use camino::Utf8Path;
use rave_spec::Format;
use serde::Serialize;

use crate::digest::Digest;
use crate::disk::{IMAGE, LISTING, STAGE};
use crate::error::{Error, IoContext as _};
use crate::formats::ova;
use crate::manifest::{ArtifactFile, Manifest};
use crate::stage_cache;
pub use bytes::ByteDifference;
pub use trees::{FileDifference, TreeDifference, ValueDifference};

/// A finished build.
#[derive(Debug, Clone, Copy)]
pub struct FinishedBuild<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Its output folder.
    pub out_dir: &'a Utf8Path,
    /// Its cache of stages.
    pub cache_dir: &'a Utf8Path,
}

/// A file of an artifact in both builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileComparison {
    /// The artifact's format.
    pub format: Format,
    /// The file's name.
    pub name: String,
    /// The digest of the first build's file.
    pub sha256: Digest,
    /// The first byte that differs.
    pub differs: Option<ByteDifference>,
}

/// Why two builds differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildDifference {
    /// Names of stages whose inputs differ: everything derived from them differs too.
    pub inputs: Vec<String>,
    /// Where.
    pub place: DifferenceLocation,
}

/// Where two builds differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "place")]
pub enum DifferenceLocation {
    /// In files inside the image.
    Files(TreeDifference),
    /// In the disk around identical files.
    Disk {
        /// The part of the disk.
        part: String,
        /// Its first byte that differs.
        spot: ByteDifference,
    },
    /// In the container around an identical disk.
    Container {
        /// The file and its part.
        part: String,
        /// Its first byte that differs.
        spot: ByteDifference,
    },
}

/// Compares every file of these formats byte by byte.
pub fn artifacts(
    first: &FinishedBuild<'_>,
    second: &FinishedBuild<'_>,
    formats: &[Format],
) -> Result<Vec<FileComparison>, Error> {
    let mut compared = Vec::new();
    for format in Format::ALL.iter().filter(|format| formats.contains(format)) {
        let ours = first.manifest.artifact(first.out_dir, *format)?;
        // Names follow from base and profile, which are the same.
        for ArtifactFile { name, sha256, .. } in &ours.files {
            let (a, b) = (first.out_dir.join(name), second.out_dir.join(name));
            let differs = bytes::files(&a, &b)?;
            compared.push(FileComparison { format: *format, name: name.clone(), sha256: *sha256, differs });
        }
    }
    Ok(compared)
}

/// Looks for the cause, from the inside out. None if nothing differs.
pub fn explain(
    first: &FinishedBuild<'_>,
    second: &FinishedBuild<'_>,
    compared: &[FileComparison],
) -> Result<Option<BuildDifference>, Error> {
    let inputs = inputs_that_differ(first.manifest, second.manifest);
    let [a, b] = [disk_stage(first)?, disk_stage(second)?];
    let trees = trees::compare(&[a.join(LISTING), b.join(LISTING)], &[a.join(IMAGE), b.join(IMAGE)])?;
    if let Some(trees) = trees {
        return Ok(Some(BuildDifference { inputs, place: DifferenceLocation::Files(trees) }));
    }
    if let Some((part, spot)) = disk::compare(&a.join(IMAGE), &b.join(IMAGE))? {
        return Ok(Some(BuildDifference { inputs, place: DifferenceLocation::Disk { part, spot } }));
    }
    let Some((one, spot)) = compared.iter().find_map(|one| Some((one, one.differs.clone()?))) else {
        return Ok(None);
    };
    let part = part_of_container(&first.out_dir.join(&one.name), &one.name, spot.offset);
    Ok(Some(BuildDifference { inputs, place: DifferenceLocation::Container { part, spot } }))
}

fn inputs_that_differ(first: &Manifest, second: &Manifest) -> Vec<String> {
    let inputs = |manifest| Manifest::debian_inputs(manifest).iter();
    let others = |name: &str| inputs(second).find(|input| input.name == name).map(|input| input.sha256);
    let differ = inputs(first).filter(|input| others(&input.name) != Some(input.sha256));
    differ.map(|input| input.name.clone()).collect()
}

fn disk_stage(build: &FinishedBuild<'_>) -> Result<camino::Utf8PathBuf, Error> {
    let inputs = build.manifest.debian_inputs();
    let key = inputs.iter().find(|input| input.name == STAGE).map(|input| input.sha256);
    let key = key.ok_or_else(|| Error::Damaged {
        path: build.out_dir.join(crate::manifest::FILE),
        detail: format!("it names no input {STAGE}"),
    })?;
    Ok(stage_cache::place(build.cache_dir, STAGE, &key))
}

/// The member of an archive, otherwise just the file.
fn part_of_container(path: &Utf8Path, name: &str, offset: u64) -> String {
    let members = File::open(path).at("open", path).ok().and_then(|mut file| ova::members(&mut file).ok());
    let inside = |member: &ova::Member| (member.offset..member.offset + member.size).contains(&offset);
    match members.as_ref().and_then(|members| members.iter().find(|member| inside(member))) {
        Some(member) => format!("{name}, in {}", member.name),
        None => name.to_owned(),
    }
}
