//! A running machine's disk: what was written is frozen, and the guest goes on writing on top of it.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::Error;
use crate::instance::QMP_DEADLINE;
use crate::layers::Layers;
use crate::qmp::Client;

/// The disk as QEMU has it.
#[derive(Debug)]
pub(super) struct Open {
    node: String,
    /// The layer that QEMU writes: the truth where a note says otherwise.
    pub(super) number: u32,
    bytes: u64,
}

impl Open {
    /// Asks QEMU.
    pub(super) fn of(qmp: &mut Client, layers: &Layers) -> Result<Self, Error> {
        let answer = qmp.execute("query-block", Value::Null, QMP_DEADLINE)?;
        let unknown = || {
            Error::io("freeze", layers.folder(), std::io::Error::other("QEMU has no disk that is known here"))
        };
        let all = answer.as_array().into_iter().flatten();
        let found = all.filter_map(|device| {
            let inserted = &device["inserted"];
            let file = Utf8Path::new(inserted["file"].as_str()?);
            let number = (0..=layers.number().ok()? + 1).find(|number| same(&layers.file(*number), file))?;
            let node = inserted["node-name"].as_str()?.to_owned();
            Some(Self { node, number, bytes: inserted["image"]["virtual-size"].as_u64()? })
        });
        let mut found: Vec<Self> = found.collect();
        found.pop().ok_or_else(unknown)
    }

    /// A new layer, which is not written yet.
    pub(super) fn prepare(&self, layers: &Layers) -> Result<Utf8PathBuf, Error> {
        layers.put_on(self.number, self.bytes)
    }

    /// Lets a machine that stands write to the new layer from now on. `beneath` is what the frozen one lies on, by its name alone:
    /// it may get second names in other folders.
    pub(super) fn switch(&self, qmp: &mut Client, new: &Utf8Path, beneath: &str) -> Result<(), Error> {
        let name = format!("layer{}", self.number + 1);
        let overlay = json!({
            "driver": "qcow2", "node-name": name, "discard": "unmap", "backing": Value::Null,
            "file": { "driver": "file", "filename": new },
        });
        let rename = json!({ "device": self.node, "image-node-name": self.node, "backing-file": beneath });
        qmp.execute("change-backing-file", rename, QMP_DEADLINE)?;
        qmp.execute("blockdev-add", overlay, QMP_DEADLINE)?;
        let switched =
            qmp.execute("blockdev-snapshot", json!({ "node": self.node, "overlay": name }), QMP_DEADLINE);
        if switched.is_err() {
            let _ = qmp.execute("blockdev-del", json!({ "node-name": name }), QMP_DEADLINE);
        }
        switched.map(drop)
    }
}

fn same(one: &Utf8Path, other: &Utf8Path) -> bool {
    camino::absolute_utf8(one).is_ok_and(|one| one == other)
}
