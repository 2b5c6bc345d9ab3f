//! The start of a machine: from its disk, as a clone of a template, or from a moment; what is a copy gets an identity of its own
//! before anything else.

use std::fs;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rave_guest::channel::client::Client;
use rave_guest::channel::message::Request;
use rave_vm::keys::KeyPair;
use rave_vm::layers;
use rave_vm::machine::{Machine, Memory};
use rave_vm::moment::Moment;
use rave_vm::ports::PortForward;
use rave_vm::standalone::Standalone;
use rave_vm::template::{self, Template, renew};

use super::host::{Host, QUIT, remove, save};
use crate::control::Origin;
use crate::error::Error;
use crate::identity::Identity;
use crate::place::Place;
use crate::record::Record;

/// How long a guest may take for its identity: half a second on an idle machine that emulates, and machines are not always idle.
const IDENTITY: Duration = Duration::from_secs(60);

/// How long a guest may take to boot to its barrier.
const BOOT: Duration = Duration::from_secs(400);

/// A machine that was started.
pub(super) struct Started {
    pub(super) machine: Standalone,
    /// The session that a clone got its identity in.
    pub(super) client: Option<Client>,
    pub(super) origin: Origin,
}

/// Whether its guest has no identity yet: whatever is on its disk is a template's, or of the sandbox that it is a fork of.
pub(super) fn is_without_identity(place: &Place) -> bool {
    let is_anothers = place.template().disk().exists() || place.moment().exists() || place.fork().exists();
    is_anothers && !place.identity().exists()
}

/// Lets go of the memory that a machine went on from, once it has ended.
pub(super) fn forget_memory(place: &Place) -> Result<(), Error> {
    if is_without_identity(place) { Ok(()) } else { remove(&place.moment().memory()) }
}

/// Starts the machine. Where a clone cannot be started, the machine boots, and the reason is told.
pub(super) fn start(
    place: &Place,
    record: &Record,
    host: &Host,
    forwards: &[PortForward],
) -> Result<Started, Error> {
    if !is_without_identity(place) {
        settle(place)?;
        remove(&place.moment().memory())?;
        collapse(place)?;
        return boot(record.machine(place, forwards.to_vec())?, host, Origin::Disk);
    }
    remove(&place.layers().active()?)?;
    let machine = record.machine(place, forwards.to_vec())?;
    if place.moment().exists() {
        return go_on(place, record, host, machine);
    }
    if place.fork().exists() {
        return boot_to_barrier(place, record, host, machine);
    }
    let template = place.template();
    match clone(place, record, host, &template, machine) {
        Ok((machine, client)) => Ok(Started { machine, client: Some(client), origin: Origin::Template }),
        Err(error) if error.is_interrupt() => Err(error),
        Err(error) => {
            // In this order: whatever is left of it is never taken for a machine of its own.
            remove(&place.identity())?;
            remove(&place.disk().overlay())?;
            template.forget()?;
            boot(
                record.machine(place, forwards.to_vec())?,
                host,
                Origin::DiskInstead { why: error.to_string() },
            )
        }
    }
}

/// Makes one layer of many, where reading would become slow.
fn collapse(place: &Place) -> Result<(), Error> {
    let layers = place.layers();
    match place.on() {
        Some(on) if layers.height()? > layers::MANY => Ok(layers.collapse(&on)?),
        _ => Ok(()),
    }
}

/// Goes on from a moment. A fork is no machine of its own before its receipt is in, so nothing else is made of it; one that goes
/// back to its own snapshot can start from that disk.
fn go_on(place: &Place, record: &Record, host: &Host, machine: Machine) -> Result<Started, Error> {
    let moment = place.moment();
    match resume(place, record, host, &moment, &machine) {
        Ok((machine, client)) => Ok(Started { machine, client: Some(client), origin: Origin::Moment }),
        Err(error) if error.is_interrupt() || place.fork().exists() => Err(error),
        Err(error) => {
            remove(&place.layers().active()?)?;
            match fs::rename(place.identity_before(), place.identity()) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("rename", place.identity_before(), error));
                }
                _ => {}
            }
            moment.forget()?;
            remove(&moment.memory())?;
            boot(machine, host, Origin::DiskInstead { why: error.to_string() })
        }
    }
}

fn resume(
    place: &Place,
    record: &Record,
    host: &Host,
    moment: &Moment,
    machine: &Machine,
) -> Result<(Standalone, Client), Error> {
    let machine = moment.machine(machine, host.engine, &host.qemu)?;
    let machine = Standalone::resume(machine, moment, host.engine, &host.qemu)?;
    with_identity(place, record, machine, IDENTITY)
}

/// The fork of a disk alone stops where a template does, before anything has read what makes it the same as its parent.
fn boot_to_barrier(
    place: &Place,
    record: &Record,
    host: &Host,
    mut machine: Machine,
) -> Result<Started, Error> {
    machine.credentials.push(template::credential());
    let machine = Standalone::start(machine, host.engine, &host.qemu)?;
    let (machine, client) = with_identity(place, record, machine, BOOT)?;
    Ok(Started { machine, client: Some(client), origin: Origin::Disk })
}

fn boot(machine: Machine, host: &Host, origin: Origin) -> Result<Started, Error> {
    let machine = Standalone::start(machine, host.engine, &host.qemu)?;
    Ok(Started { machine, client: None, origin })
}

fn clone(
    place: &Place,
    record: &Record,
    host: &Host,
    template: &Template,
    machine: Machine,
) -> Result<(Standalone, Client), Error> {
    let kind = template.fits(&machine, host.engine, &host.qemu)?;
    let machine = Machine { kind: Some(kind), memory: Memory::CopyOf(template.memory()), ..machine };
    let machine = Standalone::start_clone(machine, template, host.engine, &host.qemu)?;
    with_identity(place, record, machine, IDENTITY)
}

/// Gives the machine an identity of its own, or ends it: a copy of another machine is not let on.
fn with_identity(
    place: &Place,
    record: &Record,
    mut machine: Standalone,
    limit: Duration,
) -> Result<(Standalone, Client), Error> {
    match identify(place, record, &machine, limit) {
        Ok(client) => Ok((machine, client)),
        Err(error) => {
            machine.end(QUIT);
            Err(error)
        }
    }
}

fn identify(place: &Place, record: &Record, machine: &Standalone, limit: Duration) -> Result<Client, Error> {
    let key = KeyPair::read(place.folder())?;
    let client = machine.at_barrier(limit)?;
    let failed = |source| Error::io("renew the identity of the guest in", place.folder(), source);
    let keys = format!("{}\n", key.public);
    let receipt = renew(&client, record.name.as_str(), &keys, IDENTITY).map_err(failed)?;
    let clock_behind_after_ms = behind(receipt.time_ms);
    save(&place.identity(), &Identity { receipt, clock_behind_after_ms })?;
    client.ask(&Request::Open, IDENTITY).map_err(failed)?;
    settle(place)?;
    Ok(client)
}

/// Lets go of what only a machine without an identity needs. The memory stays while it is mapped.
fn settle(place: &Place) -> Result<(), Error> {
    place.template().forget_devices()?;
    place.moment().forget()?;
    remove(&place.fork())?;
    remove(&place.identity_before())
}

/// How far a clock is behind ours, ms.
fn behind(time_ms: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX).saturating_sub_unsigned(time_ms)
}

/// Lets a clone on whose supervisor was killed after the receipt.
pub(super) fn open(client: &Client) -> bool {
    client.ask(&Request::Open, IDENTITY).is_ok()
}
