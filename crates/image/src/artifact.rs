//! Whether an artifact is still the file that its manifest describes.
//!
//! Hashing gigabytes before every boot would cost seconds, so the file's identity when it was last hashed is
//! kept beside it: inode, size, and both times. A change of content moves the change time (inode(7), `st_ctime`),
//! which no ordinary program can set back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::manifest::{Artifact, ArtifactFile};

/// What identifies a version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FileIdentity {
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Serialize, Deserialize)]
struct HashRecord {
    identity: FileIdentity,
    sha256: Digest,
}

/// Refuses an artifact if the size or digest of a file differs from the manifest; returns the path of the bootable
/// file.
pub fn verify(out_dir: &Utf8Path, artifact: &Artifact) -> Result<Utf8PathBuf, Error> {
    artifact.files.iter().try_for_each(|file| verify_file(out_dir, file))?;
    Ok(out_dir.join(&artifact.boot_file().name))
}

/// Refuses a file whose size or digest differs from the manifest.
pub fn verify_file(out_dir: &Utf8Path, file: &ArtifactFile) -> Result<(), Error> {
    let path = out_dir.join(&file.name);
    let identity = match FileIdentity::of(&path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let packed = format!("{}.zst", file.name);
            let hint = if out_dir.join(&packed).exists() {
                format!("; unpack it there with: zstd -d --sparse {packed}")
            } else {
                String::new()
            };
            let detail = format!("{} is in the manifest but not in the folder{hint}", file.name);
            return Err(Error::NotBuilt { out_dir: out_dir.to_owned(), detail });
        }
        other => other?,
    };
    if identity.size != file.size {
        let detail = format!("its size is {} bytes, the manifest says {}", identity.size, file.size);
        return Err(Error::ArtifactDiffers { path, detail });
    }
    if recall(&path) == Some((identity, file.sha256)) {
        return Ok(());
    }
    let found = Digest::of_file(&path).at("read", &path)?;
    if found != file.sha256 {
        let detail = format!("its SHA-256 is {found}, the manifest says {}", file.sha256);
        return Err(Error::ArtifactDiffers { path, detail });
    }
    remember(&path, found)
}

/// Whether the artifact was hashed before and has not changed since; never reads its content.
pub(crate) fn is_unchanged(out_dir: &Utf8Path, artifact: &Artifact) -> bool {
    artifact.files.iter().all(|file| {
        let path = out_dir.join(&file.name);
        FileIdentity::of(&path).is_ok_and(|identity| recall(&path) == Some((identity, file.sha256)))
    })
}

/// Stores the digest of a file that was just hashed.
pub(crate) fn remember(path: &Utf8Path, sha256: Digest) -> Result<(), Error> {
    let seen = HashRecord { identity: FileIdentity::of(path)?, sha256 };
    let note = note(path);
    fs::write(&note, serde_json::to_vec(&seen).expect("plain data")).at("write", &note)
}

/// Removes a file or a link, if it exists.
pub(crate) fn remove(path: &Utf8Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

fn recall(path: &Utf8Path) -> Option<(FileIdentity, Digest)> {
    let seen: HashRecord = serde_json::from_slice(&fs::read(note(path)).ok()?).ok()?;
    Some((seen.identity, seen.sha256))
}

fn note(path: &Utf8Path) -> Utf8PathBuf {
    path.with_file_name(format!(".{}.seen", path.file_name().unwrap_or_default()))
}

impl FileIdentity {
    fn of(path: &Utf8Path) -> Result<Self, Error> {
        let metadata = fs::metadata(path).at("read", path)?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> ArtifactFile {
        ArtifactFile { name: name.into(), size: content.len() as u64, sha256: Digest::of_bytes(content) }
    }

    fn artifact(files: Vec<ArtifactFile>) -> Artifact {
        let key = Digest::of_bytes(b"");
        Artifact { format: rave_spec::Format::Raw, files: files.try_into().unwrap(), key }
    }

    #[test]
    fn a_changed_truncated_or_missing_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(dir.path()).unwrap();
        let artifact = artifact(vec![file("disk.img", b"content")]);
        let error = verify(out, &artifact).unwrap_err().to_string();
        assert!(error.ends_with("disk.img is in the manifest but not in the folder"), "{error}");
        fs::write(out.join("disk.img.zst"), "packed").unwrap();
        let error = verify(out, &artifact).unwrap_err().to_string();
        assert!(
            error.ends_with("not in the folder; unpack it there with: zstd -d --sparse disk.img.zst"),
            "{error}"
        );
        fs::write(out.join("disk.img"), "content").unwrap();
        verify(out, &artifact).unwrap();
        assert!(is_unchanged(out, &artifact));
        fs::write(out.join("disk.img"), "CONTENT").unwrap();
        assert!(!is_unchanged(out, &artifact));
        let error = verify(out, &artifact).unwrap_err().to_string();
        assert!(error.contains(&Digest::of_bytes(b"CONTENT").to_string()), "{error}");
        assert!(error.contains(&artifact.boot_file().sha256.to_string()), "{error}");
        fs::write(out.join("disk.img"), "cont").unwrap();
        let error = verify(out, &artifact).unwrap_err().to_string();
        assert!(error.ends_with("its size is 4 bytes, the manifest says 7"), "{error}");
    }

    #[test]
    fn every_file_of_an_artifact_is_checked() {
        let dir = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(dir.path()).unwrap();
        let artifact = artifact(vec![file("a.vmdk", b"disk"), file("a.vmx", b"machine")]);
        fs::write(out.join("a.vmdk"), "disk").unwrap();
        fs::write(out.join("a.vmx"), "machine").unwrap();
        assert_eq!(verify(out, &artifact).unwrap(), out.join("a.vmdk"));
        fs::write(out.join("a.vmx"), "MACHINE").unwrap();
        assert!(!is_unchanged(out, &artifact));
        let error = verify(out, &artifact).unwrap_err().to_string();
        assert!(error.contains("a.vmx is not what its manifest describes"), "{error}");
    }

    #[test]
    fn restoring_the_modification_time_hides_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let out = Utf8Path::from_path(dir.path()).unwrap();
        let path = out.join("disk.img");
        fs::write(&path, "content").unwrap();
        let artifact = artifact(vec![file("disk.img", b"content")]);
        verify(out, &artifact).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        // Within one tick of the kernel's coarse clock both times would be the same.
        let before = FileIdentity::of(&path).unwrap();
        while FileIdentity::of(&path).unwrap().changed == before.changed {
            fs::write(&path, "CONTENT").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
        assert!(verify(out, &artifact).is_err());
    }
}
