//! The results in the output folder: links into the store, whose paths are immutable.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::{Compress, Compression, Format};

use super::error::Error as NixError;
use super::responses::BuiltOutput;
use crate::artifact::{self, remove};
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::formats::{self, NIXOS_STEM};
use crate::manifest::{Artifact, ArtifactFile};

/// All names that a format's files may have.
fn names(format: Format) -> Vec<String> {
    formats::file_names(NIXOS_STEM, format, Compress::all(Compression::Zstd))
}

/// Places a format's files in `out_dir`.
pub(super) fn place(format: Format, built: &BuiltOutput, out_dir: &Utf8Path) -> Result<Artifact, Error> {
    let source = Utf8Path::new(&built.out_path);
    if !source.exists() {
        return Err(NixError::Elsewhere { out_path: built.out_path.clone() }.into());
    }
    let needed = formats::file_names(NIXOS_STEM, format, Compress::all(Compression::None));
    if let Some(wanted) = needed.into_iter().find(|name| !source.join(name).is_file()) {
        let out_path = built.out_path.clone();
        return Err(NixError::Incomplete { format, out_path, wanted }.into());
    }
    let mut files = Vec::new();
    for name in names(format) {
        let path = source.join(&name);
        if path.is_file() {
            files.push(put(format, &path, &out_dir.join(&name))?);
        } else {
            remove(&out_dir.join(&name))?;
        }
    }
    let files = files.try_into().expect("each format has plain names");
    Ok(Artifact { format, files, key: key(built) })
}

/// The key of an artifact: its derivation, which identifies all its inputs.
pub(super) fn key(built: &BuiltOutput) -> Digest {
    Digest::of_bytes(built.drv_path.as_bytes())
}

/// Removes a format's files.
pub(super) fn remove_all(format: Format, out_dir: &Utf8Path) -> Result<(), Error> {
    names(format).iter().try_for_each(|name| remove(&out_dir.join(name)))
}

fn put(format: Format, source: &Utf8Path, target: &Utf8Path) -> Result<ArtifactFile, Error> {
    let name = target.file_name().unwrap_or_default().to_owned();
    let partial = target.with_file_name(format!(".{name}.partial"));
    remove(&partial)?;
    // The link points to the file itself, so that it does not depend on intermediate links.
    let source = real(source)?;
    if is_opened_in_place(format, &name) {
        fs::copy(&source, &partial).at("copy", &source)?;
        fs::set_permissions(&partial, Permissions::from_mode(0o644)).at("set the mode of", &partial)?;
    } else {
        symlink(&source, &partial).at("create", &partial)?;
    }
    let sha256 = Digest::of_file(&partial).at("read", &partial)?;
    let size = fs::metadata(&partial).at("read", &partial)?.len();
    fs::rename(&partial, target).at("rename into", target)?;
    artifact::remember(target, sha256)?;
    Ok(ArtifactFile { name, size, sha256 })
}

/// VMware writes to the disk and the machine file that it opens; everything else is imported, written to a medium or
/// booted through an overlay.
fn is_opened_in_place(format: Format, name: &str) -> bool {
    format == Format::Vmware && Utf8Path::new(name).extension() != Some("ova")
}

fn real(path: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    path.canonicalize_utf8().at("follow", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_links_except_those_that_vmware_writes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap().canonicalize_utf8().unwrap();
        let (store, out) = (folder.join("store"), folder.join("out"));
        fs::create_dir(&store).unwrap();
        fs::create_dir(&out).unwrap();
        let built = BuiltOutput { drv_path: "/x.drv".into(), out_path: store.to_string() };
        for name in ["nixos.vmdk", "nixos.vmx", "nixos-vmware.ova"] {
            let error = place(Format::Vmware, &built, &out).unwrap_err().to_string();
            assert!(error.ends_with(&format!("contains no vmware: {name} is missing")), "{error}");
            fs::write(store.join(name), name).unwrap();
        }
        // A file of another build.
        fs::write(out.join("nixos.vmx"), "old").unwrap();
        let artifact = place(Format::Vmware, &built, &out).unwrap();
        artifact::verify(&out, &artifact).unwrap();
        let is_link = |name: &str| fs::symlink_metadata(out.join(name)).unwrap().is_symlink();
        assert_eq!(["nixos.vmdk", "nixos.vmx", "nixos-vmware.ova"].map(is_link), [false, false, true]);
        fs::write(out.join("nixos.vmdk"), "nixos.vmdK").unwrap();
        assert!(artifact::verify(&out, &artifact).is_err());
        remove_all(Format::Vmware, &out).unwrap();
        assert!(!out.join("nixos.vmx").exists());
    }
}
