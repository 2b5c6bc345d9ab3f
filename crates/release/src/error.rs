//! Errors of cutting releases, and of making and reading keys.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;

/// An error of this crate. A defect of a foreign release is not an error but a [`Problem`](crate::verify::Problem).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: Utf8PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A key is not usable.
    #[error("{path}: {detail}")]
    Key {
        /// Its file.
        path: Utf8PathBuf,
        /// Why not.
        detail: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file is damaged.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The folder already contains something else.
    #[error("{path} already exists: {detail}")]
    Occupied {
        /// The folder.
        path: Utf8PathBuf,
        /// What it contains.
        detail: String,
    },
    /// An image whose packages are not those of its base.
    #[error(
        "{profile} was built for tests, in a store filled from a payload, and cannot be released or published"
    )]
    Payload {
        /// The profile.
        profile: String,
    },
    /// Two builds produced different bytes.
    #[error("the second build of {profile} differs: {detail}")]
    NotReproducible {
        /// The profile.
        profile: String,
        /// The files.
        detail: String,
    },
    /// A guest did not pass its checks.
    #[error("the smoke test of {profile} did not pass: {detail}")]
    SmokeFailed {
        /// The profile.
        profile: String,
        /// What failed.
        detail: String,
    },
    /// A guest contains packages under denied licences.
    #[error("licences that no release may contain are in {profile}: {detail}")]
    DeniedLicences {
        /// The profile.
        profile: String,
        /// The packages with their licences.
        detail: String,
    },
    /// An image contains something that must not be in it.
    #[error("the leak gate found {}", found(findings))]
    Leaks {
        /// The findings.
        findings: Vec<crate::leak::finding::Finding>,
    },
    /// The finished release does not verify.
    #[error("the finished release does not verify: {detail}")]
    SelfCheck {
        /// The folder of the unfinished release.
        work: Utf8PathBuf,
        /// The first problem.
        detail: String,
    },
    /// A part from another host belongs to something else.
    #[error("the part {path} has a different {what}: {part}, not {wanted}")]
    OtherPart {
        /// Its folder.
        path: Utf8PathBuf,
        /// What differs.
        what: &'static str,
        /// The part's value.
        part: String,
        /// The value in this checkout.
        wanted: String,
    },
    /// A release does not verify.
    #[error("{path} does not verify: {}", problems.first().map_or("it has no manifest", String::as_str))]
    Unverified {
        /// Its folder.
        path: Utf8PathBuf,
        /// What is wrong, one line each.
        problems: Vec<String>,
    },
    /// A version is already published with different content.
    #[error(
        "{path} is already published with different content: the SHA-256 of its {file} is {published}, that of the release is {offered}"
    )]
    OtherContent {
        /// Its published folder.
        path: Utf8PathBuf,
        /// A file that differs.
        file: &'static str,
        /// The published digest.
        published: Digest,
        /// Its digest in the release.
        offered: Digest,
    },
    /// Something unexpected is in the published tree.
    #[error("cannot publish here: {path}: {detail}")]
    NotATree {
        /// Where.
        path: Utf8PathBuf,
        /// What it is.
        detail: &'static str,
    },
    /// The given disk is not the base of the patch.
    #[error("the patch leads from the disk of {version}, and this is another one: {found}")]
    OtherBase {
        /// The version whose disk it should be.
        version: semver::Version,
        /// What it is.
        found: String,
    },
    /// The patch cannot produce a format on this host.
    #[error("{detail}")]
    NoConversion {
        /// Why.
        detail: String,
    },
    /// There is not enough space for a release.
    #[error("not enough space for {path}: {} MiB are needed, {} MiB are free", needed >> 20, free >> 20)]
    NoSpace {
        /// The folder.
        path: Utf8PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// A statement about a key contradicts what is known.
    #[error("{detail}")]
    Statement {
        /// Why.
        detail: String,
    },
    /// Signing failed.
    #[error("cannot sign {what}: {detail}")]
    Sign {
        /// What was to be signed.
        what: String,
        /// Why not.
        detail: String,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// An error of the image engine.
    #[error(transparent)]
    Image(#[from] rave_image::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Utf8Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    #[expect(clippy::needless_pass_by_value, reason = "errors and texts come by value")]
    pub(crate) fn damaged(path: impl AsRef<Utf8Path>, detail: impl ToString) -> Self {
        Self::Damaged { path: path.as_ref().to_owned(), detail: detail.to_string() }
    }

    /// What to do about it, if anything is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some(format!(
                    "free some space on the file system of {path}, then run the same command again: it resumes where it stopped"
                ))
            }
            Self::Key { remedy, .. } => Some((*remedy).to_owned()),
            Self::Occupied { .. } => Some("choose another folder with --out, or move this one away".into()),
            Self::Payload { .. } => {
                Some("`cargo xtask image --base nixos --rebuild` where nix has the packages of nixpkgs".into())
            }
            Self::NotReproducible { .. } => {
                Some("`cargo xtask image --check-reproducible` shows where two builds differ".into())
            }
            Self::SmokeFailed { .. } => Some(
                "look at the report of `cargo xtask smoke --report DIR`, then run the same command again"
                    .into(),
            ),
            Self::DeniedLicences { .. } => {
                Some("leave the package out, or change release.denied_licences in rave.toml".into())
            }
            Self::Leaks { .. } => Some(
                "remove it from the build; if it is an example in a package, add it to crates/release/src/leak/allowed.txt with the reason"
                    .into(),
            ),
            Self::Damaged { .. } => Some("put the original file back".into()),
            Self::Unverified { .. } => {
                Some("fetch or cut the release again; get the key through a different channel, and pass it with --key FILE".into())
            }
            Self::OtherPart { .. } => Some(
                "build the part and sign it from the same commit, with the same version and settings".into(),
            ),
            Self::OtherContent { .. } => {
                Some("release it under a new version: a version that is published stays what it is".into())
            }
            Self::NotATree { .. } => Some("move it away, or choose another folder with --to".into()),
            Self::OtherBase { version, .. } => {
                Some(format!("give an artifact of {version} with --base, or download the new one"))
            }
            Self::NoConversion { .. } => {
                Some("leave --format out, which makes the raw disk, or download that format".into())
            }
            Self::NoSpace { .. } => Some("free some space, then run the same command again".into()),
            Self::Image(error) => error.remedy(),
            // Its stages are kept: the same command would end here again.
            Self::SelfCheck { work, .. } => {
                Some(format!("remove {work}, then run the same command again: it starts over"))
            }
            Self::Io { .. }
            | Self::Statement { .. }
            | Self::Sign { .. }
            | Self::Interrupted => None,
        }
    }
}

/// How many findings are named.
const SHOWN: usize = 20;

fn found(findings: &[crate::leak::finding::Finding]) -> String {
    let mut names: Vec<String> = findings.iter().take(SHOWN).map(ToString::to_string).collect();
    if findings.len() > SHOWN {
        names.push(format!("{} more", findings.len() - SHOWN));
    }
    names.join("; ")
}

/// Attaches the action and the file to an input/output error.
pub(crate) trait IoContext<T> {
    /// Turns the error into [`Error::Io`].
    fn at(self, action: &'static str, path: impl AsRef<Utf8Path>) -> Result<T, Error>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: impl AsRef<Utf8Path>) -> Result<T, Error> {
        self.map_err(|source| Error::io(action, path, source))
    }
}
