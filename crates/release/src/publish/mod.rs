//! Publishes a verified release into a tree: atomically, and without ever changing a published version.
//!
//! `DIR/VERSION` is a release, `DIR/latest` a symbolic link to one of them. Incomplete releases are in `DIR/.publish`.

mod copy;
mod latest;
mod tree;

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_process::progress::{Event, Sink, StageOutcome};
use semver::Version;

use crate::dsse::Envelope;
use crate::error::{Error, IoContext as _};
use crate::folder::Folder;
use crate::manifest::Manifest;
use crate::relative_path::RelativePath;
use crate::sums::{self, Sums};
use crate::trust::{TrustStore, Trusted};
use crate::{sshsig, verify};
pub use copy::STAGE as COPY;
pub use latest::Latest;
pub use tree::{LATEST, WORK};
use tree::{Place, Tree};

/// The rename that makes a release visible, in progress events.
pub const RENAME: &str = "publish";
/// The move of the link, in progress events.
pub const LINK: &str = "latest";

/// What to publish, and where.
#[derive(Debug)]
pub struct Request<'a> {
    /// The release's folder.
    pub folder: &'a Utf8Path,
    /// The published tree; created if it does not exist.
    pub tree: &'a Utf8Path,
    /// Seconds since 1970 by this host's clock.
    pub now: i64,
    /// Statements about keys that arrived separately.
    pub statements: &'a [Envelope],
    /// Whether `latest` must name this version even if it is older or a pre-release.
    pub make_latest: bool,
}

/// A published release.
#[derive(Debug)]
pub struct Published {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its folder.
    pub folder: Utf8PathBuf,
    /// Whether it was published now.
    pub is_new: bool,
    /// What happened to `latest`.
    pub latest: Latest,
    /// Notes of the verification.
    pub notes: Vec<String>,
}

/// Publishes. `trusted` and `store` are as for [`verify::verify`].
pub fn publish(
    request: &Request<'_>,
    trusted: &mut Trusted,
    store: &mut TrustStore,
    sink: Sink<'_>,
) -> Result<Published, Error> {
    let mut proof = Proof { request, trusted, store, sink, notes: Vec::new() };
    let manifest = proof.of(request.folder, None)?;
    if manifest.payload {
        let profile = manifest.profiles.first().map(|one| one.profile.clone()).unwrap_or_default();
        return Err(Error::Payload { profile });
    }
    let version = manifest.version.clone();
    let offered = Claim::read(request.folder)?;
    let tree = Tree::open(request.tree, request.folder, sink)?;
    let latest = tree.latest()?;
    let folder = tree.path(&version);
    let is_new = match tree.place(&version)? {
        Place::Taken => {
            Claim::read(&folder)?.must_be(&offered, &folder)?;
            proof.of(&folder, Some(&version))?;
            false
        }
        Place::Free => {
            let staged = tree.stage(&version, &offered.digest())?;
            copy::copy(request.folder, &staged, &offered.files()?, sink)?;
            // Verify the copy: the source folder may have changed meanwhile.
            if let Err(error) = proof.of(&staged, Some(&version)) {
                std::fs::remove_dir_all(&staged).at("remove", &staged)?;
                return Err(error);
            }
            stage(sink, RENAME, || tree.commit(&staged, &folder))?;
            true
        }
    };
    let latest = stage(sink, LINK, || tree.move_latest(latest, &version, request.make_latest))?;
    Ok(Published { manifest, folder, is_new, latest, notes: proof.notes })
}

fn stage<T>(sink: Sink<'_>, name: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    rave_process::interrupt::check().map_err(|_| Error::Interrupted)?;
    let clock = Instant::now();
    sink(Event::StageStarted { stage: name });
    let result = work()?;
    sink(Event::StageFinished { stage: name, elapsed: clock.elapsed(), outcome: StageOutcome::Built });
    Ok(result)
}

/// Verifies folders for one request.
struct Proof<'a, 'r> {
    request: &'a Request<'r>,
    trusted: &'a mut Trusted,
    store: &'a mut TrustStore,
    sink: Sink<'a>,
    notes: Vec<String>,
}

impl Proof<'_, '_> {
    fn of(&mut self, folder: &Utf8Path, expect: Option<&Version>) -> Result<Manifest, Error> {
        let Request { now, statements, .. } = *self.request;
        let request = verify::Request { folder, now, expect, not_older_than: None, commit: None, statements };
        let verdict = verify::verify(&request, self.trusted, self.store, self.sink);
        rave_process::interrupt::check().map_err(|_| Error::Interrupted)?;
        for note in verdict.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        match (verdict.manifest, verdict.problems.as_slice()) {
            (Some(manifest), []) => Ok(manifest),
            (_, problems) => {
                let problems = problems.iter().map(ToString::to_string).collect();
                Err(Error::Unverified { path: folder.to_owned(), problems })
            }
        }
    }
}

/// The identity of a release: every digest, and the signature.
struct Claim {
    sums: Vec<u8>,
    signature: Vec<u8>,
}

impl Claim {
    fn read(path: &Utf8Path) -> Result<Self, Error> {
        let folder = Folder::open(path).at("open", path)?;
        let read = |name: &str, limit| folder.read(&file_name(name), limit).at("read", path.join(name));
        let sums = read(sums::FILE, sums::LIMIT)?;
        Ok(Self { sums, signature: read(sums::SIGNATURE, sshsig::LIMIT)? })
    }

    /// Every file that belongs to the release.
    fn files(&self) -> Result<Vec<RelativePath>, Error> {
        let text = String::from_utf8_lossy(&self.sums);
        let sums = Sums::parse(&text).map_err(|why| Error::damaged(sums::FILE, why))?;
        Ok(sums.0.into_keys().chain([sums::FILE, sums::SIGNATURE].map(file_name)).collect())
    }

    fn digest(&self) -> Digest {
        Digest::of_bytes(&[self.sums.as_slice(), &self.signature].concat())
    }

    /// Fails if the version already has different content.
    fn must_be(&self, offered: &Self, path: &Utf8Path) -> Result<(), Error> {
        let pairs =
            [(sums::FILE, &self.sums, &offered.sums), (sums::SIGNATURE, &self.signature, &offered.signature)];
        let Some((file, published, offered)) = pairs.into_iter().find(|(_, a, b)| a != b) else {
            return Ok(());
        };
        let (published, offered) = (Digest::of_bytes(published), Digest::of_bytes(offered));
        Err(Error::OtherContent { path: path.to_owned(), file, published, offered })
    }
}

fn file_name(name: &str) -> RelativePath {
    name.parse().expect("a name of ours")
}
