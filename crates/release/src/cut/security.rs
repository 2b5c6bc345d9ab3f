//! The packages with security fixes since an earlier release, according to the changelogs in its guests.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use camino::Utf8Path;
use flate2::read::MultiGzDecoder;
use rave_image::bases::debian::version;
use rave_image::inside::{self, Visited};
use rave_image::tempdir::{self, LockedTempDir};
use rave_process::progress::{Event, Sink};

use super::disks::ReleasedDisk;
use crate::changelog::{Fixes, fixes_since};
use crate::error::{Error, IoContext as _};
use crate::manifest::Manifest;
use crate::notes::{FixesByProfile, Previous};

/// The folder of packages' changelogs (Debian policy 12.7).
const DOCS: &str = "usr/share/doc/";

/// Bytes of a changelog that are read, unpacked: the newest entries come first.
const LIMIT: u64 = 4 << 20;

/// The prefix of Debian's package URLs in [`crate::sbom::diff::Packages`].
const DEBIAN: &str = "deb/debian/";

/// The security fixes, by profile and package. An image without any changelog is reported.
pub(super) fn fixes(
    manifest: &Manifest,
    folder: &Utf8Path,
    previous: &Previous,
    sink: Sink<'_>,
) -> Result<FixesByProfile, Error> {
    let mut all = FixesByProfile::new();
    // A changelog has the versions of the source package, which may differ from those of its packages.
    let sources = previous.source_versions();
    for profile in &manifest.profiles {
        let Some(difference) = previous.changes(profile, folder)? else { continue };
        // The oldest version of each: all later fixes count.
        let changed = difference.changed.iter().filter_map(|(name, [before, _])| {
            let name = name.strip_prefix(DEBIAN)?;
            let own = || before.iter().min_by(|a, b| version::compare(a, b));
            Some((name.to_owned(), sources.get(name).or_else(own)?.clone()))
        });
        let changed: BTreeMap<String, String> = changed.collect();
        if changed.is_empty() {
            continue;
        }
        let place = tempdir::place();
        let scratch = LockedTempDir::new(&place, "rave-notes-").at("create a folder in", &place)?;
        let released = ReleasedDisk::open(folder, profile, scratch.path())?;
        let found = in_disk(released.disk()?, &changed)?;
        let unread = changed.len() - found.len();
        if unread > 0 {
            let text = format!(
                "security fixes of {}: {unread} of {} changed packages have no changelog in the image",
                profile.profile,
                changed.len()
            );
            sink(Event::Note { text: &text });
        }
        let found = found.into_iter().filter(|(_, fixes)| !fixes.is_empty());
        all.insert(
            profile.profile.clone(),
            found.map(|(name, fixes)| (format!("{DEBIAN}{name}"), fixes)).collect(),
        );
    }
    Ok(all)
}

/// The fixes of each package with a changelog on the disk.
fn in_disk(disk: &Utf8Path, changed: &BTreeMap<String, String>) -> Result<BTreeMap<String, Fixes>, Error> {
    // A package may share the documentation folder of another one.
    let mut folders: BTreeMap<String, BTreeSet<&str>> =
        changed.keys().map(|name| (name.clone(), BTreeSet::from([name.as_str()]))).collect();
    inside::files(disk, &mut |path, entry| {
        if let (Some(name), Visited::Link { target }) = (path.strip_prefix(DOCS), entry)
            && let Some((name, _)) = changed.get_key_value(name)
            && let Ok(target) = std::str::from_utf8(target)
        {
            folders.entry(target.trim_end_matches('/').to_owned()).or_default().insert(name.as_str());
        }
        Ok(())
    })?;
    let mut found = BTreeMap::new();
    inside::files(disk, &mut |path, entry| {
        let Some((folder, "changelog.Debian.gz" | "changelog.gz")) =
            path.strip_prefix(DOCS).and_then(|path| path.split_once('/'))
        else {
            return Ok(());
        };
        let (Some(names), Visited::File { content, .. }) = (folders.get(folder), entry) else {
            return Ok(());
        };
        let mut text = Vec::new();
        // The rest cannot be unpacked; what was read so far counts.
        let _ = MultiGzDecoder::new(content).take(LIMIT).read_to_end(&mut text);
        let text = String::from_utf8_lossy(&text);
        for name in names {
            let fixes: &mut Fixes = found.entry((*name).to_owned()).or_default();
            let more = fixes_since(&text, &changed[*name]);
            fixes.is_security_upload |= more.is_security_upload;
            fixes.cves.extend(more.cves);
        }
        Ok(())
    })?;
    Ok(found)
}
