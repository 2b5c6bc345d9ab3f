//! Boots a template's machine to its barrier and saves it.

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_fs::Replace;
use rave_guest::channel::client::Client;
use rave_guest::channel::message::Request;
use rave_process::interrupt;
use serde_json::Value;

use super::barrier::Answer;
use super::check::Description;
use super::files::Template;
use super::key::Key;
use super::recipe::Recipe;
use super::save::save;
use super::store::{TemplateLock, Templates};
use crate::Error;
use crate::accel::Engine;
use crate::instance::{BootEvent, Instance};
use crate::kept::KeptDisk;
use crate::prepare::set_backing;
use crate::qemu::{Facts, Qemu};
use crate::qmp::QMP_DEADLINE;
use crate::space;

/// How long the guest may take to prepare for being saved: it reads some hundred megabytes.
const HOLD: Duration = Duration::from_secs(600);
/// How long QEMU may take to end.
const QUIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// What a template needs in addition to its memory, bytes: the guest writes some ten megabytes while it boots.
const DISK: u64 = 64 << 20;

/// The parameters for making a template.
#[derive(Debug)]
pub struct Making<'a> {
    /// What to boot.
    pub recipe: Recipe<'a>,
    /// Its key.
    pub key: Key,
    /// The QEMU to use.
    pub qemu: &'a Qemu,
    /// The facts about that QEMU.
    pub facts: &'a Facts,
    /// What runs the guest's instructions.
    pub engine: Engine,
    /// How long the guest may take to reach its barrier.
    pub deadline: Duration,
}

/// Connects the other end of the network card, given the socket on which QEMU listens; the connection lives as long as
/// the returned value. The guest's address is part of what is saved.
pub type StartNetwork<'a> = &'a dyn Fn(&Utf8Path) -> io::Result<Box<dyn Any>>;

/// Makes a template, completely or not at all. The machine ends with this process.
pub fn make(
    templates: &Templates,
    lock: &TemplateLock,
    making: &Making<'_>,
    network: StartNetwork<'_>,
    on_event: &mut dyn FnMut(BootEvent<'_>),
) -> Result<Template, Error> {
    let new = templates.begin(lock)?;
    let made = make_in(&new, making, network, on_event).and_then(|()| templates.commit(&new, lock));
    made.map_err(|error| {
        // Before its files are removed, which frees space.
        let error = of_full_disk(error, &new, making.recipe.memory_mib);
        // What cannot be removed now is removed with the next template.
        let _ = rave_fs::remove_all(new.folder());
        error
    })
}

/// Names the space that a template needs, if the disk was full.
fn of_full_disk(error: Error, new: &Template, memory_mib: u64) -> Error {
    if !error.is_of_full_disk() {
        return error;
    }
    let folder = new.folder().to_owned();
    let needed = (memory_mib << 20) + DISK;
    Error::NoSpace { doing: "make the template", free: space::free(&folder), folder, needed }
}

/// Makes it in a folder that is not yet in its place.
fn make_in(
    new: &Template,
    making: &Making<'_>,
    network: StartNetwork<'_>,
    on_event: &mut dyn FnMut(BootEvent<'_>),
) -> Result<(), Error> {
    let recipe = &making.recipe;
    KeptDisk::at(new.folder().to_owned()).hold(recipe.image, recipe.sha256)?;
    let machine = recipe.machine(new, making.facts);
    let (socket, card) = (machine.files.channel_socket.clone(), machine.files.network_socket.clone());
    let mut instance = Instance::boot(machine, making.engine, making.qemu)?;
    let _network = network(&card).map_err(|e| Error::io("connect the network at", &card, e))?;
    let answer = Answer::wait_on(socket);
    let mut found = None;
    instance.wait_until(making.deadline, on_event, &mut || {
        found = found.take().or_else(|| answer.try_session());
        found.is_some()
    })?;
    if let Some((client, welcome)) = found {
        if !welcome.at_barrier {
            let name = instance.machine().name.clone();
            let why = "its image was built by an earlier version and does not stop at a barrier".to_owned();
            return Err(Error::BadMachine { name, why });
        }
        hold(&mut instance, &client, new)?;
    }
    save(&mut instance.qmp, &new.devices())?;
    end(instance)?;
    finish(new, &making.key)
}

/// Lets the guest prepare for being saved, and disconnects.
fn hold(instance: &mut Instance, client: &Client, new: &Template) -> Result<(), Error> {
    let mut watched = Ok(());
    let held = client.ask_while(&Request::Hold, HOLD, &mut || {
        watched = watch(instance);
        watched.is_ok()
    });
    client.close();
    watched?;
    if held.is_err() {
        // That it has ended is why it did not answer.
        watch(instance)?;
    }
    held.map(drop).map_err(|error| Error::io("pause the guest of", new.folder(), error))
}

/// Whether the machine is still worth waiting for.
fn watch(instance: &mut Instance) -> Result<(), Error> {
    match instance.ended()? {
        Some(status) => Err(instance.died(status)),
        None => instance.check_space(),
    }
}

fn end(mut instance: Instance) -> Result<(), Error> {
    instance.qmp.execute("quit", Value::Null, QMP_DEADLINE)?;
    let deadline = Instant::now() + QUIT;
    while instance.ended()?.is_none() && Instant::now() < deadline {
        interrupt::pause(PAUSE)?;
    }
    instance.clean_up()
}

/// Syncs everything to disk before the template gets its name: clones can resume from it even after a power failure.
fn finish(new: &Template, key: &Key) -> Result<(), Error> {
    // For clones, both disks are in another folder.
    set_backing(&new.disk(), Utf8Path::new("base.qcow2"))?;
    for file in [new.memory(), new.devices(), new.disk()] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400))
            .and_then(|()| File::open(&file)?.sync_all())
            .map_err(|e| Error::io("write", &file, e))?;
    }
    let path = new.description_file();
    let description = Description::of(new, key.clone())?;
    let text = serde_json::to_vec_pretty(&description).map_err(|e| Error::io("write", &path, e.into()))?;
    Replace::new(&path).mode(0o400).write(text).map_err(|e| Error::io("write", &path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_process::Status;

    #[test]
    fn a_full_disk_is_reported_with_the_space_of_a_template() {
        let folder = tempfile::tempdir().unwrap();
        let new = Template::at(Utf8Path::from_path(folder.path()).unwrap());
        let died = |signal| Error::QemuDied {
            command: "qemu".into(),
            status: Status::Signal(signal),
            tail: Vec::new(),
        };
        // A file that cannot grow kills the program that has it mapped by SIGBUS.
        let error = of_full_disk(died(7), &new, 1024);
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot make the template: the disk of {}", new.folder())),
            "{text}"
        );
        assert!(text.ends_with("1088 MiB are needed") && error.remedy().is_some(), "{text}");
        let full = std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        assert!(of_full_disk(Error::io("write", "/x", full), &new, 1).to_string().contains("is full"));
        assert!(matches!(of_full_disk(died(9), &new, 1024), Error::QemuDied { .. }));
    }
}
