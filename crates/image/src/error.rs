//! Errors of building images.

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::network;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A host program failed; contains its command and the last lines that it printed.
    #[error("{stage}: {source}")]
    Command {
        /// The stage that ran it.
        stage: &'static str,
        /// What happened.
        #[source]
        source: rave_process::Error,
        /// What limits its files, if one became too large.
        by: Option<Limit>,
    },
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
        /// What limits the file, if it became too large.
        by: Option<Limit>,
    },
    /// Not enough space, found before or while writing.
    #[error("not enough space in {path}: need {needed_mib} MiB, {free_mib} MiB free")]
    NoSpace {
        /// The folder on the full file system.
        path: Utf8PathBuf,
        /// Needed, in MiB.
        needed_mib: u64,
        /// Free, in MiB.
        free_mib: u64,
    },
    /// A file would exceed a limit, found before or while writing.
    #[error("{path} is too large{by}: it needs {needed_mib} MiB")]
    TooLarge {
        /// The file.
        path: Utf8PathBuf,
        /// Its size, MiB.
        needed_mib: u64,
        /// What limits it.
        by: Limit,
    },
    /// The request is only supported on the Debian base.
    #[error("the {base} base does not support this: only the debian base does")]
    NotOnBase {
        /// The requested base.
        base: rave_spec::Base,
    },
    /// A manifest or a cached file is damaged.
    #[error("{path} is damaged: {detail}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An artifact differs from its manifest.
    #[error("{path} is not what its manifest describes: {detail}")]
    ArtifactDiffers {
        /// The artifact.
        path: Utf8PathBuf,
        /// Both values.
        detail: String,
    },
    /// Nothing was built here.
    #[error("no image in {out_dir}: {detail}")]
    NotBuilt {
        /// The folder.
        out_dir: Utf8PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The input of a stage is not usable.
    #[error("{what}: {detail}")]
    Input {
        /// Which input.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The checkout has no lock.
    #[error("{path} is missing")]
    NoLock {
        /// Where it should be.
        path: Utf8PathBuf,
    },
    /// The checkout's lock is invalid.
    #[error("{path}: {problem}")]
    BadLock {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, and where.
        problem: crate::bases::debian::lock::LockError,
    },
    /// Packages that are required at exact versions but are in neither the cache nor the archive.
    #[error("{}", lost(packages))]
    Unavailable {
        /// Each of them.
        packages: Vec<UnavailablePackage>,
    },
    /// The network may not be used, and these are not in the cache.
    #[error("not in the cache, and the network may not be used: {}", some(missing))]
    Offline {
        /// Names, with versions if they are known.
        missing: Vec<String>,
    },
    /// Inputs of a build that are no longer cached.
    #[error("no longer in the cache: {}", some(missing))]
    InputsGone {
        /// Names and versions.
        missing: Vec<String>,
    },
    /// An error of the NixOS base.
    #[error(transparent)]
    Nix(#[from] crate::bases::nixos::Error),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

/// What limits the size of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The file system: FAT allows 4 GiB less one byte.
    FileSystem,
    /// This process's own limit (`ulimit -f`).
    Process {
        /// The limit, in MiB.
        most_mib: u64,
    },
}

impl Limit {
    /// EFBIG is caused by the process's limit, if it has one, or by the file system's (write(2)).
    fn of_process() -> Self {
        crate::space::process_limit().map_or(Self::FileSystem, |most| Self::Process { most_mib: most >> 20 })
    }

    /// What limited a program's files; none if it failed for another reason.
    fn of_command(error: &rave_process::Error) -> Option<Self> {
        let is_killed = matches!(
            error,
            rave_process::Error::Failed { status: rave_process::Status::Signal(SIGXFSZ), .. }
        );
        let is_reported = error.tail().iter().any(|line| line.contains("File too large"));
        match Self::of_process() {
            // The signal can only come from the process's limit, whose value is unknown here.
            Self::FileSystem if is_killed => Some(Self::Process { most_mib: 0 }),
            limit => (is_killed || is_reported).then_some(limit),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::FileSystem => SPLIT,
            Self::Process { .. } => RAISE,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FileSystem => f.write_str(" for its file system"),
            Self::Process { most_mib } => write!(f, " for `ulimit -f`, which allows {most_mib} MiB"),
        }
    }
}

/// A package that is not available at the required version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnavailablePackage {
    /// Its name.
    pub name: String,
    /// The required version.
    pub locked: String,
    /// The archive's newest version; `None` if it has no package of that name.
    pub archive: Option<String>,
}

impl std::fmt::Display for UnavailablePackage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, locked, archive } = self;
        match archive {
            // The same version with different bytes.
            Some(version) if version == locked => {
                write!(f, "{name} {locked}: the archive's file of this version has another SHA-256")
            }
            Some(version) => write!(f, "{name} {locked}: the archive has {version}"),
            None => write!(f, "{name} {locked}: the archive has none"),
        }
    }
}

