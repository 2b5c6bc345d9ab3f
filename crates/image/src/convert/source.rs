//! The raw disk in a file: unpacked, then extracted from its package and its container, each of which is examined
//! separately.

use std::fs::{self, File};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde::Deserialize;

use super::request::ConvertRequest;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::foreign::{self, Container, ImageNode, Links, Packing, Part, unpack};
use crate::formats::ova;
use crate::inspect;
use crate::stage_runner::StageRunner;
use crate::tempdir::ScratchDir;
use crate::tool::tool;

/// The name of this stage.
const STAGE: &str = "unpack";

/// Maximum layers around a disk: a compressed archive of a compressed image has three, and more do not occur in
/// practice.
const MOST_LAYERS: usize = 3;

/// The assumed expansion of a compressed file, apart from zeros.
const EXPANSION: u64 = 8;

/// How long qemu-img may look for holes in a file.
const DEADLINE: Duration = Duration::from_secs(60);

/// Larger than any disk, bytes: ext4 is limited to 16 TiB.
const LARGEST: u64 = 64 << 40;

/// A file that was examined but not unpacked yet.
pub(super) struct Source {
    file: Utf8PathBuf,
    found: Layer,
}

/// What a file is.
enum Layer {
    Image(ImageNode),
    Packed(Packing),
    Package,
}

/// A raw disk.
pub(super) struct RawSource {
    pub(super) path: Utf8PathBuf,
    /// Bytes, a multiple of 512.
    pub(super) size: u64,
    /// The basis of identifiers: the digest of all files that it was read from.
    pub(super) identity: Digest,
    /// Names of the other content of a package.
    pub(super) left_out: Vec<String>,
    _scratch: Vec<ScratchDir>,
}

fn layer(path: &Utf8Path, request: &ConvertRequest<'_>, links: Links) -> Result<Layer, Error> {
    let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
    let file = inspect::open(path)?;
    let part = Part::whole(path, &file).at("read", path)?;
    let container = match Container::of_file(&file, 0, part.size).at("read", path)? {
        Container::Packed(packing) => return Ok(Layer::Packed(packing)),
        Container::Tar => return Ok(Layer::Package),
        Container::Unknown if part.size == 0 => return Err(refuse("it is empty".into())),
        Container::Unknown if request.is_raw => Container::Raw,
        Container::Unknown => return Err(refuse(inspect::refusal(&file))),
        container => container,
    };
    let image = foreign::open(&part, container, links).map_err(|why| refuse(with_flag(why, container)))?;
    Ok(Layer::Image(image))
}

/// Adds a hint about the flag that lets a chain be read.
fn with_flag(why: String, container: Container) -> String {
    if container == Container::Qcow2 && why.starts_with("it needs another file") {
        return format!("{why}; if the chain is your own and in this folder, add --allow-backing");
    }
    why
}

impl Source {
    /// Examines a file, and refuses early what can be refused without unpacking.
    pub(super) fn examine(file: &Utf8Path, request: &ConvertRequest<'_>) -> Result<Self, Error> {
        Ok(Self { file: file.to_owned(), found: layer(file, request, request.links)? })
    }

    /// Unpacks it.
    pub(super) fn disk(
        self,
        stages: &StageRunner<'_>,
        request: &ConvertRequest<'_>,
    ) -> Result<RawSource, Error> {
        let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
        let Self { file, mut found } = self;
        let (mut scratch, mut left_out, mut path) = (Vec::new(), Vec::new(), file.clone());
        let mut is_own = true;
        for number in 0.. {
            let target = |folder: &ScratchDir| folder.path().join(format!("layer-{number}"));
            let next = match found {
                Layer::Image(image) => {
                    foreign::check(&image).map_err(refuse)?;
                    let identity = identity(&image, &file, is_own)?;
                    let (path, size) = flat(stages, request, &image, &mut scratch)?;
                    return Ok(RawSource { path, size, identity, left_out, _scratch: scratch });
                }
                _ if number >= MOST_LAYERS => {
                    return Err(refuse("it is compressed more than once: unpack it first".into()));
                }
                Layer::Packed(packing) => {
                    let packed = fs::metadata(&path).at("read", &path)?.len();
                    let folder = stages.scratch(packed.saturating_mul(EXPANSION))?;
                    let next = target(&folder);
                    stages.timed(STAGE, || {
                        unpack::whole(&path, packing, &next).map_err(|why| stopped(why, refuse))
                    })?;
                    scratch.push(folder);
                    next
                }
                Layer::Package => {
                    let boot = boot_disk(&path).map_err(refuse)?;
                    left_out.extend(boot.left_out);
                    let folder = stages.scratch(boot.member.size)?;
                    let next = target(&folder);
                    ova::extract(&path, &boot.member, &next)?;
                    scratch.push(folder);
                    next
                }
            };
            path = next;
            is_own = false;
            // The unpacked file has no other files beside it.
            found = layer(&path, request, Links::Refuse)?;
        }
        unreachable!("every iteration returns or continues")
    }
}

