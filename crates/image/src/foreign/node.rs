//! An image as a tree of QEMU's nodes (its qapi/block-core.json, `BlockdevOptions`): each file and each driver is
//! explicit, so that nothing is probed and no name in an image is followed.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde_json::{Value, json};

use super::container::Container;

/// How long qemu-img may take to read an image's header; an untrusted image may keep it busy forever.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// An image with all its files known.
#[derive(Debug)]
pub(crate) struct ImageNode {
    /// Its type.
    pub(crate) container: Container,
    /// Its files, the image itself first.
    pub(crate) files: Vec<Utf8PathBuf>,
    pub(super) node: Value,
    /// The first image without its backing files: `qemu-img info` opens no others.
    pub(super) top: Value,
    /// Data bounds that must be within its files.
    pub(super) parts: Vec<Bounds>,
    /// The descriptor that QEMU reads instead of the untrusted one.
    pub(super) _descriptor: Option<tempfile::TempDir>,
}

/// An image, and the files that contain its data.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) node: Value,
    /// The end of each file's share of the disk, and the file's length; both in bytes, in the disk's order.
    pub(super) files: Vec<(u64, u64)>,
}

impl Bounds {
    /// All data in one file of `length` bytes.
    pub(super) fn one(node: Value, length: u64) -> Self {
        Self { node, files: vec![(u64::MAX, length)] }
    }
}

/// A file.
pub(super) fn file(path: &Utf8Path) -> Value {
    json!({ "driver": "file", "filename": path })
}

/// Bytes of another node.
pub(crate) fn window(node: &Value, offset: u64, size: u64) -> Value {
    json!({ "driver": "raw", "offset": offset, "size": size, "file": node })
}

/// An image that is read alone: QEMU ignores its backing file.
pub(super) fn alone(driver: &str, file: &Value) -> Value {
    json!({ "driver": driver, "file": file, "backing": null })
}

impl ImageNode {
    /// Its name for QEMU.
    pub(crate) fn name(&self) -> String {
        name(&self.node)
    }

    /// Whether its first file is the disk, byte by byte.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.container, Container::Raw | Container::Iso { .. }) && self.files.len() == 1
    }

    /// The name for QEMU of a part of its disk, both bounds multiples of 512.
    pub(crate) fn part(&self, start: u64, size: u64) -> String {
        name(&window(&self.node, start, size))
    }

    /// The disk's size, bytes.
    pub(crate) fn virtual_size(&self) -> Result<u64, String> {
        let info = Cmd::new("qemu-img").args(["info", "--output=json", &name(&self.top)]);
        let output = info.timeout(DEADLINE).output().map_err(|error| qemu_img_message(&error))?;
        let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        value["virtual-size"].as_u64().ok_or_else(|| "qemu-img reports no size of its disk".into())
    }
}

pub(super) fn name(node: &Value) -> String {
    format!("json:{node}")
}

/// The message of qemu-img, without its command line.
pub(super) fn qemu_img_message(error: &rave_process::Error) -> String {
    let lines = error.tail();
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| error.to_string(), |line| reason(line))
}

/// `qemu-img: Could not open 'json:{...}': why` refers to a node of ours.
fn reason(line: &str) -> String {
    let line = line.trim();
    line.rsplit_once("': ").map_or(line, |(_, why)| why).trim_start_matches("qemu-img: ").to_owned()
}
