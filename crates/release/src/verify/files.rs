//! The files themselves: which exist, and whether each is the signed one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rave_image::digest::{Digest, Hasher};

use super::roles::{Expected, PATCH_LIMIT, Size, expected};
use super::{Check, FileRow, Found, Role, file_name, read_error};
use crate::folder;
use crate::manifest::{Manifest, ReleaseFile};
use crate::relative_path::RelativePath;
use crate::sums::{self, Sums};

/// SHA-256 by path.
type Digests = BTreeMap<RelativePath, Digest>;

impl Check<'_> {
    /// Compares the folder with its list, and hashes the files.
    pub(super) fn files(&mut self, found: &Found, sums: &Sums, manifest: Option<&Manifest>) -> Vec<FileRow> {
        let joined = joined(found, sums, manifest);
        let mut list: Digests = sums.0.clone();
        // After joining the parts, whole files exist instead of them or beside them.
        let mut replaced = BTreeSet::new();
        for file in &joined {
            list.insert(file.name.clone(), file.sha256);
            let is_missing = |name: &&RelativePath| !found.contains_key(*name);
            replaced.extend(file.parts.iter().map(|part| &part.name).filter(is_missing).cloned());
        }
        let own = [file_name(sums::FILE), file_name(sums::SIGNATURE)];
        for path in found.keys().filter(|path| !list.contains_key(path) && !own.contains(path)) {
            self.problems.add(path.as_str(), "it is not in SHA256SUMS");
        }
        let sizes = list.keys().filter_map(|path| found.get(path));
        let total = sizes.fold(0_u64, |sum, size| sum.saturating_add(*size));
        let mut done = 0;
        let mut rows = Vec::new();
        let joined_files = match JoinedFiles::new(manifest) {
            Ok(joined_files) => joined_files,
            Err(error) => {
                self.problems.add(self.request.folder.as_str(), format!("no thread can be started: {error}"));
                return rows;
            }
        };
        for (path, digest) in &list {
            if replaced.contains(path) {
                continue;
            }
            let wanted = expected(path, manifest);
            let size = found.get(path).copied();
            let result =
                self.file(path, size, *digest, &wanted, manifest.is_some(), &joined_files, &mut |read| {
                    done += read;
                    self.progress(done, total);
                });
            if let Err(why) = result {
                self.problems.add(path.as_str(), why);
            }
            let holds = !self.problems.has(path.as_str());
            rows.push(FileRow { path: path.to_string(), role: wanted.role, size, holds });
        }
        for file in joined_files.wrong() {
            // A wrong part has its own line.
            if !file.parts.iter().any(|part| self.problems.has(part.name.as_str())) {
                self.problems.add(file.name.as_str(), "its parts do not join to the SHA-256 in the manifest");
            }
        }
        self.described(manifest, &list);
        self.joined_list(sums, manifest);
        rows
    }

    #[expect(clippy::too_many_arguments, reason = "one file with all that is known of it")]
    fn file(
        &self,
        path: &RelativePath,
        size: Option<u64>,
        digest: Digest,
        expected: &Expected,
        is_described: bool,
        joined_files: &JoinedFiles<'_>,
        read: &mut dyn FnMut(u64),
    ) -> Result<(), String> {
        let size = size.ok_or("it is missing")?;
        if is_described && expected.role == Role::Unknown {
            return Err("it is not in the manifest".into());
        }
        if expected.sha256.is_some_and(|sha256| sha256 != digest) {
            return Err("its SHA-256 in SHA256SUMS is not the one in the manifest".into());
        }
        // Before its bytes are read: a huge sparse file costs nothing to create.
        match expected.size {
            Size::Exactly(wanted) if size != wanted => {
                return Err(format!("it has {size} bytes, the manifest says {wanted}"));
            }
            Size::AtMost(limit) if is_described && size > limit => {
                return Err(format!("it has {size} bytes, at most {limit} are allowed"));
            }
            // Without a manifest no size is known: nothing but artifacts is larger, and those are in the manifest.
            _ if !is_described && size > PATCH_LIMIT => {
                return Err(format!("it has {size} bytes, at most {PATCH_LIMIT} are allowed"));
            }
            _ => {}
        }
        let file = self.folder.file(path).map_err(|error| read_error(&error))?;
        let mut hasher = Hasher::default();
        let whole = joined_files.of_part(path);
        folder::bytes_of(&file, size, &mut |bytes| {
            if let Some(whole) = whole {
                joined_files.update(whole, bytes);
            }
            hasher.update(bytes);
            read(bytes.len() as u64);
        })
        .map_err(|error| read_error(&error))?;
        if hasher.finish() == digest {
            Ok(())
        } else {
            Err("its SHA-256 is not the one in SHA256SUMS".into())
        }
    }

    /// Every file in the manifest must be listed, as parts or as a whole.
    fn described(&mut self, manifest: Option<&Manifest>, list: &Digests) {
        let Some(manifest) = manifest else { return };
        for file in manifest.files() {
            let names: Vec<&RelativePath> = if file.parts.is_empty() {
                vec![&file.name]
            } else {
                file.parts.iter().map(|part| &part.name).collect()
            };
            for name in names.into_iter().filter(|name| !list.contains_key(name)) {
                self.problems.add(name.as_str(), "it is in the manifest, but not in SHA256SUMS");
            }
        }
        for bill in manifest.bills().filter(|bill| !list.contains_key(&bill.name)) {
            self.problems.add(bill.name.as_str(), "it is in the manifest, but not in SHA256SUMS");
        }
    }

    /// `SHA256SUMS.joined` must list exactly the whole files of split ones.
    fn joined_list(&mut self, sums: &Sums, manifest: Option<&Manifest>) {
        let Some(manifest) = manifest else { return };
        let cut = manifest.files().filter(|file| !file.parts.is_empty());
        let wanted = Sums(cut.map(|file| (file.name.clone(), file.sha256)).collect());
        let path = file_name(sums::JOINED);
        if !sums.0.contains_key(&path) {
            if !wanted.0.is_empty() {
                self.problems
                    .add(path.as_str(), "it is not in SHA256SUMS, although files are split into parts");
            }
            return;
        }
        let text = self.folder.read(&path, sums::LIMIT).map_err(|error| read_error(&error));
        if text.is_ok_and(|text| text != wanted.render().as_bytes()) {
            self.problems.add(path.as_str(), "it is not what the manifest says of the parts");
        }
    }
}

