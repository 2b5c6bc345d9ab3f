//! What a release asks of the engines, which it does not know.

use camino::Utf8PathBuf;
use rave_image::inputs::Input;
use rave_smoke::report::Report;
use serde::{Deserialize, Serialize};

use super::plan::ProfilePlan;
use crate::error::Error;
use crate::leak::BuilderNames;
use crate::sbom::Inventory;

/// What the engines do for a release: commands give it theirs, tests smaller ones.
pub trait Workshop {
    /// How they fail.
    type Error: From<Error>;

    /// Builds the formats of a profile.
    fn build(&self, profile: &ProfilePlan) -> Result<Built, Self::Error>;

    /// Builds them a second time in another place, and fails where a byte differs.
    fn build_again(&self, profile: &ProfilePlan) -> Result<(), Self::Error>;

    /// Boots each artifact and checks it.
    fn smoke(&self, profile: &ProfilePlan) -> Result<Report, Self::Error>;

    /// What the builder is called, for the leak gate.
    fn builder(&self, profile: &ProfilePlan, built: &Built) -> BuilderNames;

    /// What is in the guest; `name` is the release's without ending.
    fn inventory(&self, profile: &ProfilePlan, built: &Built, name: &str) -> Result<Inventory, Self::Error>;

    /// All that these builds took from the network, sorted by path.
    fn inputs(&self, built: &[&Built]) -> Result<Vec<Input>, Self::Error>;

    /// Seconds since 1970.
    fn now(&self) -> i64;
}

/// What was built of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its manifest.
    pub manifest: rave_image::Manifest,
    /// Where its files are.
    pub out_dir: Utf8PathBuf,
}
