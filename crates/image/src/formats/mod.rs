//! Makes artifacts from one disk. One file per format, with the value that defines it; shared parts are in files beside
//! them.

mod definition;
mod export_spec;
mod exporter;
mod iso;
pub mod ova;
pub mod ovf;
mod parse_error;
mod qemu;
mod raw;
mod source_disk;
mod sparse;
pub mod virtualbox;
pub mod vmdk;
pub mod vmdk_stream;
pub mod vmware;
pub mod vmx;
mod xml;
pub mod zst;

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::{Compress, Format};

use crate::digest::Digest;
use crate::error::Error;
use crate::preflight::Planned;
use definition::{ExportResult, FormatDef, Make};
pub use export_spec::{Appliance, ExportSpec};
pub(crate) use exporter::Exporter;
pub(crate) use iso::{LiveMedium, STAGE as ISO_STAGE};
pub use parse_error::ParseError;
pub use source_disk::SourceDisk;

/// The definition of each format.
const fn definition(format: Format) -> &'static FormatDef {
    match format {
        Format::Qemu => &qemu::FORMAT,
        Format::Virtualbox => &virtualbox::FORMAT,
        Format::Vmware => &vmware::FORMAT,
        Format::Raw => &raw::FORMAT,
        Format::Iso => &iso::FORMAT,
    }
}

/// The formats that any disk can be converted to: an ISO requires a disk that was built here, with its kernel and
/// programs.
pub const CONVERTIBLE: &[Format] = CONVERTIBLE_FIRST.0.split_at(CONVERTIBLE_FIRST.1).0;

/// The convertible formats before others, and their number.
const CONVERTIBLE_FIRST: ([Format; Format::ALL.len()], usize) = {
    let mut formats = [Format::ALL[0]; Format::ALL.len()];
    let (mut count, mut index) = (0, 0);
    while index < Format::ALL.len() {
        if matches!(definition(Format::ALL[index]).make, Make::OfAnyDisk(_)) {
            formats[count] = Format::ALL[index];
            count += 1;
        }
        index += 1;
    }
    (formats, count)
};

/// The base name of an image's files, without extension. The flake's is the same for all profiles.
pub fn stem(base: rave_spec::Base, profile: &str) -> String {
    match base {
        rave_spec::Base::Debian => format!("rave-{base}-{profile}"),
        rave_spec::Base::Nixos => base.to_string(),
    }
}

/// The names of an artifact's files; the first is the bootable one.
pub fn file_names(stem: &str, format: Format, compress: Compress) -> Vec<String> {
    definition(format).file_names(stem, compress)
}

/// Sorts the longest work first, and formats that wait for its result last.
pub(crate) fn longest_first(mut formats: Vec<Format>) -> Vec<Format> {
    formats.sort_by_key(|format| definition(*format).order);
    formats
}

/// The minimum space for an artifact's files, for a disk with `allocated` bytes that are not holes.
pub(crate) fn planned(format: Format, spec: &ExportSpec, size: u64, allocated: u64) -> Vec<Planned> {
    definition(format).planned(spec, size, allocated)
}

/// Changes when, and only when, the artifact would change: it includes the command lines and the descriptors.
pub(crate) fn key(format: Format, spec: &ExportSpec) -> Digest {
    definition(format).key(spec)
}

/// Writes the artifact's files into an empty folder, under the names of [`file_names`]. Returns the digest of the
/// bootable file if it was computed along the way.
pub(crate) fn make(format: Format, exporter: &Exporter<'_>, folder: &Utf8Path) -> ExportResult {
    let names = file_names(&exporter.spec.stem, format, exporter.spec.compress);
    let files: Vec<Utf8PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    match definition(format).make {
        Make::OfAnyDisk(make) => make(exporter, &files),
        Make::OfBuiltDisk(make) => {
            make(exporter, exporter.built.ok_or_else(|| not_convertible(format))?, &files)
        }
    }
}

