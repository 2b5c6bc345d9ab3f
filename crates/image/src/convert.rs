//! Any raw or qcow2 disk in the other formats, by the code that makes artifacts.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::progress::Sink;
use rave_spec::Format;

use crate::build::{absolute, lock, longest_first, place, side_by_side};
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::formats::{self, Appliance, Recipe, Source, Workshop};
use crate::inspect::disk_size;
use crate::stages::Stages;
use crate::store::Store;

/// What to convert.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The disk.
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
    /// Time stamp of what is packed, seconds since 1970.
    pub epoch: u64,
}

/// Converts; gives the paths of the files. What is there already is not overwritten.
pub fn convert(request: &Request<'_>, sink: Sink<'_>) -> Result<Vec<Utf8PathBuf>, Error> {
    let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
    if let Some(format) = request.formats.iter().find(|format| !formats::CONVERTIBLE.contains(format)) {
        return Err(formats::not_convertible(*format));
    }
    let (driver, size) = disk_size(request.file)?;
    let stem = request.file.file_stem().ok_or_else(|| refuse("it has no name".into()))?.to_owned();
    for name in request.formats.iter().flat_map(|format| formats::file_names(&stem, *format)) {
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
    let stages =
        Stages::new(Store::open(request.cache_dir)?, request.cache_dir, request.log_dir, false, sink);
    let identity = Digest::of_file(request.file).at("read", request.file)?;
    let appliance = Appliance { name: stem.clone(), ..request.appliance.clone() };
    let recipe = Recipe { stem, size, appliance, identity, epoch: request.epoch };
    let source = Source { path: absolute(request.file)?, driver };
    let workshop = Workshop::new(&stages, source, recipe, None);
    let mut made = side_by_side(longest_first(request.formats.to_vec()), |format| {
        Ok((format, place(&workshop, format, request.out_dir)?))
    })?;
    made.sort_by_key(|(format, _)| *format);
    Ok(made.iter().flat_map(|(_, files)| files).map(|file| request.out_dir.join(&file.name)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::formats::tests::recipe;
    use crate::inspect::{Kind, inspect};
    use rave_process::Cmd;

    fn convert_in(folder: &Utf8Path, disk: &Utf8Path, out: &str) -> Result<Vec<Utf8PathBuf>, Error> {
        convert_to(formats::CONVERTIBLE, folder, disk, out)
    }

    fn convert_to(
        formats: &[Format],
        folder: &Utf8Path,
        disk: &Utf8Path,
        out: &str,
    ) -> Result<Vec<Utf8PathBuf>, Error> {
        let request = Request {
            file: disk,
            formats,
            out_dir: &folder.join(out),
            cache_dir: &folder.join(format!("cache of {out}")),
            log_dir: &folder.join("logs"),
            appliance: recipe().appliance,
            epoch: 1,
        };
        convert(&request, &|_| ())
    }

    #[test]
    fn every_format_twice_the_same_bytes_and_the_same_disk() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let disk = folder.join("a, disk.raw");
        let file = File::create(&disk).unwrap();
        file.set_len(5 << 20).unwrap();
        file.write_all_at(&vec![7; 100_000], 3 << 20).unwrap();
        let made = convert_in(folder, &disk, "one").unwrap();
        let again = convert_in(folder, &disk, "two").unwrap();
        assert_eq!(made.len(), 6);
        for (one, two) in made.iter().zip(&again) {
            assert_eq!(one.file_name(), two.file_name());
            assert!(fs::read(one).unwrap() == fs::read(two).unwrap(), "{one} differs between two runs");
        }
        let mut disks = 0;
        for path in &made {
            let found = inspect(path).unwrap();
            let driver = match &found.kind {
                Kind::Qcow2(_) => "qcow2",
                Kind::Vmdk(_) => "vmdk",
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
