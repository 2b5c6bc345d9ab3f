//! The hash of a Nix archive (Nix Reference Manual, "Nix Archive (NAR) format"), of entries in the order of a walk: a
//! folder before its content, names in byte order.

use std::io::{self, Read};

use crate::digest::{Digest, Hasher};

/// Bytes of a file read at once.
const CHUNK: usize = 1 << 18;

/// Computes the hash of an archive while its entries arrive.
pub struct NarHasher {
    hasher: Hasher,
    size: u64,
    /// How many folders are open, including the archive's root.
    open: usize,
}

impl Default for NarHasher {
    fn default() -> Self {
        let mut nar = Self { hasher: Hasher::default(), size: 0, open: 0 };
        nar.text(b"nix-archive-1");
        nar
    }
}

impl NarHasher {
    /// A folder; `path` is relative to the archive's root, whose own path is empty.
    pub fn folder(&mut self, path: &[u8]) {
        self.begin(path, b"directory");
        self.open += 1;
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &[u8], target: &[u8]) {
        self.begin(path, b"symlink");
        self.text(b"target");
        self.text(target);
        self.end(path);
    }

    /// A file of `size` bytes; fails if its actual length differs.
    pub fn file(
        &mut self,
        path: &[u8],
        executable: bool,
        size: u64,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        self.begin(path, b"regular");
        if executable {
            self.text(b"executable");
            self.text(b"");
        }
        self.text(b"contents");
        self.bytes(&size.to_le_bytes());
        let mut chunk = vec![0; CHUNK];
        let mut left = size;
        loop {
            let read = content.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            left = left.checked_sub(read as u64).ok_or(io::ErrorKind::InvalidData)?;
            self.bytes(&chunk[..read]);
        }
        if left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size);
        self.end(path);
        Ok(())
    }

    /// The hash and the size of the archive.
    pub fn finish(mut self) -> (Digest, u64) {
        self.close(0);
        (self.hasher.finish(), self.size)
    }

    /// Opens a node, after closing what the previous entry left open.
    fn begin(&mut self, path: &[u8], kind: &[u8]) {
        if !path.is_empty() {
            let mut names = path.split(|byte| *byte == b'/');
            let name = names.next_back().unwrap_or_default();
            // Every parent folder and the archive's root are open.
            self.close(names.count() + 1);
            self.texts(&[b"entry", b"(", b"name", name, b"node"]);
        }
        self.texts(&[b"(", b"type", kind]);
    }

    /// Closes a node that is not a folder.
    fn end(&mut self, path: &[u8]) {
        self.text(b")");
        if !path.is_empty() {
            self.text(b")");
        }
    }

    /// Closes folders until `remaining` are open.
    fn close(&mut self, remaining: usize) {
        while self.open > remaining {
            self.text(b")");
            self.open -= 1;
            if self.open > 0 {
                self.text(b")");
            }
        }
    }

    fn texts(&mut self, texts: &[&[u8]]) {
        for text in texts {
            self.text(text);
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text);
        self.pad(text.len() as u64);
    }

    fn pad(&mut self, size: u64) {
        let rest = size.next_multiple_of(8) - size;
        self.bytes(&[0; 8][..usize::try_from(rest).unwrap_or_default()]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_each_kind_of_entry_has_the_known_hash() {
        let mut nar = NarHasher::default();
        nar.folder(b"");
        nar.folder(b"bin");
        nar.file(b"bin/a", true, 3, &mut &b"hi\n"[..]).unwrap();
        nar.link(b"bin/b", b"a");
        nar.folder(b"empty");
        nar.file(b"z", false, 0, &mut io::empty()).unwrap();
        let (hash, size) = nar.finish();
        // `nix-store --dump FOLDER | sha256sum`, and its bytes.
        assert_eq!(
            (hash.to_string().as_str(), size),
            ("ed6aa242948536fc63ef39c836a16f9f91fe91f0b253f5cb53855e7821f5ddbb", 1032)
        );
    }

    #[test]
    fn a_file_with_a_different_size_is_refused() {
        for size in [2, 4] {
            assert!(NarHasher::default().file(b"", false, size, &mut &b"hi\n"[..]).is_err());
        }
    }
}
