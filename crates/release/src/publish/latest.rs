//! The state of the link after publishing.

use semver::Version;

/// What happened to `latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Latest {
    /// It now names this version; the previous one is given.
    Moved(Option<Version>),
    /// It already named this version.
    Already,
    /// This version is older than the one that it names.
    StaysAtNewer(Version),
    /// This version is a pre-release; it names that one, if any.
    IsPreRelease(Option<Version>),
}
