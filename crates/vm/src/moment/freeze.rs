//! Pauses a running machine for a moment and saves it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_guest::channel::client::{Client as Guest, HoldError};
use rave_guest::channel::message::Request;
use serde_json::{Value, json};

use super::blocks::{self, Block, with_blocks};
use super::files::Moment;
use super::mapping::{Backing, backing};
use super::pages::Process;
use super::shape::Shape;
use super::switch::Open;
use crate::Error;
use crate::files::make_private_dir;
use crate::instance::PATIENT;
use crate::layers::{self, Layers};
use crate::qemu::Qemu;
use crate::qmp::Client;
use crate::space::Seen;
use crate::sparse::copy_sparse;

/// How long a guest may take to pause, and to resume.
const GUEST: Duration = Duration::from_secs(60);
/// Commands that are required to freeze a machine.
const COMMANDS: [&str; 5] =
    ["xen-save-devices-state", "add-fd", "blockdev-add", "blockdev-snapshot", "change-backing-file"];
/// The maximum that QEMU may write about its devices, bytes: it writes some hundred KiB.
const DEVICES: u64 = 64 << 20;

/// What a full disk prevents.
const SAVE: &str = "save the machine at this moment";

/// What to freeze, and where to.
#[derive(Debug)]
pub struct Freezing<'a> {
    /// The disk.
    pub layers: &'a Layers,
    /// What the lowest layer lies on: an image, or a clone's copy of its template's disk.
    pub on: &'a Utf8Path,
    /// The file that the memory of a clone or a fork was mapped from.
    pub memory: &'a Utf8Path,
    /// The session with the guest.
    pub guest: &'a Guest,
    /// The moment, in a folder that is used for nothing else.
    pub moment: &'a Moment,
}

/// The parts of a machine that can be frozen.
#[derive(Debug)]
struct Source {
    process: Process,
    blocks: Vec<Block>,
    main: Block,
    backing: Backing,
    disk: Open,
    shape: Shape,
}

