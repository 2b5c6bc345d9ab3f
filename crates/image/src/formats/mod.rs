//! Makes artifacts of one disk. One file a format; what several of them are made of lies beside.

mod exporter;
pub(crate) mod iso;
pub mod ova;
pub mod ovf;
pub mod qemu;
pub mod raw;
mod sparse;
pub mod virtualbox;
pub mod vmdk;
pub mod vmdk_stream;
pub mod vmware;
pub mod vmx;
mod xml;
pub mod zst;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_spec::{Compress, Compression, Format};

use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};
use crate::preflight::Planned;

pub(crate) use exporter::Exporter;

/// The formats that the Debian base makes.
pub const AVAILABLE: &[Format] =
    &[Format::Qemu, Format::Virtualbox, Format::Vmware, Format::Raw, Format::Iso];

/// The formats that any disk can be turned into: an ISO carries a disk that was built here, with its kernel and its programs.
pub const CONVERTIBLE: &[Format] = &[Format::Qemu, Format::Virtualbox, Format::Vmware, Format::Raw];

/// A text of a format that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what}: {detail}")]
pub struct ParseError {
    /// What was expected.
    pub what: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, detail: detail.into() }
    }
}

/// The machine that a descriptor describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// Its name.
    pub name: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Whether there is a desktop to draw.
    pub desktop: bool,
    /// The services that the host reaches, where the hypervisor's own NAT is described.
    pub forwards: Vec<ovf::vbox::NatForward>,
}

/// What artifacts are made of, apart from the disk's content.
#[derive(Debug, Clone)]
pub struct ExportSpec {
    /// What the files are called, without extension.
    pub stem: String,
    /// The disk's size as the guest sees it, bytes; not smaller than the source.
    pub size: u64,
    /// The machine around it.
    pub appliance: Appliance,
    /// How the artifacts are compressed of which one can choose.
    pub compress: Compress,
    /// What identifiers follow from: the key or the digest of the disk.
    pub identity: Digest,
    /// Time stamp of what is packed, seconds since 1970.
    pub epoch: u64,
}

impl ExportSpec {
    /// The names of an artifact's files; the first is the one that boots.
    pub fn file_names(&self, format: Format) -> Vec<String> {
        file_names(&self.stem, format, self.compress)
    }
}

/// A disk to make artifacts of.
#[derive(Debug, Clone)]
pub struct SourceDisk {
    /// Its absolute path.
    pub path: Utf8PathBuf,
    /// How it is written.
    pub driver: Driver,
}

/// How a source is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Plain bytes.
    Raw,
    /// QEMU's own.
    Qcow2,
    /// VMware's.
    Vmdk,
}

impl Driver {
    /// What QEMU calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
        }
    }
}

/// The stage's name, as the user interface shows it.
pub fn stage(format: Format) -> &'static str {
    match format {
        Format::Qemu => "qemu",
        Format::Virtualbox => "virtualbox",
        Format::Vmware => "vmware",
        Format::Raw => "raw",
        Format::Iso => "iso",
    }
}

/// What files are called, without extension.
pub fn stem(base: rave_spec::Base, profile: &str) -> String {
    format!("rave-{base}-{profile}")
}

/// The names of an artifact's files; the first is the one that boots.
pub fn file_names(stem: &str, format: Format, compress: Compress) -> Vec<String> {
    let endings: &[&str] = match format {
        Format::Qemu => &[".qcow2"],
        Format::Virtualbox => &[".ova"],
        Format::Vmware => &[".vmdk", ".vmx", "-vmware.ova"],
        Format::Raw if compress.raw == Compression::Zstd => &[".img", ".img.zst"],
        Format::Raw => &[".img"],
        Format::Iso => &[".iso"],
    };
    endings.iter().map(|ending| format!("{stem}{ending}")).collect()
}

/// How much smaller compression makes a guest's files at the best; seen was 2.2.
const BEST_RATIO: u64 = 3;

/// What an artifact's files will take at least, of a disk with so many bytes that are not holes.
pub(crate) fn planned(format: Format, spec: &ExportSpec, size: u64, allocated: u64) -> Vec<Planned> {
    let compressed = allocated / BEST_RATIO;
    let bytes = |name: &str| match (format, Utf8Path::new(name).extension()) {
        (Format::Raw, Some("img")) => (size, allocated),
        (Format::Qemu, _) if spec.compress.qemu == Compression::None => (allocated, allocated),
        (Format::Vmware, Some("vmdk")) => (allocated, allocated),
        (Format::Vmware, Some("vmx")) => (0, 0),
        _ => (compressed, compressed),
    };
    let plan = |name: String| {
        let (length, allocated) = bytes(&name);
        Planned { name, length, allocated }
    };
    spec.file_names(format).into_iter().map(plan).collect()
}

