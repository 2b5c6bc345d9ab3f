//! Patches from an earlier release, one for each profile that both have.

use std::fs::{self, File};

use camino::Utf8Path;
use rave_image::tempdir::{self, LockedTempDir};
use rave_process::progress::{Event, Sink};

use super::disks::ReleasedDisk;
use super::plan::Plan;
use crate::error::{Error, IoContext as _};
use crate::manifest::Manifest;
use crate::names;
use crate::notes::PatchRow;
use crate::patch::{self, DiskOf, Header};
use crate::relative_path::RelativePath;

/// Removes patches of an interrupted run, which may be from another release.
pub(super) fn remove(folder: &Utf8Path) -> Result<(), Error> {
    for entry in folder.read_dir_utf8().at("list", folder)? {
        let path = entry.at("list", folder)?.into_path();
        if path.as_str().ends_with(names::PATCH_ENDING) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Writes a patch for each profile that the earlier release also has.
pub(super) fn patches(
    plan: &Plan,
    manifest: &Manifest,
    folder: &Utf8Path,
    earlier: &Utf8Path,
    sink: Sink<'_>,
) -> Result<Vec<PatchRow>, Error> {
    let before = Manifest::read(earlier)?;
    let mut rows = Vec::new();
    for profile in &manifest.profiles {
        let Some(old) = before.profiles.iter().find(|old| old.profile == profile.profile) else {
            let text =
                format!("no patch for {}: {} of {earlier} does not have it", profile.profile, before.version);
            sink(Event::Note { text: &text });
            continue;
        };
        let scratch = scratch()?;
        let base = ReleasedDisk::open(earlier, old, &scratch.path().join("base"))?;
        let target = ReleasedDisk::open(folder, profile, &scratch.path().join("target"))?;
        let conversions = patch::proven(profile, folder, target.disk()?, scratch.path(), sink)?;
        let stem = names::stem(&plan.version, &profile.profile, &profile.arch);
        let named = |text: String| text.parse::<RelativePath>().map_err(|why| Error::damaged(folder, why));
        let name = names::patch(&stem, &before.version).map_err(|why| Error::damaged(folder, why))?;
        let of = |side: &ReleasedDisk, version| {
            let disk = side.disk()?;
            let size = fs::metadata(disk).at("read", disk)?.len();
            Ok::<_, Error>(DiskOf { version, size, sha256: side.sha256()? })
        };
        let disks = (of(&base, before.version.clone())?, of(&target, plan.version.clone())?);
        let header =
            Header::new((profile.profile.clone(), named(format!("{stem}.img"))?), disks, conversions);
        header.check().map_err(|why| Error::damaged(target.artifact.as_str(), why))?;
        let open = |side: &ReleasedDisk| File::open(side.disk()?).at("open", side.disk()?);
        let made = patch::make(&header, (&open(&base)?, &open(&target)?), &folder.join(name.as_str()))?;
        if made.size > plan.part_limit {
            // It would have to be split, and its size means that hardly anything stayed the same.
            fs::remove_file(folder.join(name.as_str())).at("remove", folder.join(name.as_str()))?;
            let text = format!("no patch for {}: it would have {} MiB", profile.profile, made.size >> 20);
            sink(Event::Warning { text: &text });
            continue;
        }
        let (profile, from) = (profile.profile.clone(), before.version.clone());
        let download = target.download;
        rows.push(PatchRow { profile, from, name, size: made.size, download });
    }
    Ok(rows)
}

fn scratch() -> Result<LockedTempDir, Error> {
    let place = tempdir::place();
    LockedTempDir::new(&place, "rave-patch-").at("create a folder in", &place)
}

/// Removes a file, if it exists.
pub(super) fn remove_file(path: &Utf8Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}
