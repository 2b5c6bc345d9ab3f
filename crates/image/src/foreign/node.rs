//! An image as a tree of QEMU's nodes (its qapi/block-core.json, `BlockdevOptions`): each file and each driver is said, so
//! that nothing is probed and no name in an image is followed.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde_json::{Value, json};

use super::container::Container;

/// How long qemu-img may take to look at an image's head; a stranger's may keep it busy forever.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// An image whose every file is known.
#[derive(Debug)]
pub(crate) struct ImageNode {
    /// What it is.
    pub(crate) container: Container,
    /// Its files, the image itself first.
    pub(crate) files: Vec<Utf8PathBuf>,
    pub(super) node: Value,
    /// The first image without those that it is based on: `qemu-img info` opens no others.
    pub(super) top: Value,
    /// What must lie within its files.
    pub(super) parts: Vec<Bounds>,
    /// The descriptor that QEMU reads instead of a stranger's.
    pub(super) _descriptor: Option<tempfile::TempDir>,
}

/// An image, and the files that its data lies in.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) node: Value,
    /// Where a file's share of the disk ends, and how long the file is; both in bytes, in the disk's order.
    pub(super) files: Vec<(u64, u64)>,
}

impl Bounds {
    /// All data in one file of so many bytes.
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

/// An image that is read alone: where it names a backing file, QEMU does as if it did not.
pub(super) fn alone(driver: &str, file: &Value) -> Value {
    json!({ "driver": driver, "file": file, "backing": null })
}

impl ImageNode {
    /// QEMU's name of it.
    pub(crate) fn name(&self) -> String {
        name(&self.node)
    }

    /// Whether its first file is the disk, byte by byte.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.container, Container::Raw | Container::Iso { .. }) && self.files.len() == 1
    }

    /// QEMU's name of a part of the disk in it, both bounds multiples of 512.
    pub(crate) fn part(&self, start: u64, size: u64) -> String {
        name(&window(&self.node, start, size))
    }

    /// The disk's size, bytes.
    pub(crate) fn virtual_size(&self) -> Result<u64, String> {
        let info = Cmd::new("qemu-img").args(["info", "--output=json", &name(&self.top)]);
        let said = info.timeout(DEADLINE).output().map_err(|error| told(&error))?;
        let value: Value = serde_json::from_slice(&said.stdout).map_err(|error| error.to_string())?;
        value["virtual-size"].as_u64().ok_or_else(|| "qemu-img reports no size of its disk".into())
    }
}

pub(super) fn name(node: &Value) -> String {
    format!("json:{node}")
}

/// What qemu-img said, without its command line.
pub(super) fn told(error: &rave_process::Error) -> String {
    let lines = error.tail();
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| error.to_string(), |line| reason(line))
}

/// `qemu-img: Could not open 'json:{...}': why` is about what we named so.
fn reason(line: &str) -> String {
    let line = line.trim();
    line.rsplit_once("': ").map_or(line, |(_, why)| why).trim_start_matches("qemu-img: ").to_owned()
}
