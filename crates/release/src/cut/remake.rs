//! Recreates the parts of a release that depend only on its builds: artifacts, bills, the archive of inputs, the
//! manifest.

use camino::Utf8Path;
use rave_image::inputs::Input;

use super::plan::Plan;
use super::workshop::Built;
use super::{inputs, pack, seal};
use crate::error::Error;
use crate::manifest::{Manifest, ProfileRelease};
use crate::names;
use crate::parts::write_whole;
use crate::sbom::Inventory;

/// The rebuild of a profile, in the order of the plan's profiles.
#[derive(Debug)]
pub struct Remade {
    /// The build.
    pub built: Built,
    /// The contents of its guest.
    pub inventory: Inventory,
}

/// Writes it into a folder with the code that also writes a release.
pub fn remake(
    plan: &Plan,
    builds: &[Remade],
    inputs: &[Input],
    folder: &Utf8Path,
) -> Result<Manifest, Error> {
    let mut profiles = Vec::new();
    for (profile, Remade { built, inventory }) in plan.profiles.iter().zip(builds) {
        let bills = seal::write_bills(inventory, &plan.stem(profile), folder)?;
        profiles.push(ProfileRelease { bills, ..pack::pack(plan, profile, built, folder)? });
    }
    let archive = if plan.inputs { Some(inputs::pack(plan, inputs, folder)?.file) } else { None };
    let manifest = plan.manifest(profiles, archive);
    write_whole(&folder.join(names::MANIFEST), manifest.to_json().as_bytes())?;
    Ok(manifest)
}
