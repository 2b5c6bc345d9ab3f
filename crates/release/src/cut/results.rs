//! The results of the stages before the statements.

use rave_smoke::report::Report;

use super::inputs::Packed;
use super::leaks::Searched;
use crate::manifest::ProfileRelease;

/// The results of all profiles.
pub(super) struct Results {
    pub(super) profiles: Vec<ProfileResult>,
    /// None if the release has no archive of inputs.
    pub(super) inputs: Option<Packed>,
}

/// The result of a profile.
pub(super) struct ProfileResult {
    /// The release's files, including bills.
    pub(super) release: ProfileRelease,
    pub(super) report: Report,
    pub(super) searched: Searched,
}
