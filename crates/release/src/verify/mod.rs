//! Verifies a release: offline, in bounded memory, and without panicking on any input.
//!
//! The signature covers `SHA256SUMS`, which covers every other file. Consistency between the others is checked too.

mod files;
mod problem;
mod roles;
mod statements;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek as _;

use camino::Utf8Path;
use rave_image::digest::{Digest, Hasher};
use rave_process::progress::{Event, Sink, StageOutcome, Unit};
use semver::Version;

use crate::dsse::Envelope;
use crate::folder::{EntryKind, Folder, NotOpened, bytes_of};
use crate::key::fingerprint;
use crate::manifest::Manifest;
use crate::relative_path::RelativePath;
use crate::sshsig::{self, Signature};
use crate::sums::{self, Sums};
use crate::trust::{TrustStore, Trusted};
use crate::{key_statement, names};
pub use problem::{Problem, Problems};
pub(crate) use roles::PATCH_LIMIT;
pub use roles::Role;

/// The name of this stage in progress events.
pub const STAGE: &str = "verify";

/// What to verify, and against what.
#[derive(Debug)]
pub struct Request<'a> {
    /// The release's folder.
    pub folder: &'a Utf8Path,
    /// Seconds since 1970 by this host's clock.
    pub now: i64,
    /// The only accepted version.
    pub expect: Option<&'a Version>,
    /// The oldest accepted version.
    pub not_older_than: Option<&'a Version>,
    /// The only acceptable commit.
    pub commit: Option<&'a str>,
    /// Statements about keys that arrived separately.
    pub statements: &'a [Envelope],
}

/// The result of a verification.
#[derive(Debug)]
pub struct Verdict {
    /// Its manifest, if it has a valid one.
    pub manifest: Option<Manifest>,
    /// Who signed it, if it was a trusted signer.
    pub signer: Option<SignedBy>,
    /// Every expected file, and every existing one.
    pub files: Vec<FileRow>,
    /// The problems: at most one per file, in the order in which they were found. Empty if the release is valid.
    pub problems: Vec<Problem>,
    /// Notes for readers.
    pub notes: Vec<String>,
}

/// Who signed a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// The name in `allowed_signers`.
    pub principal: String,
    /// The key's fingerprint, `SHA256:...`.
    pub fingerprint: String,
}

/// A file of the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its path.
    pub path: String,
    /// Its role.
    pub role: Role,
    /// Bytes; none if it is missing.
    pub size: Option<u64>,
    /// Whether it is the signed file.
    pub holds: bool,
}

/// Verifies. `trusted` learns from the release's statements about keys, and `store` keeps them; the caller saves it.
pub fn verify(
    request: &Request<'_>,
    trusted: &mut Trusted,
    store: &mut TrustStore,
    sink: Sink<'_>,
) -> Verdict {
    let started = std::time::Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let mut problems = Problems::default();
    let (mut manifest, mut signer, mut rows, mut notes) = (None, None, Vec::new(), Vec::new());
    match Folder::open(request.folder) {
        Err(error) => problems.add(request.folder.as_str(), not_a_folder(&error)),
        Ok(folder) => {
            let mut check = Check { request, folder, problems: &mut problems, notes: &mut notes, sink };
            let (found, sums, by) = check.head(trusted, store);
            if let Some(sums) = sums {
                manifest = check.manifest(&sums);
                rows = check.files(&found, &sums, manifest.as_ref());
                check.statements(&sums, manifest.as_ref(), by.as_ref(), trusted, store);
            }
            check.identity(manifest.as_ref());
            // A digest in an unsigned list proves nothing.
            for row in rows.iter_mut().filter(|_| by.is_none()) {
                row.holds = false;
            }
            signer = by.map(|by| by.signed);
        }
    }
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome: StageOutcome::Built });
    Verdict { manifest, signer, files: rows, problems: problems.into_list(), notes }
}

