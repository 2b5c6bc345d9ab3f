//! What the stages before the statements give.

use rave_smoke::report::Report;

use super::inputs::Packed;
use super::leaks::Searched;
use crate::manifest::ProfileRelease;

/// Of all profiles.
pub(super) struct Results {
    pub(super) profiles: Vec<ProfileResult>,
    /// None where the release has no archive of inputs.
    pub(super) inputs: Option<Packed>,
}

/// Of a profile.
pub(super) struct ProfileResult {
    /// With its bills.
    pub(super) release: ProfileRelease,
    pub(super) report: Report,
    pub(super) searched: Searched,
}
