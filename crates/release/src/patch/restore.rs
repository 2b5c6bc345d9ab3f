//! Makes artifacts of a newer release from a signed patch and an artifact of the older release.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::{Digest, Hasher};
use rave_image::inside;
use rave_image::tempdir::{self, LockedTempDir};
use rave_process::progress::{Event, Sink, StageOutcome};
use rave_spec::Format;

use super::apply::{STAGE, into_file, read_header};
use super::conversions::{convert_to, refusal};
use super::header::Header;
use crate::dsse::Envelope;
use crate::error::{Error, IoContext as _};
use crate::relative_path::RelativePath;
use crate::trust::{TrustStore, Trusted};
use crate::verify::{self, PATCH_LIMIT, SignedBy};

/// The request.
#[derive(Debug)]
pub struct Restore<'a> {
    /// The patch, with the release's digests and their signature beside it.
    pub patch: &'a Utf8Path,
    /// An artifact of the older release, of any format.
    pub base: &'a Utf8Path,
    /// The formats to make, at least one: raw, or a format reproducible from it.
    pub formats: &'a [Format],
    /// The output folder.
    pub out: &'a Utf8Path,
    /// Seconds since 1970 by this host's clock.
    pub now: i64,
    /// Statements about keys that arrived separately.
    pub statements: &'a [Envelope],
}

/// The result.
#[derive(Debug)]
pub struct Restored {
    /// The files.
    pub files: Vec<Utf8PathBuf>,
    /// The patch's header.
    pub header: Header,
    /// Who signed the patch.
    pub signer: SignedBy,
}

/// Makes the artifacts. Impossible requests are refused before anything is written.
pub fn restore(
    request: &Restore<'_>,
    trusted: &mut Trusted,
    store: &mut TrustStore,
    sink: Sink<'_>,
) -> Result<Restored, Error> {
    let path = request.patch;
    let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Utf8Path::new("."));
    let name = path.file_name().unwrap_or_default().parse::<RelativePath>();
    let name = name.map_err(|why| Error::damaged(path, why))?;
    let (now, statements) = (request.now, request.statements);
    let of_verify =
        verify::Request { folder, now, expect: None, not_older_than: None, commit: None, statements };
    let (signer, sha256, file) =
        verify::one_file(&of_verify, &name, PATCH_LIMIT, trusted, store).map_err(|problems| {
            let problems = problems.iter().map(ToString::to_string).collect();
            Error::Unverified { path: path.to_owned(), problems }
        })?;
    let mut from = BufReader::new(Hashed { file, hasher: Hasher::default() });
    let header = read_header(&mut from).map_err(|why| Error::damaged(path, why))?;
    let wanted = |format: &&Format| **format != Format::Raw;
    let conversions = request.formats.iter().filter(wanted).map(|format| refusal(&header, *format));
    let conversions =
        conversions.collect::<Result<Vec<_>, _>>().map_err(|detail| Error::NoConversion { detail })?;
    let is_raw_wanted = request.formats.contains(&Format::Raw);
    let names = conversions.iter().map(|one| &one.name).chain(is_raw_wanted.then_some(&header.name));
    let targets: Vec<Utf8PathBuf> = names.map(|name| request.out.join(name.as_str())).collect();
    if let Some(existing) = targets.iter().find(|target| target.symlink_metadata().is_ok()) {
        return Err(Error::Occupied { path: existing.clone(), detail: "it is not replaced".into() });
    }
    fs::create_dir_all(request.out).at("create", request.out)?;
    let base = inside::open(request.base)?;
    let disk =
        base.disk.as_deref().ok_or_else(|| Error::damaged(request.base, "no disk can be found in it"))?;
    let place = if is_raw_wanted { request.out.to_owned() } else { tempdir::place() };
    let scratch = LockedTempDir::new(&place, ".rave-patch-").at("create a folder in", &place)?;
    let started = std::time::Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let raw = scratch.path().join("disk.img");
    into_file(&header, (path, &mut from), disk, &raw, sink)?;
    io::copy(&mut from, &mut io::sink()).at("read", path)?;
    if from.into_inner().hasher.finish() != sha256 {
        return Err(Error::damaged(path, "it changed after its signature was verified"));
    }
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome: StageOutcome::Built });
    for conversion in conversions {
        let made = convert_to(conversion, &raw, &scratch.path().join("converted"), sink)?;
        let found = Digest::of_file(&made).at("read", &made)?;
        if found != conversion.sha256 {
            let detail = format!(
                "{} made {} with SHA-256 {found} here, and {} in the release",
                conversion.tool, conversion.name, conversion.sha256
            );
            return Err(Error::NoConversion { detail });
        }
        place_at(&made, &request.out.join(conversion.name.as_str()))?;
    }
    if is_raw_wanted {
        place_at(&raw, &request.out.join(header.name.as_str()))?;
    }
    Ok(Restored { files: targets, header, signer })
}

/// A file, and the digest of what was read from it.
struct Hashed {
    file: File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Moves a file, by a rename if both are on one file system.
fn place_at(made: &Utf8Path, target: &Utf8Path) -> Result<(), Error> {
    match fs::rename(made, target) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            rave_fs::Replace::new(target).copy(made).at("write", target)
        }
        renamed => renamed.at("rename into", target),
    }
}
