//! Compares a file with the manifest beside it. Nothing is written beside untrusted files.

use camino::Utf8Path;
use serde::Serialize;

use crate::digest::Digest;
use crate::manifest::{FILE, Manifest};

/// The comparison of a file with the manifest beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum ManifestMatch {
    /// There is no manifest.
    None,
    /// The manifest cannot be read.
    Unreadable {
        /// Why.
        detail: String,
    },
    /// The manifest does not list this file.
    NotListed,
    /// The file matches the manifest.
    Same {
        /// The base that made it.
        base: String,
        /// The profile.
        profile: String,
        /// The format.
        format: String,
        /// Its SHA-256.
        sha256: Digest,
    },
    /// The file differs from the manifest.
    Differs {
        /// Both values.
        detail: String,
    },
}

/// Compares them; also returns the expected content digest of the file.
pub(super) fn compare(path: &Utf8Path, size: u64) -> (ManifestMatch, Option<Digest>) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return (ManifestMatch::None, None);
    };
    if !folder.join(FILE).exists() {
        return (ManifestMatch::None, None);
    }
    match Manifest::read(folder) {
        Ok(manifest) => {
            let content = manifest.origin.debian().map(|origin| origin.content);
            let found = compare_with(manifest, path, name, size);
            let listed = found != ManifestMatch::NotListed;
            (found, content.filter(|_| listed))
        }
        Err(error) => (ManifestMatch::Unreadable { detail: error.to_string() }, None),
    }
}

fn compare_with(manifest: Manifest, path: &Utf8Path, name: &str, size: u64) -> ManifestMatch {
    let files = manifest
        .artifacts
        .iter()
        .flat_map(|artifact| artifact.files.iter().map(move |file| (artifact.format, file)));
    let Some((format, file)) = files.into_iter().find(|(_, file)| file.name == name) else {
        return ManifestMatch::NotListed;
    };
    if file.size != size {
        return ManifestMatch::Differs {
            detail: format!("it has {size} bytes, the manifest says {}", file.size),
        };
    }
    match Digest::of_file(path) {
        Ok(found) if found == file.sha256 => ManifestMatch::Same {
            base: manifest.base().to_string(),
            profile: manifest.profile,
            format: format.to_string(),
            sha256: found,
        },
        Ok(found) => ManifestMatch::Differs {
            detail: format!("its SHA-256 is {found}, the manifest says {}", file.sha256),
        },
        Err(error) => ManifestMatch::Differs { detail: format!("it cannot be read: {error}") },
    }
}
