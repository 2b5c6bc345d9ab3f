//! Bills of materials and checksums as files of the release.

use std::fs;

use camino::Utf8Path;
use rave_image::digest::Digest;

use crate::error::{Error, IoContext as _};
use crate::manifest::{Bill, Manifest};
use crate::names;
use crate::parts::write_whole;
use crate::sbom::{Inventory, cyclonedx, spdx};
use crate::sums::{self, Sums};

/// Writes an inventory in both standards.
pub(super) fn write_bills(inventory: &Inventory, stem: &str, folder: &Utf8Path) -> Result<Vec<Bill>, Error> {
    let texts = [
        (cyclonedx::KIND, cyclonedx::ENDING, cyclonedx::render(inventory)),
        (spdx::KIND, spdx::ENDING, spdx::render(inventory)),
    ];
    let write = |(kind, ending, text): (&str, &str, String)| {
        let name = format!("{}/{stem}{ending}", names::BILLS);
        let name: crate::RelativePath =
            name.parse().map_err(|why: String| Error::damaged(name.as_str(), why))?;
        write_whole(&folder.join(name.as_str()), text.as_bytes())?;
        let sha256 = Digest::of_bytes(text.as_bytes());
        Ok(Bill { kind: kind.into(), name, size: text.len() as u64, sha256 })
    };
    texts.into_iter().map(write).collect()
}

/// Writes `SHA256SUMS` of every file in the folder, and `SHA256SUMS.joined` of the files that are split into parts.
pub(super) fn checksums(folder: &Utf8Path) -> Result<(), Error> {
    let path = folder.join(names::MANIFEST);
    let bytes = fs::read(&path).at("read", &path)?;
    let manifest = Manifest::parse(&bytes).map_err(|why| Error::damaged(&path, why))?;
    let cut = manifest.files().filter(|file| !file.parts.is_empty());
    let joined = Sums(cut.map(|file| (file.name.clone(), file.sha256)).collect());
    if !joined.0.is_empty() {
        write_whole(&folder.join(sums::JOINED), joined.render().as_bytes())?;
    }
    // The digests of artifacts and bills are known since they were written.
    let mut list = Sums::default();
    for file in manifest.files() {
        if file.parts.is_empty() {
            list.0.insert(file.name.clone(), file.sha256);
        }
        list.0.extend(file.parts.iter().map(|part| (part.name.clone(), part.sha256)));
    }
    list.0.extend(manifest.bills().map(|bill| (bill.name.clone(), bill.sha256)));
    let foreign = crate::folder::Folder::open(folder).at("open", folder)?;
    for entry in foreign.entries().at("list", folder)? {
        match entry.kind {
            crate::folder::EntryKind::File { path, .. } => {
                let own = [sums::FILE, sums::SIGNATURE].contains(&path.as_str());
                if !own && !list.0.contains_key(&path) {
                    let file = folder.join(path.as_str());
                    list.0.insert(path, Digest::of_file(&file).at("read", &file)?);
                }
            }
            crate::folder::EntryKind::Other(what) => {
                return Err(Error::damaged(folder.join(&entry.path), format!("it is {what}")));
            }
        }
    }
    write_whole(&folder.join(sums::FILE), list.render().as_bytes())
}