/// Changes when, and only when, the artifact would: the command lines and the descriptors are part of it.
pub(crate) fn key(format: Format, spec: &ExportSpec) -> Digest {
    let mut hasher = Hasher::default();
    hasher.field("disk", spec.identity.bytes());
    let nowhere = SourceDisk { path: Utf8PathBuf::new(), driver: Driver::Raw };
    for argument in commands(format, &nowhere, "".into(), spec).into_iter().flatten().flatten() {
        hasher.field("argument", argument.as_bytes());
    }
    for descriptor in descriptors(format, spec) {
        hasher.field("descriptor", descriptor.as_bytes());
        hasher.field("epoch", &spec.epoch.to_le_bytes());
    }
    if matches!(format, Format::Virtualbox | Format::Vmware) {
        hasher.field("stream", vmdk_stream::REVISION);
    }
    if format == Format::Raw && spec.compress.raw == Compression::Zstd {
        for argument in zst::argv(0) {
            hasher.field("argument", argument.as_bytes());
        }
        hasher.field("zeros", &zst::LONG_RUN.to_le_bytes());
    }
    if format == Format::Iso {
        iso::add_to_key(&mut hasher);
    }
    hasher.finish()
}

/// Command lines that make `target`, or what it is packed from; a later one continues on what an earlier one made. None for
/// those that are made in steps of their own.
pub fn commands(
    format: Format,
    source: &SourceDisk,
    target: &Utf8Path,
    spec: &ExportSpec,
) -> Option<Vec<Vec<String>>> {
    match format {
        Format::Qemu => Some(qemu::commands(source, target, spec.size, spec.compress.qemu)),
        Format::Raw => Some(raw::commands(source, target)),
        Format::Vmware => Some(vmware::commands(source, target, spec.size)),
        Format::Virtualbox | Format::Iso => None,
    }
}

/// The descriptors of a format as they would be for a file of no bytes.
fn descriptors(format: Format, spec: &ExportSpec) -> Vec<String> {
    match format {
        Format::Qemu | Format::Raw | Format::Iso => Vec::new(),
        Format::Virtualbox => vec![virtualbox::descriptor(spec, 0).render()],
        Format::Vmware => vec![vmware::descriptor(spec, 0).render(), vmware::machine(spec).render()],
    }
}

/// qemu-img's words that make a sparse VMDK of the whole size: the source is seen through an overlay that is as large
/// as the disk shall be, for a VMDK cannot be resized. What it adds takes no room.
fn vmdk_commands(source: &SourceDisk, target: &Utf8Path, size: u64) -> Vec<Vec<String>> {
    let overlay = overlay(target);
    let size = size.to_string();
    // pvscsi too is `lsilogic` in a VMDK. The version is that of the machines that it is made for.
    let options = format!("subformat=monolithicSparse,adapter_type=lsilogic,hwversion={}", vmware::HARDWARE);
    let driver = source.driver.as_str();
    let create = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        driver,
        "-b",
        source.path.as_str(),
        overlay.as_str(),
        &size,
    ];
    let convert = [
        "qemu-img",
        "convert",
        "-f",
        "qcow2",
        "-O",
        "vmdk",
        "-o",
        &options,
        overlay.as_str(),
        target.as_str(),
    ];
    vec![create.map(String::from).to_vec(), convert.map(String::from).to_vec()]
}

fn overlay(target: &Utf8Path) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{target}.overlay"))
}

/// What is left of [`vmdk_commands`], and the head of what they made.
fn settle_vmdk(target: &Utf8Path, name: &str, identity: &Digest) -> Result<(), Error> {
    let overlay = overlay(target);
    fs::remove_file(&overlay).at("remove", &overlay)?;
    vmdk::settle(target, name, vmdk::content_id(identity))
}

/// The error for a format that exists elsewhere.
pub fn not_on_base(format: Format) -> Error {
    let available = AVAILABLE.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Error::FormatNotOnBase { format, base: rave_spec::Base::Debian, available }
}

/// The error for a format that a disk of any origin cannot be turned into.
pub fn not_convertible(format: Format) -> Error {
    let convertible = CONVERTIBLE.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Error::Input {
        what: format!("format {format}"),
        detail: format!("`cargo xtask image` makes it; a disk of any origin can become: {convertible}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
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

    fn lines(format: Format) -> Vec<String> {
        let source = SourceDisk { path: "/d.raw".into(), driver: Driver::Raw };
        let commands = commands(format, &source, "a".into(), &export_spec()).unwrap();
        commands.iter().map(|argv| argv.join(" ")).collect()
    }

    #[test]
    fn command_lines_of_each_format() {
        assert_eq!(
            lines(Format::Qemu),
            [
                "qemu-img convert -m 8 -f raw -O qcow2 -c -o compression_type=zstd,lazy_refcounts=off /d.raw a",
                "qemu-img resize -q -f qcow2 a 17179869184",
            ]
        );
        assert_eq!(lines(Format::Raw), ["qemu-img convert -f raw -O raw /d.raw a"]);
        let create = "qemu-img create -q -f qcow2 -F raw -b /d.raw a.overlay 17179869184";
        let convert = "qemu-img convert -f qcow2 -O vmdk \
                       -o subformat=monolithicSparse,adapter_type=lsilogic,hwversion=14 a.overlay a";
        assert_eq!(lines(Format::Vmware), [create, convert]);
        let source = SourceDisk { path: "d".into(), driver: Driver::Raw };
        for format in [Format::Virtualbox, Format::Iso] {
            assert!(commands(format, &source, "a".into(), &export_spec()).is_none());
        }
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
    fn what_a_descriptor_says_is_part_of_the_key() {
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
