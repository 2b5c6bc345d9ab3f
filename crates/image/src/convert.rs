//! Converts a disk of any origin to the other formats, with the code that makes artifacts. Every source becomes a raw
//! disk first, so that an untrusted image is opened only once, by one command.

mod request;
mod source;
#[cfg(test)]
mod tests;

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::progress::{Event, Sink};
use rave_spec::Format;

use crate::build::{absolute, export, export_parallel, lock};
use crate::error::{Error, IoContext as _};
use crate::formats::{self, Appliance, ExportSpec, Exporter, SourceDisk, longest_first};
use crate::preflight;
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;
use crate::tempdir;
pub use request::ConvertRequest;
use source::Source;

/// Converts; returns the paths of the files. Existing files are not overwritten.
pub fn convert(request: &ConvertRequest<'_>, sink: Sink<'_>) -> Result<Vec<Utf8PathBuf>, Error> {
    if let Some(format) = request.formats.iter().find(|format| !formats::CONVERTIBLE.contains(format)) {
        return Err(formats::not_convertible(*format));
    }
    let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
    let stem = named(request)?;
    let source = Source::examine(&absolute(request.file)?, request)?;
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
    let disk = source.disk(&stages, request)?;
    for left_out in &disk.left_out {
        sink(Event::Warning { text: &format!("{left_out} is left out: it is not the disk that boots") });
    }
    disk.check_end().map_err(refuse)?;
    let appliance = Appliance { name: stem.clone(), ..request.appliance.clone() };
    let size = request.grown_to.unwrap_or_default().max(disk.size);
    let (compress, identity) = (request.compress, disk.identity);
    let spec = ExportSpec { stem, size, appliance, compress, identity, epoch: request.epoch };
    let allocated = fs::metadata(&disk.path).at("read", &disk.path)?.blocks() * 512;
    let plan = |format: &Format| formats::planned(*format, &spec, size, allocated);
    preflight::require(request.out_dir, &request.formats.iter().flat_map(plan).collect::<Vec<_>>())?;
    let raw = SourceDisk { path: disk.path.clone() };
    let exporter = Exporter::new(&stages, raw, spec, None);
    let mut made = export_parallel(longest_first(request.formats.to_vec()), |format| {
        Ok((format, export(&exporter, format, request.out_dir)?))
    })?;
    made.sort_by_key(|(format, _)| *format);
    Ok(made.iter().flat_map(|(_, files)| files).map(|file| request.out_dir.join(&file.name)).collect())
}

/// The base name of the results; an error if a name is invalid or a file already exists.
fn named(request: &ConvertRequest<'_>) -> Result<String, Error> {
    let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
    let stem = stem(request.file).ok_or_else(|| refuse("it has no name".into()))?.to_owned();
    // A VMDK's descriptor cannot represent them in a name.
    if stem.contains(|c: char| c == '"' || c.is_control()) {
        let detail =
            "its name has a double quote or a control character, which no VMDK can name: rename it first";
        return Err(refuse(detail.into()));
    }
    let names = |format: &Format| formats::file_names(&stem, *format, request.compress);
    match request
        .formats
        .iter()
        .flat_map(names)
        .map(|name| request.out_dir.join(name))
        .find(|path| path.exists())
    {
        None => Ok(stem),
        Some(target) => {
            Err(refuse(format!("{target} already exists; move it, or choose another folder with --out")))
        }
    }
}

/// Extensions of compressed files, to be removed before the inner extension.
const PACKED: &[&str] = &["zst", "xz", "gz", "bz2", "lz4", "tgz", "txz"];
const INNER: &[&str] = &["img", "raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "tar", "ova"];

/// The base name of the results: `a` for `a.qcow2` and for `a.img.zst`.
fn stem(file: &Utf8Path) -> Option<&str> {
    let stem = file.file_stem()?;
    let has = |endings: &[&str], ending: Option<&str>| ending.is_some_and(|ending| endings.contains(&ending));
    if !has(PACKED, file.extension()) {
        return Some(stem);
    }
    let mut inner = Utf8Path::new(stem);
    while has(INNER, inner.extension()) {
        inner = Utf8Path::new(inner.file_stem()?);
    }
    Some(inner.as_str())
}
