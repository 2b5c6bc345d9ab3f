//! The start of a machine: from its disk, or as a clone of a template, which gets an identity of its own before anything else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rave_guest::channel::client::Client;
use rave_guest::channel::message::{Request, to_json};
use rave_guest::channel::provision::{CREDENTIAL, Provision};
use rave_vm::keys::KeyPair;
use rave_vm::machine::{Credential, Machine, Memory};
use rave_vm::standalone::Standalone;
use rave_vm::template::{Template, renew};

use super::host::{Host, QUIT, remove, save};
use super::network::Connected;
use crate::control::Origin;
use crate::error::Error;
use crate::identity::Identity;
use crate::place::Place;
use crate::record::Record;

/// How long a guest may take for its identity: half a second on an idle machine that emulates, and machines are not always idle.
const IDENTITY: Duration = Duration::from_secs(60);

/// The longest credential that goes into the firmware's tables, bytes: they have 64 KiB for all.
const CREDENTIAL_LIMIT: usize = 24 * 1024;

/// A machine that was started.
pub(super) struct Started {
    pub(super) machine: Standalone,
    /// The session that a clone got its identity in.
    pub(super) client: Option<Client>,
    pub(super) origin: Origin,
}

/// Whether the sandbox lies on a template and its guest has no identity yet: whatever is on its disk is the template's.
pub(super) fn is_without_identity(place: &Place) -> bool {
    place.template().disk().exists() && !place.identity().exists()
}

/// Starts the machine. Where a clone cannot be started, the machine boots, and the reason is told.
pub(super) fn start(
    place: &Place,
    record: &Record,
    host: &Host,
    connected: &Connected,
) -> Result<Started, Error> {
    let forwards = &connected.forwards;
    let provision = connected.provision();
    if !is_without_identity(place) {
        return boot(record.machine(place, forwards.to_vec())?, &provision, host, Origin::Disk);
    }
    let template = place.template();
    remove(&place.disk().overlay())?;
    let machine = record.machine(place, forwards.to_vec())?;
    match clone(place, record, host, &template, (machine, &provision)) {
        Ok((machine, client)) => Ok(Started { machine, client: Some(client), origin: Origin::Template }),
        Err(error) if error.is_interrupt() => Err(error),
        Err(error) => {
            // In this order: whatever is left of it is never taken for a machine of its own.
            remove(&place.identity())?;
            remove(&place.disk().overlay())?;
            template.forget()?;
            boot(
                record.machine(place, forwards.to_vec())?,
                &provision,
                host,
                Origin::DiskInstead { why: error.to_string() },
            )
        }
    }
}

fn boot(mut machine: Machine, provision: &Provision, host: &Host, origin: Origin) -> Result<Started, Error> {
    let value = to_json(provision);
    // A longer one comes with the first session.
    if !provision.is_empty() && value.len() <= CREDENTIAL_LIMIT {
        machine.credentials.push(Credential { name: CREDENTIAL.into(), value });
    }
    let machine = Standalone::start(machine, host.engine, &host.qemu)?;
    Ok(Started { machine, client: None, origin })
}

fn clone(
    place: &Place,
    record: &Record,
    host: &Host,
    template: &Template,
    (machine, provision): (Machine, &Provision),
) -> Result<(Standalone, Client), Error> {
    let kind = template.fits(&machine, host.engine, &host.qemu)?;
    let machine = Machine { kind: Some(kind), memory: Memory::CopyOf(template.memory()), ..machine };
    let mut machine = Standalone::start_clone(machine, template, host.engine, &host.qemu)?;
    match identify(place, record, template, (&machine, provision)) {
        Ok(client) => Ok((machine, client)),
        // A copy of another machine is not let on.
        Err(error) => {
            machine.end(QUIT);
            Err(error)
        }
    }
}

fn identify(
    place: &Place,
    record: &Record,
    template: &Template,
    (machine, provision): (&Standalone, &Provision),
) -> Result<Client, Error> {
    let key = KeyPair::read(place.folder())?;
    let client = machine.at_barrier(IDENTITY)?;
    let failed = |source| Error::io("renew the identity of the guest in", place.folder(), source);
    let keys = format!("{}\n", key.public);
    let receipt = renew(&client, record.name.as_str(), &keys, provision, IDENTITY).map_err(failed)?;
    let clock_behind_after_ms = behind(receipt.time_ms);
    save(&place.identity(), &Identity { receipt, clock_behind_after_ms })?;
    client.ask(&Request::Open, IDENTITY).map_err(failed)?;
    template.forget_memory()?;
    Ok(client)
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
