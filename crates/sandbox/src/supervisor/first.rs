//! Starts a machine: from its disk, as a clone of a template, or from a moment. A copy gets an identity of its own
//! before anything else.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rave_guest::channel::client::Client;
use rave_guest::channel::identity::Receipt;
use rave_guest::channel::message::{Request, to_json};
use rave_guest::channel::provision::{CREDENTIAL, Provision};
use rave_vm::keys::KeyPair;
use rave_vm::layers;
use rave_vm::machine::{Credential, Machine, Memory};
use rave_vm::moment::Moment;
use rave_vm::standalone::{Channel, Standalone};
use rave_vm::template::{self, Template, renew};

use super::attempts::retry;
use super::host::{Host, QUIT};
use super::network::Connected;
use crate::control::Origin;
use crate::error::Error;
use crate::files::{remove, save};
use crate::identity::Identity;
use crate::place::Place;
use crate::record::Record;

/// How long a guest may take to renew its identity: half a second on an idle host with software emulation, but the host
/// may be busy.
const IDENTITY: Duration = Duration::from_secs(60);

/// How long a guest may take to boot to its barrier.
const BOOT: Duration = Duration::from_secs(400);

/// The longest credential that is put into the firmware's tables, bytes: all credentials share 64 KiB.
const CREDENTIAL_LIMIT: usize = 24 * 1024;

/// A machine that was started.
pub(super) struct Started {
    pub(super) machine: Standalone,
    /// The session in which a clone got its identity.
    pub(super) client: Option<Client>,
    pub(super) origin: Origin,
}

/// Whether the guest has no identity yet: its disk is still the template's, or that of the sandbox it was forked from.
pub(super) fn is_without_identity(place: &Place) -> bool {
    let is_anothers = place.template().disk().exists() || place.moment().exists() || place.fork().exists();
    is_anothers && !place.identity().exists()
}

/// Removes the memory that a machine resumed from, once it has ended.
pub(super) fn forget_memory(place: &Place) -> Result<(), Error> {
    if is_without_identity(place) { Ok(()) } else { remove(&place.moment().memory()) }
}

/// Starts the machine. If it cannot be started as a clone, it boots instead, and the reason is reported.
pub(super) fn start(
    place: &Place,
    record: &Record,
    host: &Host,
    connected: &Connected,
) -> Result<Started, Error> {
    let provision = &connected.provision();
    Start { place, record, host, provision }.run(connected)
}

/// What to start, where, and what its guest is provided with before its programs run.
struct Start<'a> {
    place: &'a Place,
    record: &'a Record,
    host: &'a Host,
    provision: &'a Provision,
}

