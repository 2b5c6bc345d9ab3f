//! Reads an untrusted archive: everything that deviates from the written form is refused before it is used.

use std::io::Read;

use rave_image::digest::{Digest, Hasher};

use super::index::{Entry, INDEX, Index, LIMIT};

/// Reads the archive; `take` gets each member's bytes, which must not be trusted until the whole archive was read.
/// Every member must match the index, and there must be no others.
pub fn read(
    from: &mut dyn Read,
    take: &mut dyn FnMut(&Entry, &mut dyn Read) -> std::io::Result<()>,
) -> Result<Index, String> {
    let mut archive = tar::Archive::new(from);
    // Raw entries: no member may change the meaning of the next one.
    let mut members = archive.entries().map_err(|error| error.to_string())?.raw(true);
    let index = match members.next() {
        Some(member) => index(member.map_err(|error| format!("no tar archive: {error}"))?)?,
        None => return Err("it is empty".into()),
    };
    for entry in &index.inputs {
        let mut member = match members.next() {
            Some(member) => member.map_err(|error| format!("before {}: {error}", entry.path))?,
            None => return Err(format!("{} is missing", entry.path)),
        };
        let path = plain_path(&member)?;
        if path != entry.path.as_str() {
            return Err(format!("{path:?} is where {} should be", entry.path));
        }
        if member.size() != entry.size {
            return Err(format!("{path} has {} bytes, the index says {}", member.size(), entry.size));
        }
        let mut hashed = Hashed { from: &mut member, hasher: Hasher::default() };
        take(entry, &mut hashed).map_err(|error| format!("{path}: {error}"))?;
        // Bytes that were not read by `take` are hashed too.
        let mut rest = [0; 8192];
        while hashed.read(&mut rest).map_err(|error| format!("{path}: {error}"))? > 0 {}
        let sha256: Digest = hashed.hasher.finish();
        if sha256 != entry.sha256 {
            return Err(format!("{path} does not have the SHA-256 in the index"));
        }
    }
    match members.next() {
        None => Ok(index),
        Some(Ok(member)) => Err(format!("{:?} is not in the index", plain_path(&member)?)),
        Some(Err(error)) => Err(format!("behind the last member: {error}")),
    }
}

/// Reads only the index.
pub fn read_index(from: &mut dyn Read) -> Result<Index, String> {
    let mut archive = tar::Archive::new(from);
    let mut members = archive.entries().map_err(|error| error.to_string())?.raw(true);
    let member = members.next().ok_or("it is empty")?;
    index(member.map_err(|error| format!("no tar archive: {error}"))?)
}

fn index(member: tar::Entry<'_, &mut dyn Read>) -> Result<Index, String> {
    let path = plain_path(&member)?;
    if path != INDEX {
        return Err(format!("it begins with {path:?}, not with {INDEX}"));
    }
    if member.size() > LIMIT {
        return Err(format!("{INDEX} has {} bytes, at most {LIMIT} are allowed", member.size()));
    }
    let mut bytes = Vec::new();
    member.take(LIMIT).read_to_end(&mut bytes).map_err(|error| format!("{INDEX}: {error}"))?;
    Index::parse(&bytes).map_err(|why| format!("{INDEX}: {why}"))
}

/// The path of a regular file. Links, folders and extension headers are refused.
fn plain_path(member: &tar::Entry<'_, &mut dyn Read>) -> Result<String, String> {
    let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
    if member.header().entry_type() != tar::EntryType::Regular {
        return Err(format!("{path:?} is not a regular file"));
    }
    Ok(path)
}

struct Hashed<'a> {
    from: &'a mut dyn Read,
    hasher: Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
