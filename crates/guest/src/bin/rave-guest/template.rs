//! What `rave-guest channel --barrier` does beside the barrier: in a template until it is saved, then in its clone.

mod freezer;
mod machine_id;
mod names;
mod random;
mod refused;
mod settle;
mod warm;

use crate::error::Error;
use crate::files;
use crate::{afterwards, barrier, clock, provide, setup, spawn, ssh_keys, system};
pub(crate) use freezer::Freezer;
use rave_guest::channel::identity::{Barrier, ENTROPY, Identity, Receipt};
use rave_guest::config::GuestConfig;
use refused::refused;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// There once the barrier was opened: a server that is started again holds nothing. The machine's uptime of that moment, ms,
/// tells what is older.
const OPENED: &str = "/run/rave/identity";

/// What a receipt says.
const RENEWED: [&str; 6] = ["random", "clock", "ssh-host-key", "machine-id", "hostname", "random-seed"];

/// How long the host's first program has the machine for itself.
const HEAD_START: Duration = Duration::from_millis(500);

/// How long systemd may take to answer.
const SYSTEMD: Duration = Duration::from_secs(20);

/// A guest at its barrier.
#[derive(Debug)]
pub(crate) struct Template {
    config: GuestConfig,
    freezer: Freezer,
}

/// The barrier of this boot; nothing where it was opened already.
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

    /// Programs may run from now on; what waits at the barrier follows, so that the first of them need not share the processors
    /// with all services.
    fn try_open(&mut self) -> Result<(), Error> {
        files::write_unsynced(Path::new(OPENED), 0o644, format!("{}\n", system::uptime_ms()))?;
        self.freezer.thaw()?;
        afterwards::run(|| {
            thread::sleep(HEAD_START);
            if let Err(error) = barrier::open() {
                println!("the services do not start: {error}");
            }
            // The journal goes on under the new machine-id.
            let journal = ["--no-block", "try-restart", "systemd-journald.service"];
            if let Err(error) = spawn::output("systemctl", &journal, SYSTEMD) {
                println!("{error}");
            }
        });
        Ok(())
    }
}

/// Makes another machine of this one. The generator first: all that follows draws from it. Nothing else runs but systemd's first
/// process, which no control group stops.
pub(crate) fn renew(identity: &Identity) -> Result<Receipt, Error> {
    if identity.entropy.len() < ENTROPY {
        return Err(refused("the host sent too little entropy"));
    }
    random::reseed(&identity.entropy)?;
    let clock_behind_ms = clock::set(identity.time_ms)?;
    // Another program makes it, on another processor.
    let host_key = thread::spawn(ssh_keys::renew);
    let files = renew_files(identity);
    let host_key = host_key.join().map_err(|_| refused("the host key's thread ended"))??;
    files?;
    // A clone that loses its power must not start from the template's disk as another one.
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
    names::renew(Path::new("/"), &identity.host_name)?;
    random::renew_seed_file()?;
    provide::install(Path::new("/"), &identity.provision)?;
    ssh_keys::pass(&identity.authorized_keys)
}