/// The remedy for a file that exceeds the file system's limit.
const SPLIT: &str = "choose a folder on another file system with --out and, where the file must come to this one, cut it: \
     `split -b 4095M FILE FOLDER/FILE.` (`cat FILE.* >FILE` joins it again); or choose a smaller format, such as qemu";

/// The remedy for a file that exceeds the process's limit.
const RAISE: &str = "raise the limit with `ulimit -f unlimited`, then run the same command again";

/// SIGXFSZ of signal(7): the signal that kills a process that writes beyond `ulimit -f`.
const SIGXFSZ: i32 = 25;

fn lost(packages: &[UnavailablePackage]) -> String {
    let (count, them) = match packages.len() {
        1 => ("a package".to_owned(), "it"),
        count => (format!("{count} packages"), "them"),
    };
    let first = format!("the archive no longer has {count}, and the cache has not kept {them}:");
    [first].into_iter().chain(packages.iter().map(|gone| format!("  {gone}"))).collect::<Vec<_>>().join("\n")
}

/// The first ten names, and how many more there are.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

impl Error {
    /// An input/output error with its file; a full disk becomes [`Error::NoSpace`].
    pub(crate) fn io(action: &'static str, path: impl AsRef<Utf8Path>, source: std::io::Error) -> Self {
        let is_too_large = source.kind() == std::io::ErrorKind::FileTooLarge;
        Self::Io { action, path: path.as_ref().to_owned(), source, by: is_too_large.then(Limit::of_process) }
    }

    /// What the user can do about it, if anything is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some(format!("free some space on the file system of {path}, then run the same command again"))
            }
            Self::Io { by: Some(limit), .. }
            | Self::TooLarge { by: limit, .. }
            | Self::Command { by: Some(limit), .. } => Some(limit.remedy().into()),
            Self::NoSpace { path, .. } => Some(format!(
                "free some space there, or set RAVE_CACHE (work files) or --out (artifacts) to a folder on a larger disk than that of {path}"
            )),
            Self::Command { source, .. } => {
                let tail = source.tail().join("\n");
                if tail.contains("No space left on device") {
                    Some("the disk is full: free some space, or set RAVE_CACHE and TMPDIR to a larger disk; then run the same command again".into())
                } else if network::is_untrusted(source.tail()) {
                    Some(network::UNTRUSTED_REMEDY.into())
                } else if tail.contains("ENOTCACHED") {
                    Some("run the same command once without --offline; what it fetches is kept".into())
                } else if tail.contains("Hash Sum mismatch") {
                    Some("a kept package is damaged: delete the folder `debs` of the cache (RAVE_CACHE), then run the same command again".into())
                } else if [
                    "Temporary failure resolving",
                    "Could not connect",
                    "EAI_AGAIN",
                    "ENOTFOUND",
                    "Could not resolve",
                    "Network is unreachable",
                ]
                .iter()
                .any(|sign| tail.contains(sign))
                {
                    Some("the package archive could not be reached: check the network, then run the same command again; finished stages are kept".into())
                } else {
                    None
                }
            }
            Self::NoLock { .. } | Self::BadLock { .. } => Some(
                "put it back with `git checkout debian.lock`, or make a new one with `cargo xtask update`".into(),
            ),
            Self::Unavailable { .. } => Some(
                "renew the lock with `cargo xtask update`, build without --frozen, or bring the files from a cache that has them (its folder `debs`)".into(),
            ),
            Self::Offline { .. } => Some("run the same command once without --offline; what it fetches is kept".into()),
            Self::InputsGone { .. } => {
                Some("fetch them again with `cargo fetch --locked` and `cargo xtask image --refresh`, or release with --no-inputs".into())
            }
            Self::Nix(error) => error.remedy(),
            Self::NotBuilt { .. } => Some("build it first: cargo xtask image".into()),
            Self::Damaged { .. } | Self::ArtifactDiffers { .. } => {
                Some("rebuild it with `cargo xtask image`, or put the original file back".into())
            }
            Self::Io { .. }
            | Self::NotOnBase { .. }
            | Self::Input { .. }
            | Self::Interrupted => None,
        }
    }
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

/// Attaches the stage to a failed command; an interruption stays one.
pub(crate) trait StageContext<T> {
    /// Turns the error into [`Error::Command`] or [`Error::Interrupted`].
    fn stage(self, stage: &'static str) -> Result<T, Error>;
}

impl<T> StageContext<T> for Result<T, rave_process::Error> {
    fn stage(self, stage: &'static str) -> Result<T, Error> {
        self.map_err(|source| match source {
            rave_process::Error::Interrupted { .. } => Error::Interrupted,
            source => Error::Command { stage, by: Limit::of_command(&source), source },
        })
    }
}
