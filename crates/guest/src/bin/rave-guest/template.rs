//! The work of `rave-guest channel --barrier`: in a template until it is saved, then in its clone.

mod freezer;
mod machine_id;
mod random;
mod refused;
mod settle;
mod warm;

use crate::error::Error;
use crate::files;
use crate::{afterwards, barrier, clock, host_name, provide, setup, spawn, ssh_keys, system};
pub(crate) use freezer::Freezer;
use rave_guest::channel::identity::{Barrier, ENTROPY, Identity, Receipt};
use rave_guest::config::GuestConfig;
use refused::refused;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Exists once the barrier was opened: a restarted server does not hold anything. It has the machine's uptime at that
/// moment in ms, to recognise older events.
const OPENED: &str = "/run/rave/identity";

/// The content of a receipt.
const RENEWED: [&str; 6] = ["random", "clock", "ssh-host-key", "machine-id", "hostname", "random-seed"];

/// How long the host's first program has the machine to itself.
const HEAD_START: Duration = Duration::from_millis(500);

/// The timeout of systemd.
const SYSTEMD: Duration = Duration::from_secs(20);

/// A guest at its barrier.
#[derive(Debug)]
pub(crate) struct Template {
    config: GuestConfig,
    freezer: Freezer,
}

/// The barrier of this boot; nothing if it was already opened.
pub(crate) fn barrier_of(config: &GuestConfig) -> Option<Box<dyn Barrier>> {
    if Path::new(OPENED).exists() {
        return None;
    }
    Some(Box::new(Template { config: config.clone(), freezer: Freezer::of_template() }))
}

impl Barrier for Template {
    fn hold(&mut self) -> Result<(), String> {
        self.try_hold().map_err(|error| error.to_string())
    }

    fn renew(&mut self, identity: &Identity) -> Result<Receipt, String> {
        renew(identity).map_err(|error| error.to_string())
    }

    fn open(&mut self) -> Result<(), String> {
        self.try_open().map_err(|error| error.to_string())
    }
}

impl Template {
    fn try_hold(&mut self) -> Result<(), Error> {
        setup::prepare(&self.config)?;
        settle::wait();
        warm::read_programs(&self.config);
        self.freezer.freeze()?;
        rustix::fs::sync();
        Ok(())
    }

    /// Programs may run from now on. Services that wait at the barrier follow later, so that the first program does not
    /// have to share the processors with them.
    fn try_open(&mut self) -> Result<(), Error> {
        files::write_unsynced(Path::new(OPENED), 0o644, format!("{}\n", system::uptime_ms()))?;
        self.freezer.thaw()?;
        afterwards::run(|| {
            thread::sleep(HEAD_START);
            if let Err(error) = barrier::open() {
                println!("the services do not start: {error}");
            }
            // The journal continues under the new machine ID.
            let journal = ["--no-block", "try-restart", "systemd-journald.service"];
            if let Err(error) = spawn::output("systemctl", &journal, SYSTEMD) {
                println!("{error}");
            }
        });
        Ok(())
    }
}

/// Turns this machine into another one. The random generator comes first, because all other steps use it. Nothing else
/// runs except systemd's first process, which no control group stops.
pub(crate) fn renew(identity: &Identity) -> Result<Receipt, Error> {
    if identity.entropy.len() < ENTROPY {
        return Err(refused("the host sent too little entropy"));
    }
    random::reseed(&identity.entropy)?;
    let clock_behind_ms = clock::set(identity.time_ms)?;
    // Another program generates it, on another processor.
    let host_key = thread::spawn(ssh_keys::renew);
    let files = renew_files(identity);
    let host_key = host_key.join().map_err(|_| refused("the host key could not be generated"))??;
    files?;
    // A clone that loses power must not boot from the template's disk with the old identity.
    rustix::fs::sync();
    Ok(Receipt {
        renewed: RENEWED.map(str::to_owned).into(),
        machine_id: files::read("/etc/machine-id")?.trim().to_owned(),
        host_name: system::host_name(),
        host_key,
        clock_behind_ms,
        time_ms: clock::now_ms(),
    })
}

fn renew_files(identity: &Identity) -> Result<(), Error> {
    machine_id::renew(Path::new("/"), &identity.machine_id)?;
    host_name::renew(Path::new("/"), &identity.host_name)?;
    random::renew_seed_file()?;
    provide::install(Path::new("/"), &identity.provision)?;
    ssh_keys::pass(&identity.authorized_keys)
}