impl Freezing<'_> {
    /// Freezes the machine, which then continues.
    pub(crate) fn run(
        &self,
        qmp: &mut Client,
        seen: &mut Seen,
        pid: u32,
        qemu: &Qemu,
    ) -> Result<Frozen<'_>, Error> {
        if has_paused(qmp, seen) {
            return Err(seen.space.lacking(SAVE));
        }
        let source = self.inspect(qmp, pid, qemu)?;
        make_private_dir(self.moment.folder())?;
        let memory = self.begin_memory(&source)?;
        let new = source.disk.prepare(self.layers)?;
        // The guest writes what it has not written yet, and does not answer while it is paused by a full disk.
        let held = self.guest.hold(GUEST, &mut || !has_paused(qmp, seen)).map_err(|error| match error {
            _ if seen.space.is_lacking() => seen.space.lacking(SAVE),
            HoldError::Unknown => Error::GuestTooOld,
            HoldError::Io(e) => Error::io("pause the guest of", self.layers.folder(), e),
        });
        let paused = held.and_then(|held| {
            let started = Instant::now();
            let stopped = qmp.execute("stop", Value::Null, PATIENT);
            let saved = stopped.and_then(|_| self.save(qmp, &source, &memory, &new));
            // Whether or not it was saved, the machine continues.
            let continued = qmp.execute("cont", Value::Null, PATIENT);
            drop(held);
            saved.and(continued).map(|_| started.elapsed())
        });
        // If it is paused again, it opens when it is resumed: the request waits for it.
        let opened = self.guest.ask_while(&Request::Open, GUEST, &mut || !has_paused(qmp, seen));
        if paused.is_err() && Open::of(qmp, self.layers).is_ok_and(|open| open.number == source.disk.number) {
            self.layers.take_off(source.disk.number)?;
        }
        let paused = paused?;
        opened.map_err(|e| match e {
            _ if seen.space.is_lacking() => seen.space.lacking(SAVE),
            e => Error::io("resume the guest of", self.layers.folder(), e),
        })?;
        Ok(Frozen { freezing: self, source, paused })
    }

    /// Checks that everything can be frozen before anything is changed.
    fn inspect(&self, qmp: &mut Client, pid: u32, qemu: &Qemu) -> Result<Source, Error> {
        let cannot = |why: &str| Error::io("freeze", self.layers.folder(), io::Error::other(why.to_owned()));
        let known = qmp.execute("query-commands", Value::Null, PATIENT)?;
        let has = |name: &&str| {
            known.as_array().is_some_and(|known| known.iter().any(|command| command["name"] == *name))
        };
        if let Some(missing) = COMMANDS.iter().find(|name| !has(name)) {
            return Err(cannot(&format!("this QEMU does not support {missing}")));
        }
        let disk = Open::of(qmp, self.layers)?;
        let height = self.layers.height()?;
        if height >= layers::MOST {
            return Err(cannot(&format!(
                "its disk has {height} layers, the maximum: stop and start it to merge them"
            )));
        }
        let shape = Shape::of_process(pid, qemu.build()?)?
            .ok_or_else(|| cannot("QEMU was updated since it was started: stop and start it first"))?;
        let text =
            qmp.execute("human-monitor-command", json!({ "command-line": "info ramblock" }), PATIENT)?;
        let blocks = text.as_str().and_then(blocks::parse);
        let blocks = blocks
            .ok_or_else(|| cannot("this QEMU does not report where its memory is; QEMU 8.2 and later do"))?;
        let main = blocks.iter().find(|block| block.is_main()).cloned();
        let main = main.ok_or_else(|| cannot("QEMU's memory has an unknown name"))?;
        let process = Process::open(pid).and_then(|process| process.try_read(main.address).map(|()| process));
        let process = process.map_err(|error| {
            cannot(&format!(
                "the kernel denies access to its memory ({error}): stop and start it, or see kernel.yama.ptrace_scope"
            ))
        })?;
        let backing = backing(pid, &main, self.memory);
        let backing = backing.map_err(|e| Error::io("freeze", self.layers.folder(), e))?;
        Ok(Source { process, blocks, main, backing, disk, shape })
    }

    /// The new file of the memory, filled with the contents of the file that the memory was mapped from: the guest
    /// cannot change that.
    fn begin_memory(&self, source: &Source) -> Result<File, Error> {
        let path = self.moment.memory();
        let failed = |e| Error::io("write", &path, e);
        let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path);
        let file = file.map_err(failed)?;
        if source.backing == Backing::File {
            let from = File::open(self.memory).map_err(|e| Error::io("read", self.memory, e))?;
            copy_sparse(&from, &file).map_err(failed)?;
        }
        file.set_len(source.main.used).map_err(failed)?;
        Ok(file)
    }

    /// Saves everything that must be from the same moment.
    fn save(&self, qmp: &mut Client, source: &Source, memory: &File, new: &Utf8Path) -> Result<(), Error> {
        let devices = self.moment.devices();
        let bytes = self.save_devices(qmp)?;
        let failed = |e| Error::io("write", &devices, e);
        let stream = with_blocks(&bytes, &source.blocks, source.process.memory()).map_err(failed)?;
        fs::write(&devices, stream).map_err(failed)?;
        let backing = self.layers.backing_name_of(source.disk.number, self.on)?;
        source.disk.switch(qmp, new, &backing)?;
        let is_fresh = source.backing == Backing::Nothing;
        let copied = source.process.copy_written(source.main.address, source.main.used, memory, is_fresh);
        copied.map_err(|e| Error::io("write", self.moment.memory(), e))
    }

    /// The state of the devices. QEMU writes it into a temporary file, as it may keep that open.
    fn save_devices(&self, qmp: &mut Client) -> Result<Vec<u8>, Error> {
        let folder = self.moment.folder();
        let failed = |e| Error::io("save the devices in", folder, e);
        let read = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let write = OpenOptions::new().write(true).open(read.path()).map_err(failed)?;
        let set = qmp.give(&[&write], PATIENT)?;
        let saved =
            qmp.execute("xen-save-devices-state", json!({ "filename": set.name(), "live": false }), PATIENT);
        let taken_back = qmp.take_back(set, PATIENT);
        saved.and(taken_back)?;
        let mut bytes = Vec::new();
        read.as_file().take(DEVICES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > DEVICES {
            return Err(failed(io::Error::other(format!("QEMU wrote more than {} MiB", DEVICES >> 20))));
        }
        Ok(bytes)
    }
}

/// Whether the machine has been paused by a full disk.
fn has_paused(qmp: &mut Client, seen: &mut Seen) -> bool {
    seen.take(qmp);
    seen.space.is_lacking()
}

/// A machine that was frozen and continues. The moment exists after `finish`, which takes as long as copying a layer.
#[derive(Debug)]
#[must_use]
pub struct Frozen<'a> {
    freezing: &'a Freezing<'a>,
    source: Source,
    paused: Duration,
}

impl Frozen<'_> {
    /// Completes the moment, without the guest; returns how long the machine was paused.
    pub fn finish(self) -> Result<Duration, Error> {
        let Freezing { layers, moment, .. } = self.freezing;
        let top = self.source.disk.number;
        layers.part(top)?;
        moment.take_disk(layers, Some(top))?;
        moment.finish_running(layers, top, self.source.shape)?;
        Ok(self.paused)
    }
}