/// Verifies and opens a single file of a release of at most `limit` bytes, and returns who signed its digest. The other
/// files need not exist.
pub fn one_file(
    request: &Request<'_>,
    path: &RelativePath,
    limit: u64,
    trusted: &mut Trusted,
    store: &mut TrustStore,
) -> Result<(SignedBy, Digest, File), Vec<Problem>> {
    let (mut problems, mut notes) = (Problems::default(), Vec::new());
    let folder = match Folder::open(request.folder) {
        Ok(folder) => folder,
        Err(error) => {
            problems.add(request.folder.as_str(), not_a_folder(&error));
            return Err(problems.into_list());
        }
    };
    let mut check = Check { request, folder, problems: &mut problems, notes: &mut notes, sink: &|_| () };
    let claim = check.claim(trusted, store);
    let opened = check.folder.file(path).map_err(|error| read_error(&error));
    let opened = opened.and_then(|mut file| {
        let sums = claim.0.as_ref().ok_or("its digest is not known")?;
        let wanted = sums.0.get(path).ok_or("it is not in SHA256SUMS")?;
        let size = file.metadata().map_err(|error| read_error(&error))?.len();
        if size > limit {
            return Err(format!("it has {size} bytes, at most {limit} are allowed"));
        }
        let mut hasher = Hasher::default();
        bytes_of(&file, size, &mut |bytes| hasher.update(bytes)).map_err(|error| read_error(&error))?;
        file.rewind().map_err(|error| read_error(&error))?;
        if hasher.finish() == *wanted {
            Ok((*wanted, file))
        } else {
            Err("its SHA-256 is not the one in SHA256SUMS".to_owned())
        }
    });
    match (claim.1, opened) {
        (Some(by), Ok((sha256, file))) => Ok((by.signed, sha256, file)),
        (_, opened) => {
            if let Err(why) = opened {
                problems.add(path.as_str(), why);
            }
            Err(problems.into_list())
        }
    }
}

/// A trusted key that signed the checksums.
struct Checked {
    signed: SignedBy,
    key: ssh_key::PublicKey,
}

struct Check<'a> {
    request: &'a Request<'a>,
    folder: Folder,
    problems: &'a mut Problems,
    notes: &'a mut Vec<String>,
    sink: Sink<'a>,
}

/// Regular files by path, with their sizes.
type Found = BTreeMap<RelativePath, u64>;

fn file_name(name: &str) -> RelativePath {
    name.parse().expect("a name of ours")
}

