//! An earlier release, which the notes compare with.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use rave_smoke::report::{Boot, Report};
use rave_spec::Format;
use semver::Version;

use crate::cut::REPORT_LIMIT;
use crate::error::Error;
use crate::inputs::sources;
use crate::manifest::{Bill, Manifest, ProfileRelease};
use crate::relative_path::RelativePath;
use crate::sbom::cyclonedx;
use crate::sbom::diff::{self, BillDifference};
use crate::{folder, names};

/// Maximum size of the list of sources, bytes.
const SOURCES_LIMIT: u64 = 16 << 20;

/// An earlier release.
#[derive(Debug)]
pub struct Previous {
    manifest: Manifest,
    folder: Utf8PathBuf,
    /// Seconds until each row was ready, by profile and row.
    ready: BTreeMap<(String, String), f64>,
}

impl Previous {
    /// Reads its manifest, and its reports if they exist. It is not verified: it is the releaser's own.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let manifest = Manifest::read(folder)?;
        let mut ready = BTreeMap::new();
        for profile in &manifest.profiles {
            let report = folder::read(folder, &names::report(&profile.profile), REPORT_LIMIT).ok();
            let report = report.and_then(|bytes| serde_json::from_slice::<Report>(&bytes).ok());
            for run in report.into_iter().flat_map(|report| report.runs) {
                if let Boot::Ready(times) = &run.boot {
                    ready.insert((profile.profile.clone(), run.subject.row.clone()), times.ready);
                }
            }
        }
        Ok(Self { manifest, folder: folder.to_owned(), ready })
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// The changes of a profile's packages since then. None if it did not have the profile.
    pub fn changes(
        &self,
        profile: &ProfileRelease,
        folder: &Utf8Path,
    ) -> Result<Option<BillDifference>, Error> {
        let old = self.manifest.profiles.iter().find(|old| old.profile == profile.profile);
        let bill = |bills: &[Bill], folder: &Utf8Path| {
            let bill = bills.iter().find(|bill| bill.kind == cyclonedx::KIND)?;
            Some((folder.to_owned(), bill.name.clone()))
        };
        let new = bill(&profile.bills, folder);
        let old = old.and_then(|old| bill(&old.bills, &self.folder));
        let (Some(new), Some(old)) = (new, old) else { return Ok(None) };
        let read = |(folder, name): &(Utf8PathBuf, RelativePath)| {
            let bytes = folder::read(folder, name.as_str(), diff::LIMIT)?;
            diff::packages(&bytes).map_err(|why| Error::damaged(folder.join(name.as_str()), why))
        };
        Ok(Some(diff::compare(&read(&old)?, &read(&new)?)))
    }

    /// The version of each Debian package's source; empty if the release has no list of them.
    pub(crate) fn source_versions(&self) -> BTreeMap<String, String> {
        let bytes = folder::read(&self.folder, names::SOURCES, SOURCES_LIMIT).unwrap_or_default();
        sources::versions(&String::from_utf8_lossy(&bytes))
    }

    /// Size of an artifact's file, bytes.
    pub(super) fn size(&self, profile: &str, format: Format, number: usize) -> Option<u64> {
        let profile = self.manifest.profiles.iter().find(|old| old.profile == profile)?;
        let artifact = profile.artifacts.iter().find(|artifact| artifact.format == format)?;
        Some(artifact.files.get(number)?.size)
    }

    /// Seconds until a row was ready.
    pub(super) fn ready(&self, profile: &str, row: &str) -> Option<f64> {
        self.ready.get(&(profile.to_owned(), row.to_owned())).copied()
    }
}
