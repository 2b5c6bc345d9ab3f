//! Artifacts appear under their final names only when complete; several are made in parallel.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::Format;

use super::join;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::formats::{self, Exporter};
use crate::manifest::ArtifactFile;

/// Makes an artifact in a temporary folder beside its destination, and renames its files into place.
pub(crate) fn export(
    exporter: &Exporter<'_>,
    format: Format,
    out_dir: &Utf8Path,
) -> Result<Vec<ArtifactFile>, Error> {
    exporter.stages.timed(format.as_str(), || {
        let spec = &exporter.spec;
        let stem = &spec.stem;
        let partial = PartialDir::create(out_dir.join(format!(".{stem}-{format}.partial")))?;
        let mut known = formats::make(format, exporter, &partial.folder)?;
        let mut files = Vec::new();
        for name in formats::file_names(stem, format, spec.compress) {
            let path = partial.folder.join(&name);
            // It belongs to the first file, if to any.
            let sha256 = known.take().map_or_else(|| Digest::of_file(&path).at("read", &path), Ok)?;
            let size = fs::metadata(&path).at("read", &path)?.len();
            files.push(ArtifactFile { name, size, sha256 });
        }
        for file in &files {
            let place = out_dir.join(&file.name);
            fs::rename(partial.folder.join(&file.name), &place).at("rename into", &place)?;
        }
        Ok(files)
    })
}

/// An absolute path, for programs that run in another folder.
pub(crate) fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    camino::absolute_utf8(path).at("look at", path)
}

/// A folder that is removed with its content; so is one that a killed build left.
struct PartialDir {
    folder: Utf8PathBuf,
}

impl PartialDir {
    fn create(folder: Utf8PathBuf) -> Result<Self, Error> {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).at("create", &folder)?;
        Ok(Self { folder })
    }
}

impl Drop for PartialDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Works on as many formats in parallel as there are processors. After a failure no other one is started.
pub(crate) fn export_parallel<T: Send>(
    formats: Vec<Format>,
    work: impl Fn(Format) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(formats.len());
    let waiting = Mutex::new(VecDeque::from(formats));
    let take = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let worker = || {
        let mut done = Vec::new();
        while let Some(format) = take() {
            done.push(work(format).inspect_err(|_| while take().is_some() {})?);
        }
        Ok(done)
    };
    let results: Vec<Result<Vec<T>, Error>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(join).collect()
    });
    results.into_iter().collect::<Result<Vec<_>, _>>().map(|lists| lists.into_iter().flatten().collect())
}