impl Start<'_> {
    fn run(&self, connected: &Connected) -> Result<Started, Error> {
        let place = self.place;
        let machine = || self.record.machine(place, connected.forwards.clone());
        if !is_without_identity(place) {
            settle(place)?;
            remove(&place.moment().memory())?;
            collapse(place)?;
            return self.boot(machine()?, Origin::Disk);
        }
        if place.moment().exists() {
            return self.resume_or_boot(machine()?);
        }
        remove(&place.layers().active()?)?;
        if place.fork().exists() {
            return self.boot_to_barrier(machine()?);
        }
        let template = place.template();
        match self.clone_of(&template, &machine()?) {
            Ok((machine, client)) => Ok(Started { machine, client: Some(client), origin: Origin::Template }),
            Err(error) if error.is_interrupt() || error.is_of_full_disk() => Err(error),
            Err(error) => {
                // In this order, so that remains of it are never taken for an independent machine.
                remove(&place.identity())?;
                remove(&place.disk().overlay())?;
                template.forget()?;
                self.boot(machine()?, Origin::DiskInstead { why: error.to_string() })
            }
        }
    }

    fn boot(&self, mut machine: Machine, origin: Origin) -> Result<Started, Error> {
        machine.credentials.push(Credential { name: CREDENTIAL.into(), value: self.credential() });
        let machine = Standalone::start(machine, self.host.engine, &self.host.qemu)?;
        Ok(Started { machine, client: None, origin })
    }

    /// What a guest that boots is provided with, and its name. A longer value is sent in the first session.
    fn credential(&self) -> Vec<u8> {
        let host_name = Some(self.record.name.to_string());
        let whole = to_json(&Provision { host_name: host_name.clone(), ..self.provision.clone() });
        if whole.len() <= CREDENTIAL_LIMIT {
            return whole;
        }
        to_json(&Provision { host_name, ..Provision::default() })
    }

    /// A fork of only a disk stops at the same barrier as a template, before any program has read what identifies its
    /// parent.
    fn boot_to_barrier(&self, mut machine: Machine) -> Result<Started, Error> {
        machine.credentials.push(template::credential());
        let machine = Standalone::start(machine, self.host.engine, &self.host.qemu)?;
        let (machine, client) = self.with_identity(machine, BOOT)?;
        Ok(Started { machine, client: Some(client), origin: Origin::Disk })
    }

    /// Nothing has happened since the template as long as the guest is held: another attempt begins there again.
    fn clone_of(&self, template: &Template, machine: &Machine) -> Result<(Standalone, Client), Error> {
        let place = self.place;
        retry(
            || !place.identity().exists(),
            || {
                remove(&place.disk().overlay())?;
                self.try_clone(template, machine)
            },
        )
    }

    fn try_clone(&self, template: &Template, machine: &Machine) -> Result<(Standalone, Client), Error> {
        let kind = template.fits(machine, self.host.engine, &self.host.qemu)?;
        let machine =
            Machine { kind: Some(kind), memory: Memory::CopyOf(template.memory()), ..machine.clone() };
        let machine = Standalone::start_clone(machine, template, self.host.engine, &self.host.qemu)?;
        self.with_identity(machine, IDENTITY)
    }

    /// Resumes from a moment. A fork has no identity until its receipt arrives, so a failure ends it; a restored
    /// sandbox can fall back to booting from its snapshot's disk.
    fn resume_or_boot(&self, machine: Machine) -> Result<Started, Error> {
        let place = self.place;
        let moment = place.moment();
        match self.resume(&moment, &machine) {
            Ok((machine, client)) => Ok(Started { machine, client: Some(client), origin: Origin::Moment }),
            Err(error) if error.is_interrupt() || error.is_of_full_disk() || place.fork().exists() => {
                Err(error)
            }
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
                self.boot(machine, Origin::DiskInstead { why: error.to_string() })
            }
        }
    }

    /// While the guest is paused, nothing has happened since the moment: another attempt starts from there again.
    fn resume(&self, moment: &Moment, machine: &Machine) -> Result<(Standalone, Client), Error> {
        let place = self.place;
        retry(
            || !place.identity().exists(),
            || {
                remove(&place.layers().active()?)?;
                self.try_resume(moment, machine)
            },
        )
    }

    fn try_resume(&self, moment: &Moment, machine: &Machine) -> Result<(Standalone, Client), Error> {
        let machine = moment.machine(machine, self.host.engine, &self.host.qemu)?;
        let machine = Standalone::resume(machine, moment, self.host.engine, &self.host.qemu)?;
        self.with_identity(machine, IDENTITY)
    }

    /// Gives the machine an identity of its own, or ends it: a copy of another machine must not continue.
    fn with_identity(&self, mut machine: Standalone, limit: Duration) -> Result<(Standalone, Client), Error> {
        let talked = machine.talk(QUIT, |guest| self.identify(guest, limit));
        match talked.map_err(Error::from).flatten() {
            Ok(client) => Ok((machine, client)),
            Err(error) => {
                machine.end(QUIT);
                if error.is_of_full_disk() {
                    // The next attempt begins where this one did.
                    remove(&self.place.identity())?;
                }
                Err(error)
            }
        }
    }

    fn identify(&self, guest: &Channel, limit: Duration) -> Result<Client, Error> {
        let place = self.place;
        let (client, receipt) = self.renew(guest, limit)?;
        let clock_behind_after_ms = behind(receipt.time_ms);
        save(&place.identity(), &Identity { receipt, clock_behind_after_ms })?;
        let client = self.open_barrier(guest, client)?;
        settle(place)?;
        Ok(client)
    }

    /// Renews what identifies the other machine. This can be repeated, because the guest does not continue in between.
    fn renew(&self, guest: &Channel, limit: Duration) -> Result<(Client, Receipt), Error> {
        let key = KeyPair::read(self.place.folder())?;
        let keys = format!("{}\n", key.public);
        let name = self.record.name.as_str();
        let mut limit = limit;
        retry(
            || true,
            || {
                let client = guest.at_barrier(std::mem::replace(&mut limit, IDENTITY))?;
                let renewed = renew(&client, name, &keys, self.provision, IDENTITY);
                let receipt = renewed.map_err(|error| self.failed(&client, error))?;
                Ok((client, receipt))
            },
        )
    }

    /// A guest that is no longer at its barrier has continued, though its answer was lost.
    fn open_barrier(&self, guest: &Channel, client: Client) -> Result<Client, Error> {
        let mut first = Some(client);
        retry(
            || true,
            || {
                let (client, is_at_barrier) = match first.take() {
                    Some(client) => (client, true),
                    None => guest.session(IDENTITY)?,
                };
                if is_at_barrier {
                    let opened = client.ask(&Request::Open, IDENTITY);
                    opened.map_err(|error| self.failed(&client, error))?;
                }
                Ok(client)
            },
        )
    }

    /// Ends a session that failed: QEMU serves one at a time.
    fn failed(&self, client: &Client, error: io::Error) -> Error {
        client.close();
        Error::io("renew the identity of the guest in", self.place.folder(), error)
    }
}

/// Merges many layers into one before reading becomes slow.
fn collapse(place: &Place) -> Result<(), Error> {
    let layers = place.layers();
    match place.on() {
        Some(on) if layers.height()? > layers::MANY => Ok(layers.collapse(&on)?),
        _ => Ok(()),
    }
}

/// Removes what is only needed by a machine without an identity. The memory stays while it is mapped.
fn settle(place: &Place) -> Result<(), Error> {
    place.template().forget_devices()?;
    place.moment().forget()?;
    remove(&place.fork())?;
    remove(&place.identity_before())
}

/// How far a clock is behind the host's, ms.
fn behind(time_ms: u64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX).saturating_sub_unsigned(time_ms)
}

/// Lets a clone continue whose supervisor was killed after the receipt.
pub(super) fn open(client: &Client) -> bool {
    client.ask(&Request::Open, IDENTITY).is_ok()
}