fn stopped(why: String, refuse: impl Fn(String) -> Error) -> Error {
    if rave_process::interrupt::requested().is_some() { Error::Interrupted } else { refuse(why) }
}

/// The bootable disk of a package, after verifying its digest.
fn boot_disk(path: &Utf8Path) -> Result<ova::BootDisk, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let package = ova::Package::read(&mut file).map_err(|error| format!("not a valid archive: {error}"))?;
    let boot = package.boot_disk()?;
    let digests = package.digests(&mut file).map_err(|error| error.to_string())?;
    for line in
        digests.map_err(|error| error.to_string())?.iter().filter(|line| line.name == boot.member.name)
    {
        if let Some(algorithm) = line.algorithm() {
            inspect::check_digest(&mut file, &package.members, line, algorithm)?;
        }
    }
    Ok(boot)
}

/// The digest of a single file, or a digest over those of several.
fn identity(image: &ImageNode, file: &Utf8Path, is_own: bool) -> Result<Digest, Error> {
    if !is_own || image.files.len() < 2 {
        return Digest::of_file(file).at("read", file);
    }
    let mut hasher = Hasher::default();
    for file in &image.files {
        hasher.field("file", Digest::of_file(file).at("read", file)?.bytes());
    }
    Ok(hasher.finish())
}

/// The disk as a raw file; the file itself if it is raw already.
fn flat(
    stages: &StageRunner<'_>,
    request: &ConvertRequest<'_>,
    image: &ImageNode,
    scratch: &mut Vec<ScratchDir>,
) -> Result<(Utf8PathBuf, u64), Error> {
    let refuse = |detail: String| Error::Input { what: request.file.to_string(), detail };
    let size = if image.is_plain() {
        fs::metadata(&image.files[0]).at("read", &image.files[0])?.len()
    } else {
        image.virtual_size().map_err(refuse)?
    };
    match size {
        0 => return Err(refuse("it is empty".into())),
        LARGEST.. => return Err(refuse(format!("{} TiB is larger than any disk of a guest", size >> 40))),
        _ => {}
    }
    // A disk may end within a sector, which only the raw format supports.
    let whole = size.next_multiple_of(512);
    if image.is_plain() {
        return Ok((image.files[0].clone(), whole));
    }
    let folder = stages.scratch(allocated(image)?)?;
    let path = folder.path().join("disk.raw");
    let command = tool("qemu-img").args(["convert", "-O", "raw", &image.name(), path.as_str()]);
    stages.timed(STAGE, || command.log_file(stages.log(STAGE)).run(&mut |_| ()).map(drop).stage(STAGE))?;
    let inner = File::open(&path).and_then(|file| Container::of_file(&file, 0, size)).at("read", &path)?;
    if inner == Container::FixedVhd || inner.driver().is_some_and(|driver| driver != "raw") {
        let detail =
            format!("the disk in it is itself a {}: extract that first, and convert it", inner.name());
        return Err(refuse(detail));
    }
    scratch.push(folder);
    Ok((path, whole))
}

/// Bytes of a disk that are not holes.
fn allocated(image: &ImageNode) -> Result<u64, Error> {
    #[derive(Deserialize)]
    struct Measured {
        required: u64,
    }
    // The size that an uncompressed qcow2 would have.
    let arguments = ["measure", "--output=json", "-O", "qcow2", &image.name()];
    let found = Cmd::new("qemu-img").args(arguments).timeout(DEADLINE).output().stage("measure")?;
    let measured: Measured = serde_json::from_slice(&found.stdout)
        .map_err(|error| Error::Input { what: image.files[0].to_string(), detail: error.to_string() })?;
    Ok(measured.required)
}

impl RawSource {
    /// An error if its end is missing according to its partition table.
    pub(super) fn check_end(&self) -> Result<(), String> {
        let file = File::open(&self.path).map_err(|error| error.to_string())?;
        // The partition table of a hybrid ISO may include sectors that its writer omitted.
        if matches!(Container::of_file(&file, 0, self.size), Ok(Container::Iso { .. })) {
            return Ok(());
        }
        inspect::tables(&file).and_then(|disk| disk.cut().map_or(Ok(()), Err))
    }
}
