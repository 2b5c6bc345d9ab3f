//! A disk of any origin in the other formats, by the code that makes artifacts.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_process::progress::Sink;
use rave_spec::{Compress, Format};
use serde::Deserialize;

use crate::build::{absolute, export, export_parallel, lock};
use crate::digest::Digest;
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::formats::{self, Appliance, Driver, ExportSpec, Exporter, SourceDisk, longest_first, ova, zst};
use crate::inspect::{DiskLocation, disk_in};
use crate::preflight;
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;
use crate::tempdir::{self, ScratchDir};

/// What to convert.
#[derive(Debug, Clone)]
pub struct ConvertRequest<'a> {
    /// What holds the disk: raw, qcow2, VMDK, OVA or `.img.zst`.
    pub file: &'a Utf8Path,
    /// Into what, at least one, of [`formats::CONVERTIBLE`].
    pub formats: &'a [Format],
    /// Where the files go; they are named after the disk.
    pub out_dir: &'a Utf8Path,
    /// Where what two formats share is kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
    /// The machine that descriptors describe; it is named after the disk.
    pub appliance: Appliance,
    /// How the results are compressed.
    pub compress: Compress,
    /// Time stamp of what is packed, seconds since 1970.
    pub epoch: u64,
}

/// Converts; gives the paths of the files. What is there already is not overwritten.
pub fn convert(request: &ConvertRequest<'_>, sink: Sink<'_>) -> Result<Vec<Utf8PathBuf>, Error> {
    let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
    if let Some(format) = request.formats.iter().find(|format| !formats::CONVERTIBLE.contains(format)) {
        return Err(formats::not_convertible(*format));
    }
    let (location, size) = disk_in(request.file)?;
    let stem = stem(request.file).ok_or_else(|| refuse("it has no name".into()))?.to_owned();
    let names = |format: &Format| formats::file_names(&stem, *format, request.compress);
    for name in request.formats.iter().flat_map(names) {
        let target = request.out_dir.join(name);
        if target.exists() {
            return Err(refuse(format!(
                "{target} is there already; move it, or choose another folder with --out"
            )));
        }
    }
    for folder in [request.out_dir, request.cache_dir, request.log_dir] {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let _lock = lock(request.cache_dir, sink)?;
    tempdir::sweep(request.cache_dir)?;
    let stages = StageRunner::new(
        StageCache::open(request.cache_dir)?,
        request.cache_dir,
        request.log_dir,
        false,
        sink,
    );
    let identity = Digest::of_file(request.file).at("read", request.file)?;
    let appliance = Appliance { name: stem.clone(), ..request.appliance.clone() };
    let compress = request.compress;
    let spec = ExportSpec { stem, size, appliance, compress, identity, epoch: request.epoch };
    let (source, _unpacked) = plain(&stages, &absolute(request.file)?, &location, size)?;
    let allocated = allocated(&source)?;
    let plan = |format: &Format| formats::planned(*format, &spec, size, allocated);
    preflight::require(request.out_dir, &request.formats.iter().flat_map(plan).collect::<Vec<_>>())?;
    let exporter = Exporter::new(&stages, source, spec, None);
    let mut made = export_parallel(longest_first(request.formats.to_vec()), |format| {
        Ok((format, export(&exporter, format, request.out_dir)?))
    })?;
    made.sort_by_key(|(format, _)| *format);
    Ok(made.iter().flat_map(|(_, files)| files).map(|file| request.out_dir.join(&file.name)).collect())
}

/// What the results are named after: `a` of `a.qcow2` and of `a.img.zst`.
fn stem(file: &Utf8Path) -> Option<&str> {
    let stem = file.file_stem()?;
    match file.extension() {
        Some("zst") => Some(stem.strip_suffix(".img").or_else(|| stem.strip_suffix(".raw")).unwrap_or(stem)),
        _ => Some(stem),
    }
}

/// How much larger the content of an `.img.zst` is taken to be than its file, zeros aside.
const EXPANSION: u64 = 8;

/// How long qemu-img may look for holes in a file.
const DEADLINE: Duration = Duration::from_secs(60);

/// Bytes of a disk that are not holes.
fn allocated(source: &SourceDisk) -> Result<u64, Error> {
    #[derive(Deserialize)]
    struct Measured {
        required: u64,
    }
    let path = &source.path;
    if source.driver == Driver::Raw {
        return Ok(fs::metadata(path).at("read", path)?.blocks() * 512);
    }
    // What a qcow2 without compression would take.
    let words = ["measure", "--output=json", "-f", source.driver.as_str(), "-O", "qcow2", path.as_str()];
    let found = Cmd::new("qemu-img").args(words).timeout(DEADLINE).output().stage("measure")?;
    let measured: Measured = serde_json::from_slice(&found.stdout)
        .map_err(|error| Error::Damaged { path: path.clone(), detail: error.to_string() })?;
    Ok(measured.required)
}

/// A file that qemu-img reads as a disk, and the folder of it where it had to be unpacked.
fn plain(
    stages: &StageRunner<'_>,
    file: &Utf8Path,
    location: &DiskLocation,
    size: u64,
) -> Result<(SourceDisk, Option<ScratchDir>), Error> {
    match location {
        DiskLocation::Whole(driver) => Ok((SourceDisk { path: file.to_owned(), driver: *driver }, None)),
        DiskLocation::Compressed => {
            let packed = fs::metadata(file).at("read", file)?.len();
            let scratch = stages.scratch(size.min(packed.saturating_mul(EXPANSION)))?;
            let path = scratch.path().join("disk.raw");
            stages.timed(zst::STAGE, || zst::decompress(file, &path, size))?;
            Ok((SourceDisk { path, driver: Driver::Raw }, Some(scratch)))
        }
        DiskLocation::Member(member) => {
            let scratch = stages.scratch(member.size)?;
            let path = scratch.path().join("disk.vmdk");
            ova::extract(file, member, &path)?;
            Ok((SourceDisk { path, driver: Driver::Vmdk }, Some(scratch)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::formats::tests::export_spec;
    use crate::inspect::{ImageKind, inspect};
    use rave_spec::Compression;

    fn convert_in(folder: &Utf8Path, disk: &Utf8Path, out: &str) -> Result<Vec<Utf8PathBuf>, Error> {
        convert_to(formats::CONVERTIBLE, folder, disk, out)
    }

    fn convert_to(
        formats: &[Format],
        folder: &Utf8Path,
        disk: &Utf8Path,
        out: &str,
    ) -> Result<Vec<Utf8PathBuf>, Error> {
        let request = ConvertRequest {
            file: disk,
            formats,
            out_dir: &folder.join(out),
            cache_dir: &folder.join(format!("cache of {out}")),
            log_dir: &folder.join("logs"),
            appliance: export_spec().appliance,
            compress: Compress::all(Compression::Zstd),
            epoch: 1,
        };
        convert(&request, &|_| ())
    }

    fn disk(folder: &Utf8Path) -> Utf8PathBuf {
        let disk = folder.join("a, disk.raw");
        let file = File::create(&disk).unwrap();
        file.set_len(5 << 20).unwrap();
        file.write_all_at(&vec![7; 100_000], 3 << 20).unwrap();
        disk
    }

    #[test]
    fn every_format_twice_the_same_bytes_and_the_same_disk() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let disk = disk(folder);
        let made = convert_in(folder, &disk, "one").unwrap();
        let again = convert_in(folder, &disk, "two").unwrap();
        assert_eq!(made.len(), 7);
        for (one, two) in made.iter().zip(&again) {
            assert_eq!(one.file_name(), two.file_name());
            assert!(fs::read(one).unwrap() == fs::read(two).unwrap(), "{one} differs between two runs");
        }
        let mut disks = 0;
        for path in &made {
            let found = inspect(path, crate::inspect::Depth::Tables).unwrap();
            let driver = match &found.kind {
                ImageKind::Qcow2(_) => "qcow2",
                ImageKind::Vmdk(_) => "vmdk",
                _ => continue,
            };
            let words = ["compare", "-f", "raw", "-F", driver, disk.as_str(), path.as_str()];
            Cmd::new("qemu-img").args(words).output().unwrap();
            Cmd::new("qemu-img").args(["check", "-q", "-f", driver, path.as_str()]).output().unwrap();
            disks += 1;
        }
        assert_eq!(disks, 2);
        let error = convert_in(folder, &disk, "one").unwrap_err().to_string();
        assert!(error.contains("is there already"), "{error}");
    }

    #[test]
    fn what_was_made_is_a_source_again_and_the_disk_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let disk = disk(folder);
        let made = convert_in(folder, &disk, "one").unwrap();
        let content = fs::read(&disk).unwrap();
        let mut endings = Vec::new();
        for (number, path) in made.iter().enumerate().filter(|(_, path)| path.extension() != Some("vmx")) {
            endings.push(path.extension().unwrap());
            let back = convert_to(&[Format::Raw], folder, path, &format!("back {number}")).unwrap();
            assert!(fs::read(&back[0]).unwrap() == content, "{path}");
        }
        assert_eq!(endings, ["qcow2", "ova", "vmdk", "ova", "img", "zst"]);
        assert_eq!(fs::read_dir(folder.join("cache of back 6/scratch")).unwrap().count(), 0);
    }

    #[test]
    fn a_name_loses_both_endings_of_a_compressed_disk() {
        let stems = ["d/a.img.zst", "a.raw.zst", "a.zst", "a.b.qcow2", "a"].map(|name| stem(name.into()));
        assert_eq!(stems, ["a", "a", "a", "a.b", "a"].map(Some));
    }

    #[test]
    fn an_iso_is_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let disk = folder.join("disk.raw");
        File::create(&disk).unwrap().set_len(5 << 20).unwrap();
        let error = convert_to(&[Format::Raw, Format::Iso], folder, &disk, "out").unwrap_err().to_string();
        assert_eq!(
            error,
            "format iso: `cargo xtask image` makes it; a disk of any origin can become: qemu, virtualbox, vmware, raw"
        );
        assert!(!folder.join("out").exists());
    }
}
