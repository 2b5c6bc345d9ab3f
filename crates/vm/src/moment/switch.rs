//! The disk of a running machine: freezes what was written, and lets the guest continue on a new layer.

use std::fs::{File, OpenOptions};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::Error;
use crate::instance::PATIENT;
use crate::layers::Layers;
use crate::qmp::{Client, FileSet};

/// The disk as QEMU has opened it.
#[derive(Debug)]
pub(super) struct Open {
    node: String,
    /// The layer that QEMU writes to; this is authoritative if the note differs.
    pub(super) number: u32,
    bytes: u64,
}

impl Open {
    /// Asks QEMU.
    pub(super) fn of(qmp: &mut Client, layers: &Layers) -> Result<Self, Error> {
        let answer = qmp.execute("query-block", Value::Null, PATIENT)?;
        let last = layers.number()?.saturating_add(1);
        let all = answer.as_array().into_iter().flatten();
        let mut found = all.filter_map(|device| {
            let inserted = &device["inserted"];
            let node = inserted["node-name"].as_str()?;
            let is_file = |number: &u32| {
                inserted["file"].as_str().is_some_and(|file| same(&layers.file(*number), Utf8Path::new(file)))
            };
            // A layer that QEMU was switched to has a node name of ours, and no file name.
            let number =
                number_of(node).or_else(|| (0..=last).find(is_file)).filter(|number| *number <= last)?;
            Some(Self { node: node.to_owned(), number, bytes: inserted["image"]["virtual-size"].as_u64()? })
        });
        found.next_back().ok_or_else(|| {
            Error::io("freeze", layers.folder(), io::Error::other("QEMU has no disk that RAVE knows"))
        })
    }

    /// Creates a new, empty layer.
    pub(super) fn prepare(&self, layers: &Layers) -> Result<Utf8PathBuf, Error> {
        layers.put_on(self.number, self.bytes)
    }

    /// Makes a paused machine write to the new layer from now on, which its QEMU need not be able to open itself.
    /// `beneath` is the backing file of the frozen layer, by its file name alone: the layer may get hard links in other
    /// folders.
    pub(super) fn switch(&self, qmp: &mut Client, new: &Utf8Path, backing: &str) -> Result<(), Error> {
        let failed = |e| Error::io("open", new, e);
        let write = OpenOptions::new().read(true).write(true).open(new).map_err(failed)?;
        // For when this layer is frozen, which opens it again.
        let read = File::open(new).map_err(failed)?;
        let rename = json!({ "device": self.node, "image-node-name": self.node, "backing-file": backing });
        qmp.execute("change-backing-file", rename, PATIENT)?;
        let set = qmp.give(&[&write, &read], PATIENT)?;
        let switched = self.put(qmp, set);
        if switched.is_err() {
            let _ = qmp.take_back(set, PATIENT);
        }
        switched
    }

    fn put(&self, qmp: &mut Client, set: FileSet) -> Result<(), Error> {
        let name = node_of(self.number + 1);
        // A supervisor that was killed before the switch has left its node.
        let _ = delete(qmp, &name);
        let overlay = json!({
            "driver": "qcow2", "node-name": name, "discard": "unmap", "backing": Value::Null,
            "file": { "driver": "file", "filename": set.name() },
        });
        qmp.execute("blockdev-add", overlay, PATIENT)?;
        let switched =
            qmp.execute("blockdev-snapshot", json!({ "node": self.node, "overlay": name }), PATIENT);
        if switched.is_err() {
            let _ = delete(qmp, &name);
        }
        switched.map(drop)
    }
}

/// Removes a node that is not in use.
fn delete(qmp: &mut Client, node: &str) -> Result<Value, Error> {
    qmp.execute("blockdev-del", json!({ "node-name": node }), PATIENT)
}

/// The prefix of the node names of layers that QEMU was switched to.
const NODE: &str = "layer";

/// QEMU's node name for the layer of this number, if it was started with an earlier one.
fn node_of(number: u32) -> String {
    format!("{NODE}{number}")
}

fn number_of(node: &str) -> Option<u32> {
    node.strip_prefix(NODE)?.parse().ok()
}

fn same(one: &Utf8Path, other: &Utf8Path) -> bool {
    camino::absolute_utf8(one).is_ok_and(|one| one == other)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rave_process::{Child, Cmd};

    use super::*;

    /// QEMU with a disk, whose guest does not run.
    fn qemu(folder: &Utf8Path) -> (Child, Client) {
        let disk = folder.join("disk.qcow2");
        let image = folder.join("image.raw");
        File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let create = ["create", "-q", "-f", "qcow2", "-b", image.as_str(), "-F", "raw", disk.as_str()];
        Cmd::new("qemu-img").args(create).output().unwrap();
        let socket = folder.join("qmp.sock");
        let [qmp, drive] =
            [format!("unix:{socket},server=on,wait=off"), format!("if=virtio,node-name=disk,file={disk}")];
        let words =
            ["-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-qmp", &qmp, "-drive", &drive];
        let child = Cmd::new("qemu-system-x86_64").args(words).stdin_null().spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !socket.exists() {
            assert!(Instant::now() < deadline, "QEMU did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        (child, Client::connect(&socket, PATIENT).unwrap())
    }

    #[test]
    fn a_switch_that_was_killed_halfway_does_not_prevent_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let layers = Layers::at(folder);
        let (_child, mut qmp) = qemu(folder);
        let open = Open::of(&mut qmp, &layers).unwrap();
        let file = open.prepare(&layers).unwrap();
        let left = json!({ "driver": "null-co", "read-zeroes": true, "node-name": node_of(open.number + 1) });
        qmp.execute("blockdev-add", left, PATIENT).unwrap();
        open.switch(&mut qmp, &file, "image.raw").unwrap();
        assert_eq!(Open::of(&mut qmp, &layers).unwrap().number, 1);
    }

    #[test]
    fn a_layer_is_identified_by_its_node_and_the_first_by_its_file() {
        for number in [1, 24] {
            assert_eq!(number_of(&node_of(number)), Some(number));
        }
        for node in ["disk", "layer", "layer-1", "player1", "layer4294967296"] {
            assert_eq!(number_of(node), None, "{node}");
        }
    }
}
