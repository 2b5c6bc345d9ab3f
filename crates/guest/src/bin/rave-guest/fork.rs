//! Stops a running machine to be saved, and resumes it as itself or as a fork with its own identity.

use crate::error::Error;
use crate::files::{self, failed};
use crate::template::{self, Freezer};
use crate::{afterwards, spawn, ssh_keys};
use rave_guest::channel::identity::{Barrier, Identity, Receipt};
use rave_guest::config::GuestConfig;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// Exists while the machine is held: a restarted server must not resume it.
const HELD: &str = "/run/rave/held";

/// The folder of units' control groups.
const SERVICES: &str = "/sys/fs/cgroup/system.slice";
/// The SSH server's unit, by distribution. Its sessions have their own control groups.
const SSH: [&str; 2] = ["ssh.service", "sshd.service"];

/// The timeout of systemd.
const SYSTEMD: Duration = Duration::from_secs(60);

/// The barrier of a running machine.
#[derive(Debug)]
struct Running {
    config: GuestConfig,
    freezer: Freezer,
    /// Whether it became another machine.
    is_renewed: bool,
}

/// The barrier that the host can put up.
pub(crate) fn barrier_of(config: &GuestConfig) -> Result<Box<dyn Barrier>, Error> {
    let freezer = Freezer::of_running()?;
    Ok(Box::new(Running { config: config.clone(), freezer, is_renewed: false }))
}

/// Whether the machine is held.
pub(crate) fn is_held() -> bool {
    Path::new(HELD).exists()
}

impl Barrier for Running {
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

impl Running {
    /// Syncs first, so that everything written so far is on the disk: a snapshot may have to boot from it.
    fn try_hold(&self) -> Result<(), Error> {
        afterwards::wait();
        rustix::fs::sync();
        files::directory(Path::new("/run/rave"), 0o755, None)?;
        files::write_unsynced(Path::new(HELD), 0o644, "")?;
        self.freezer.freeze()
    }

    fn try_renew(&mut self, identity: &Identity) -> Result<Receipt, Error> {
        let receipt = template::renew(identity)?;
        ssh_keys::authorize(&self.config, &identity.authorized_keys)?;
        // The old server would use the parent's key until it is restarted.
        for unit in SSH {
            let kill = Path::new(SERVICES).join(unit).join("cgroup.kill");
            if kill.exists() {
                fs::write(&kill, "1").map_err(failed("write", &kill))?;
            }
        }
        self.is_renewed = true;
        Ok(receipt)
    }

    fn try_open(&mut self) -> Result<(), Error> {
        match fs::remove_file(HELD) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("remove", HELD)(error)),
            _ => {}
        }
        self.freezer.thaw()?;
        if std::mem::take(&mut self.is_renewed) {
            afterwards::run(refresh);
        }
        Ok(())
    }
}

/// Restarts services with state of the parent: the SSH server has its host key, the journal its machine ID, and the
/// resolver addresses that only stand for names in the parent's network.
fn refresh() {
    if let Err(error) = ssh_keys::make_all(Path::new(ssh_keys::SSH)) {
        println!("{error}");
    }
    let systemctl = |arguments: &[&str]| {
        if let Err(error) = spawn::output("systemctl", arguments, SYSTEMD) {
            println!("{error}");
        }
    };
    for unit in SSH.into_iter().filter(|unit| Path::new(SERVICES).join(unit).exists()) {
        systemctl(&["--no-block", "restart", unit]);
    }
    for unit in ["systemd-journald.service", "systemd-resolved.service"] {
        systemctl(&["--no-block", "try-restart", unit]);
    }
    // The host opens a port when the service reports that it answers, which it has only done in the parent.
    systemctl(&["--no-block", "restart", "rave-ready.service"]);
}
