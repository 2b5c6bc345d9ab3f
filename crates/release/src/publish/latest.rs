//! What became of the link.

use semver::Version;

/// What became of `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latest {
    /// It names this version now; before it named that one.
    Moved(Option<Version>),
    /// It named this version already.
    Already,
    /// This version is older than the one that it names.
    StaysAtNewer(Version),
    /// This version is a pre-release; it names that one, if any.
    IsPreRelease(Option<Version>),
}
