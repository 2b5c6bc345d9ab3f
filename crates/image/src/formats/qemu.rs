//! qcow2 version 3, its clusters compressed as requested (QEMU's docs/interop/qcow2.txt, `compression_type`).

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::{Compression, Format};

use super::definition::{ExportResult, FormatDef, Make, OutputFile, SizeEstimate, add_arguments};
use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use super::source_disk::SourceDisk;
use crate::digest::Hasher;

/// Clusters compressed in parallel; their order in the file stays that of the disk.
const COMPRESSORS: &str = "8";

/// The format.
pub(crate) const FORMAT: FormatDef = FormatDef {
    format: Format::Qemu,
    files: |compress| match compress.qemu {
        Compression::None => &[OutputFile { ending: ".qcow2", size: SizeEstimate::Data }],
        _ => &[OutputFile { ending: ".qcow2", size: SizeEstimate::CompressedData }],
    },
    order: 2,
    add_to_key,
    make: Make::OfAnyDisk(make),
};

fn add_to_key(spec: &ExportSpec, hasher: &mut Hasher) {
    add_arguments(hasher, &commands(&SourceDisk::nowhere(), "".into(), spec.size, spec.compress.qemu));
}

fn make(exporter: &Exporter<'_>, files: &[Utf8PathBuf]) -> ExportResult {
    let spec = &exporter.spec;
    let commands = commands(&exporter.source, &files[0], spec.size, spec.compress.qemu);
    exporter.stages.run_all(FORMAT.format.as_str(), &commands)?;
    Ok(None)
}

/// Conversion, then growth to the size in bytes: the added part takes no space in the file. Writes stay in order,
/// without `-W`: otherwise two runs would not give the same bytes.
pub(super) fn commands(
    source: &SourceDisk,
    target: &Utf8Path,
    size: u64,
    compression: Compression,
) -> Vec<Vec<String>> {
    let options = match compression {
        Compression::None => "lazy_refcounts=off".to_owned(),
        _ => format!("compression_type={compression},lazy_refcounts=off"),
    };
    let mut convert = vec!["qemu-img", "convert", "-m", COMPRESSORS];
    convert.extend(["-f", "raw", "-O", "qcow2"]);
    if compression != Compression::None {
        convert.push("-c");
    }
    convert.extend(["-o", &options, source.path.as_str(), target.as_str()]);
    let resize =
        ["qemu-img", "resize", "-q", "-f", "qcow2", target.as_str(), &size.to_string()].map(String::from);
    vec![convert.into_iter().map(String::from).collect(), resize.to_vec()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_as_requested() {
        let source = SourceDisk { path: "/d.raw".into() };
        let convert = |compression| commands(&source, "a".into(), 1, compression)[0].join(" ");
        let zlib = "-c -o compression_type=zlib,lazy_refcounts=off /d.raw a";
        assert!(convert(Compression::Zlib).ends_with(zlib));
        assert!(convert(Compression::None).ends_with("-O qcow2 -o lazy_refcounts=off /d.raw a"));
    }
}