impl Check<'_> {
    /// The existing files, the listed digests, and who signed the list.
    fn head(
        &mut self,
        trusted: &mut Trusted,
        store: &mut TrustStore,
    ) -> (Found, Option<Sums>, Option<Checked>) {
        let found = self.list();
        let (sums, by) = self.claim(trusted, store);
        (found, sums, by)
    }

    /// The listed digests, and who signed the list.
    fn claim(&mut self, trusted: &mut Trusted, store: &mut TrustStore) -> (Option<Sums>, Option<Checked>) {
        self.learn(trusted, store);
        let text = match self.folder.read(&file_name(sums::FILE), sums::LIMIT) {
            Ok(text) => text,
            Err(error) => {
                self.problems.add(sums::FILE, read_error(&error));
                return (None, None);
            }
        };
        let by = match self.signer(&text, trusted, store) {
            Ok(by) => Some(by),
            Err(why) => {
                self.problems.add(sums::SIGNATURE, why);
                None
            }
        };
        let sums = String::from_utf8(text).map_err(|_| "it is not text".to_owned());
        match sums.and_then(|text| Sums::parse(&text)) {
            Ok(sums) => (Some(sums), by),
            Err(why) => {
                self.problems.add(sums::FILE, why);
                (None, by)
            }
        }
    }

    fn list(&mut self) -> Found {
        let entries = match self.folder.entries() {
            Ok(entries) => entries,
            Err(error) => {
                self.problems.add(self.request.folder.as_str(), format!("cannot be listed: {error}"));
                return Found::new();
            }
        };
        let mut found = Found::new();
        for entry in entries {
            match entry.kind {
                EntryKind::File { path, size } => drop(found.insert(path, size)),
                EntryKind::Other(what) => self.problems.add(&entry.path, format!("it is {what}")),
            }
        }
        found
    }

    /// Accepts rotations and revocations: each is signed by its own key, so they need no other proof.
    fn learn(&mut self, trusted: &mut Trusted, store: &mut TrustStore) {
        if trusted.is_empty() {
            return;
        }
        let now = self.now(store);
        let path = file_name(key_statement::FILE);
        let of_release = match self.folder.read(&path, key_statement::LIMIT) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(read_error(&error)),
            Ok(bytes) => key_statement::parse_file(&bytes),
        };
        let of_release = of_release.unwrap_or_else(|why| {
            self.problems.add(path.as_str(), why);
            Vec::new()
        });
        // Those that arrived separately first: whoever made the release may have left out a revocation.
        let given = self.request.statements.len();
        let envelopes = [self.request.statements, &of_release].concat();
        for (number, why) in trusted.learn(&envelopes, now, store).wrong {
            let about = if number < given { "the given statements" } else { path.as_str() };
            self.problems.add(about, why);
        }
    }

    /// Who signed the checksums.
    fn signer(&mut self, sums: &[u8], trusted: &Trusted, store: &TrustStore) -> Result<Checked, String> {
        if trusted.is_empty() {
            return Err(
                "signature unchecked: no key is trusted; give --key FILE, or pin one with --trust FILE"
                    .into(),
            );
        }
        let bytes = self
            .folder
            .read(&file_name(sums::SIGNATURE), sshsig::LIMIT)
            .map_err(|error| read_error(&error))?;
        let signature = Signature::parse(&bytes)?;
        let signer = trusted.signer(&signature.claimed, self.now(store))?;
        if !signature.is_by(&signer.key, sums) {
            return Err(format!("it is not a signature of {} over {}", signer.fingerprint(), sums::FILE));
        }
        let by = SignedBy { principal: signer.principal.clone(), fingerprint: signer.fingerprint() };
        Ok(Checked { signed: by, key: signer.key.clone() })
    }

    /// The time: the host's clock, unless a trusted release was made later.
    fn now(&mut self, store: &TrustStore) -> i64 {
        if self.request.now < store.latest() {
            self.note(
                "this host's clock is behind the release that was verified last; the later time is taken",
            );
        }
        self.request.now.max(store.latest())
    }

    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_owned());
        }
    }

    fn manifest(&mut self, sums: &Sums) -> Option<Manifest> {
        let path = file_name(names::MANIFEST);
        if !sums.0.contains_key(&path) {
            self.problems.add(path.as_str(), "it is not in SHA256SUMS");
            return None;
        }
        let bytes = match self.folder.read(&path, crate::manifest::LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problems.add(path.as_str(), read_error(&error));
                return None;
            }
        };
        if sums.0.get(&path) != Some(&Digest::of_bytes(&bytes)) {
            self.problems.add(path.as_str(), "its SHA-256 is not the one in SHA256SUMS");
            return None;
        }
        match Manifest::parse(&bytes) {
            Ok(manifest) => {
                if manifest.payload {
                    self.note("this release is for tests alone: its packages are not those of its base");
                }
                Some(manifest)
            }
            Err(why) => {
                self.problems.add(path.as_str(), why);
                None
            }
        }
    }

    fn identity(&mut self, manifest: Option<&Manifest>) {
        let Some(manifest) = manifest else { return };
        let version = &manifest.version;
        if let Some(expected) = self.request.expect.filter(|expected| *expected != version) {
            self.problems.add("version", format!("it is {version}, expected is {expected}"));
        }
        if let Some(oldest) = self.request.not_older_than.filter(|oldest| version < oldest) {
            self.problems.add("version", format!("it is {version}, which is older than {oldest}"));
        }
        let commit = &manifest.commit;
        if let Some(expected) = self.request.commit.filter(|expected| *expected != commit) {
            self.problems.add("commit", format!("it is {commit}, expected is {expected}"));
        }
    }

    fn progress(&self, done: u64, total: u64) {
        (self.sink)(Event::StageProgress { stage: STAGE, done, total: Some(total), unit: Unit::Bytes });
    }
}

/// Why the release's folder cannot be opened.
fn not_a_folder(error: &std::io::Error) -> String {
    format!("cannot be opened: {error}")
}

/// A system error as text.
fn read_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "it is missing".into(),
        _ if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NotOpened>) => {
            error.to_string()
        }
        _ => format!("cannot be read: {error}"),
    }
}

/// The fingerprint of a key, for messages.
fn name_of(key: &ssh_key::PublicKey) -> String {
    fingerprint(key)
}
