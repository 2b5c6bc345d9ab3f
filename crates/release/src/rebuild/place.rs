//! The first differing file inside two images.

use std::collections::BTreeMap;

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_image::inside::{self, Visited};

use crate::error::Error;

/// The first file, by path, that differs between two artifacts. None if all are the same, or if one has no disk.
pub fn first_file(a: &Utf8Path, b: &Utf8Path) -> Result<Option<String>, Error> {
    let (Some(ours), Some(theirs)) = (files(a)?, files(b)?) else { return Ok(None) };
    let missing = theirs.keys().filter(|path| !ours.contains_key(*path));
    let differing = ours.iter().filter(|(path, digest)| theirs.get(*path) != Some(digest));
    Ok(differing.map(|(path, _)| path).chain(missing).min().cloned())
}

fn files(artifact: &Utf8Path) -> Result<Option<BTreeMap<String, Digest>>, Error> {
    let opened = inside::open(artifact)?;
    let Some(disk) = &opened.disk else { return Ok(None) };
    let mut found = BTreeMap::new();
    inside::files(disk, &mut |path, entry| {
        let digest = match entry {
            Visited::File { content, .. } => Digest::of_reader(content)?,
            Visited::Link { target } => Digest::of_bytes(target),
            Visited::Other => return Ok(()),
        };
        found.insert(format!("/{path}"), digest);
        Ok(())
    })?;
    Ok(Some(found))
}