/// Files whose parts were joined: the whole file exists.
fn joined<'m>(found: &Found, sums: &Sums, manifest: Option<&'m Manifest>) -> Vec<&'m ReleaseFile> {
    let files = manifest.into_iter().flat_map(Manifest::files);
    let is_joined = |file: &&ReleaseFile| {
        !file.parts.is_empty() && found.contains_key(&file.name) && !sums.0.contains_key(&file.name)
    };
    files.filter(is_joined).collect()
}

/// Chunks that may wait for the other thread.
const QUEUE: usize = 4;

/// The digests of whole files, computed from their parts in order. They are computed by another thread: hashing takes
/// longer than reading.
struct JoinedFiles<'m> {
    files: Vec<&'m ReleaseFile>,
    chunks: SyncSender<(usize, Vec<u8>)>,
    hashing: JoinHandle<Vec<(Hasher, u64)>>,
}

impl<'m> JoinedFiles<'m> {
    /// Parts are read in the order of their names, which is their order: [`Manifest::parse`] refuses every other.
    fn new(manifest: Option<&'m Manifest>) -> io::Result<Self> {
        let files = manifest.into_iter().flat_map(Manifest::files);
        let files: Vec<_> = files.filter(|file| !file.parts.is_empty()).collect();
        let mut hashers = vec![(Hasher::default(), 0_u64); files.len()];
        let (chunks, receiver) = sync_channel::<(usize, Vec<u8>)>(QUEUE);
        let hash = move || {
            for (number, bytes) in receiver {
                let (hasher, count) = &mut hashers[number];
                hasher.update(&bytes);
                *count += bytes.len() as u64;
            }
            hashers
        };
        let hashing = thread::Builder::new().name("joined".into()).spawn(hash)?;
        Ok(Self { files, chunks, hashing })
    }

    /// The number of the whole file that this is a part of.
    fn of_part(&self, path: &RelativePath) -> Option<usize> {
        self.files.iter().position(|file| file.parts.iter().any(|part| part.name == *path))
    }

    fn update(&self, number: usize, bytes: &[u8]) {
        // The other thread ends after this value does, or by a panic that is passed on then.
        let _ = self.chunks.send((number, bytes.to_vec()));
    }

    /// Whole files of which every part was read, and which differ from the manifest.
    fn wrong(self) -> Vec<&'m ReleaseFile> {
        drop(self.chunks);
        let hashed = self.hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let read = self.files.into_iter().zip(hashed).filter(|(file, (_, count))| *count == file.size);
        read.filter_map(|(file, (hasher, _))| (hasher.finish() != file.sha256).then_some(file)).collect()
    }
}
