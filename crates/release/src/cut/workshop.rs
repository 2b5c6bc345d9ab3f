//! The interface to the engines, which this crate does not depend on.

use camino::Utf8PathBuf;
use rave_image::inputs::Input;
use rave_smoke::report::Report;
use serde::{Deserialize, Serialize};

use super::plan::ProfilePlan;
use crate::error::Error;
use crate::leak::BuilderNames;
use crate::sbom::Inventory;

/// The work of the engines for a release: commands implement it with the real ones, tests with smaller ones.
pub trait Workshop {
    /// Their error.
    type Error: From<Error>;

    /// Builds the formats of a profile.
    fn build(&self, profile: &ProfilePlan) -> Result<Built, Self::Error>;

    /// Builds them a second time in another place, and fails if a byte differs.
    fn rebuild(&self, profile: &ProfilePlan) -> Result<(), Self::Error>;

    /// Boots each artifact and checks it.
    fn smoke(&self, profile: &ProfilePlan) -> Result<Report, Self::Error>;

    /// The builder's names, for the leak gate.
    fn builder(&self, profile: &ProfilePlan, built: &Built) -> BuilderNames;

    /// The contents of the guest; `name` is the release's name without an extension.
    fn inventory(&self, profile: &ProfilePlan, built: &Built, name: &str) -> Result<Inventory, Self::Error>;

    /// All downloads of these builds, sorted by path.
    fn inputs(&self, built: &[&Built]) -> Result<Vec<Input>, Self::Error>;

    /// Seconds since 1970.
    fn now(&self) -> i64;
}

/// The build of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its manifest.
    pub manifest: rave_image::Manifest,
    /// Where its files are.
    pub out_dir: Utf8PathBuf,
}