/// The error for a format that not every disk can be converted to.
pub fn not_convertible(format: Format) -> Error {
    let convertible = CONVERTIBLE.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Error::Input {
        what: format!("format {format}"),
        detail: format!("`cargo xtask image` makes it; a disk of any origin can become: {convertible}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rave_spec::Compression;

    use super::*;

    pub(crate) fn export_spec() -> ExportSpec {
        let forward = |name: &str, host, guest| ovf::vbox::NatForward {
            name: name.into(),
            host_address: "127.0.0.1".into(),
            host,
            guest,
        };
        ExportSpec {
            stem: "rave-debian-simple".into(),
            size: 16 << 30,
            appliance: Appliance {
                name: "rave-debian-simple".into(),
                memory_mib: 4096,
                cpus: 2,
                desktop: true,
                forwards: vec![forward("gateway", 3002, 3002), forward("ssh", 2223, 22)],
            },
            compress: Compress::default(),
            identity: Digest::of_bytes(b"disk"),
            epoch: 1_767_225_600,
        }
    }

    #[test]
    fn command_lines_of_each_format() {
        let lines =
            |commands: Vec<Vec<String>>| commands.iter().map(|argv| argv.join(" ")).collect::<Vec<_>>();
        let source = SourceDisk { path: "/d.raw".into() };
        let ExportSpec { size, compress, .. } = export_spec();
        assert_eq!(
            lines(qemu::commands(&source, "a".into(), size, compress.qemu)),
            [
                "qemu-img convert -m 8 -f raw -O qcow2 -c -o compression_type=zstd,lazy_refcounts=off /d.raw a",
                "qemu-img resize -q -f qcow2 a 17179869184",
            ]
        );
        assert_eq!(lines(raw::commands(&source, "a".into())), ["qemu-img convert -f raw -O raw /d.raw a"]);
        let create = "qemu-img create -q -f qcow2 -F raw -b /d.raw a.overlay 17179869184";
        let convert = "qemu-img convert -f qcow2 -O vmdk \
                       -o subformat=monolithicSparse,adapter_type=lsilogic,hwversion=14 a.overlay a";
        assert_eq!(lines(vmware::commands(&source, "a".into(), size)), [create, convert]);
    }

    #[test]
    fn each_format_has_its_own_value_and_position() {
        let own = |format: &Format| definition(*format).format == *format;
        assert!(Format::ALL.iter().all(own));
        let order = longest_first(Format::ALL.to_vec());
        assert_eq!(order[0], Format::Virtualbox);
        assert!(order.windows(2).all(|pair| definition(pair[0]).order < definition(pair[1]).order));
        assert_eq!(CONVERTIBLE, [Format::Qemu, Format::Virtualbox, Format::Vmware, Format::Raw]);
    }

    #[test]
    fn no_two_formats_share_a_file() {
        let all = Compress::all(Compression::Zstd);
        let mut names: Vec<String> =
            Format::ALL.iter().flat_map(|format| file_names("a", *format, all)).collect();
        assert!(names.contains(&"a.img.zst".to_owned()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }

    #[test]
    fn descriptors_are_part_of_the_key() {
        let other = |change: fn(&mut ExportSpec)| {
            let mut spec = export_spec();
            change(&mut spec);
            spec
        };
        let ports = other(|spec| spec.appliance.forwards[0].host = 1);
        let memory = other(|spec| spec.appliance.memory_mib = 1);
        let changed = |format, other: &ExportSpec| key(format, &export_spec()) != key(format, other);
        assert!(changed(Format::Virtualbox, &ports) && changed(Format::Virtualbox, &memory));
        assert!(!changed(Format::Vmware, &ports) && changed(Format::Vmware, &memory));
        assert!(!changed(Format::Qemu, &memory) && !changed(Format::Iso, &memory));
        let plain = other(|spec| spec.compress = Compress::all(Compression::None));
        assert!(changed(Format::Qemu, &plain) && !changed(Format::Raw, &plain));
        let packed = other(|spec| spec.compress = Compress::all(Compression::Zstd));
        assert!(changed(Format::Raw, &packed) && !changed(Format::Qemu, &packed));
        let disk = other(|spec| spec.identity = Digest::of_bytes(b"another"));
        assert!(changed(Format::Iso, &disk));
    }
}
