//! What `rave-guest channel --barrier` does beside the barrier: in a template until it is saved, then in its clone.

mod freezer;
mod machine_id;
mod names;
mod random;
mod settle;
mod warm;

use crate::error::Error;
use crate::files::{self, failed};
use crate::{barrier, setup, spawn, ssh_keys};
use freezer::Freezer;
use rave_guest::channel::identity::{Barrier, ENTROPY, Identity, Receipt};
use rave_guest::config::GuestConfig;
use rustix::time::{ClockId, Timespec, clock_settime};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// There once the barrier was opened: a server that is started again holds nothing.
const OPENED: &str = "/run/rave/identity";

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
    Some(Box::new(Template { config: config.clone(), freezer: Freezer::of_system() }))
}

impl Barrier for Template {
    fn hold(&mut self) -> Result<(), String> {
        self.try_hold().map_err(|error| error.to_string())
    }

    fn renew(&mut self, identity: &Identity) -> Result<Receipt, String> {
        self.try_renew(identity).map_err(|error| error.to_string())
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

    /// The generator first: all that follows draws from it. Nothing else runs but systemd's first process, which is not
    /// stopped by a control group.
    fn try_renew(&mut self, identity: &Identity) -> Result<Receipt, Error> {
        let mut renewed = Vec::new();
        let mut done = |what: &str| renewed.push(what.to_owned());
        if identity.entropy.len() < ENTROPY {
            return Err(refused("the host sent too little entropy"));
        }
        random::reseed(&identity.entropy)?;
        done("random");
        let clock_behind_ms = set_clock(identity.time_ms)?;
        done("clock");
        machine_id::renew(Path::new("/"), &identity.machine_id)?;
        done("machine-id");
        names::renew(Path::new("/"), &identity.host_name)?;
        done("hostname");
        random::renew_seed_file()?;
        done("random-seed");
        let host_key = ssh_keys::renew()?;
        ssh_keys::pass(&identity.authorized_keys)?;
        done("ssh-host-key");
        Ok(Receipt {
            renewed,
            machine_id: files::read("/etc/machine-id")?.trim().to_owned(),
            host_name: crate::system::host_name(),
            host_key,
            clock_behind_ms,
            time_ms: now_ms(),
        })
    }

    fn try_open(&mut self) -> Result<(), Error> {
        files::write(Path::new(OPENED), 0o644, None, "")?;
        self.freezer.thaw()?;
        barrier::open()?;
        // The journal goes on under the new machine-id. It is not waited for.
        let journal = ["--no-block", "try-restart", "systemd-journald.service"];
        if let Err(error) = spawn::output("systemctl", &journal, SYSTEMD) {
            println!("{error}");
        }
        Ok(())
    }
}

fn refused(why: &str) -> Error {
    Error::Refused { why: why.to_owned(), remedy: "this clone is ended".to_owned() }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Sets the clock; how far it was behind, ms.
fn set_clock(time_ms: u64) -> Result<i64, Error> {
    let before = now_ms();
    let seconds = i64::try_from(time_ms / 1000).map_err(|_| refused("the host's time is none"))?;
    let nanoseconds = i64::try_from(time_ms % 1000 * 1_000_000).unwrap_or_default();
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: nanoseconds })
        .map_err(|error| failed("set", "the clock")(error.into()))?;
    Ok(i64::try_from(time_ms).unwrap_or(i64::MAX).saturating_sub_unsigned(before))
}
