//! qcow2 version 3 with clusters compressed by zstd (QEMU's docs/interop/qcow2.txt, `compression_type`).

use camino::Utf8Path;

use super::Source;

/// Clusters that are compressed at once; the order in the file stays that of the disk.
const COMPRESSORS: &str = "8";

/// Conversion, then growth to the size in bytes: the added space takes no room in the file. Writes stay in order, without
/// `-W`: only so do two runs give the same bytes.
pub fn commands(source: &Source, target: &Utf8Path, size: u64) -> Vec<Vec<String>> {
    let options = "compression_type=zstd,lazy_refcounts=off";
    let convert = [
        "qemu-img",
        "convert",
        "-m",
        COMPRESSORS,
        "-f",
        source.driver.as_str(),
        "-O",
        "qcow2",
        "-c",
        "-o",
        options,
        source.path.as_str(),
        target.as_str(),
    ];
    let resize =
        ["qemu-img", "resize", "-q", "-f", "qcow2", target.as_str(), &size.to_string()].map(String::from);
    vec![convert.map(String::from).to_vec(), resize.to_vec()]
}
