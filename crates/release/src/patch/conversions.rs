//! Which formats can be reproduced from a raw disk byte by byte, and with which program: determined by trying.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::convert::{ConvertRequest, convert};
use rave_image::digest::Digest;
use rave_image::foreign::Links;
use rave_image::formats::Appliance;
use rave_image::tool_versions;
use rave_process::progress::{Event, Sink};
use rave_spec::{Compress, Compression, Format};

use super::header::{Conversion, Header};
use crate::error::{Error, IoContext as _};
use crate::folder::Folder;
use crate::manifest::ProfileRelease;

/// The formats that are tried, with the program that writes them. Other formats describe a machine or contain a live
/// system, which cannot be derived from a disk alone.
const TRIED: [(Format, &str); 1] = [(Format::Qemu, "qemu-img")];

/// The formats of a release that a conversion of `disk` reproduces. A format that it does not is reported.
pub(crate) fn proven(
    release: &ProfileRelease,
    folder: &Utf8Path,
    disk: &Utf8Path,
    scratch: &Utf8Path,
    sink: Sink<'_>,
) -> Result<Vec<Conversion>, Error> {
    let mut found = Vec::new();
    for (format, tool) in TRIED {
        let artifact = release.artifacts.iter().find(|artifact| artifact.format == format);
        let Some([file]) = artifact.map(|artifact| artifact.files.as_slice()) else { continue };
        let Some(version) = tool_versions::of(tool) else { continue };
        let first = file.parts.first().map_or(&file.name, |part| &part.name);
        let head = Folder::open(folder).and_then(|folder| folder.file(first));
        let size = virtual_size(&head.at("open", folder.join(first.as_str()))?);
        let size = size.at("read", folder.join(first.as_str()))?;
        let conversion = Conversion {
            format,
            name: file.name.clone(),
            disk: size,
            sha256: file.sha256,
            tool: tool.into(),
            version,
        };
        let made = convert_to(&conversion, disk, &scratch.join("proof"), sink)?;
        let is_same = Digest::of_file(&made).at("read", &made)? == file.sha256;
        fs::remove_dir_all(scratch.join("proof")).at("remove", scratch)?;
        if is_same {
            found.push(conversion);
        } else {
            let text = format!(
                "a patch gives the raw disk but not {}: {tool} makes other bytes of it; a release with the format raw gives both",
                file.name
            );
            sink(Event::Warning { text: &text });
        }
    }
    Ok(found)
}

/// `size` of a qcow2's header, big endian (QEMU's docs/interop/qcow2.txt).
fn virtual_size(file: &File) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 24)?;
    Ok(u64::from_be_bytes(bytes))
}

/// The conversion for a format, or why it is not possible on this host.
pub(super) fn refusal(header: &Header, format: Format) -> Result<&Conversion, String> {
    let Some(wanted) = header.conversions.iter().find(|one| one.format == format) else {
        return Err(format!(
            "the patch does not give the format {format}: only the raw disk follows from it"
        ));
    };
    match tool_versions::of(&wanted.tool) {
        Some(version) if version == wanted.version => Ok(wanted),
        Some(version) => Err(format!(
            "{format} was made by {:?}, and here is {version:?}, which may make other bytes",
            wanted.version
        )),
        None => Err(format!("{} is not installed, which makes {format}", wanted.tool)),
    }
}

/// Makes the format in a folder; returns the file's path.
pub(super) fn convert_to(
    wanted: &Conversion,
    disk: &Utf8Path,
    place: &Utf8Path,
    sink: Sink<'_>,
) -> Result<Utf8PathBuf, Error> {
    let request = ConvertRequest {
        file: disk,
        links: Links::Refuse,
        is_raw: true,
        formats: &[wanted.format],
        out_dir: &place.join("out"),
        cache_dir: &place.join("cache"),
        log_dir: &place.join("logs"),
        appliance: Appliance {
            name: String::new(),
            memory_mib: 0,
            cpus: 0,
            desktop: false,
            forwards: Vec::new(),
        },
        // The compression of every release.
        compress: Compress { qemu: Compression::Zstd, raw: Compression::Zstd },
        grown_to: Some(wanted.disk),
        epoch: 0,
    };
    let files = convert(&request, sink)?;
    files.into_iter().next().ok_or_else(|| Error::damaged(disk, "no file was made of it"))
}
