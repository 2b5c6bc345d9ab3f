//! A machine that runs is stopped to be saved, and goes on as itself or as a fork with an identity of its own.

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

/// There while the machine is held: a server that is started again must not let it on.
const HELD: &str = "/run/rave/held";

/// Where units have their control groups.
const SERVICES: &str = "/sys/fs/cgroup/system.slice";
/// The SSH server, as distributions call it. Sessions have groups of their own.
const SSH: [&str; 2] = ["ssh.service", "sshd.service"];

/// How long systemd may take to answer.
const SYSTEMD: Duration = Duration::from_secs(60);

/// What a server does with a machine that runs.
#[derive(Debug)]
struct Running {
    config: GuestConfig,
    freezer: Freezer,
    /// It became another machine.
    is_renewed: bool,
}

/// The barrier that the host can put up.
pub(crate) fn barrier_of(config: &GuestConfig) -> Result<Box<dyn Barrier>, Error> {
    let freezer = Freezer::of_running()?;
    Ok(Box::new(Running { config: config.clone(), freezer, is_renewed: false }))
}

/// Whether it is up.
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
    /// What is written by then is on the disk: a snapshot may have to start from it.
    fn try_hold(&self) -> Result<(), Error> {
        afterwards::wait();
        rustix::fs::sync();
        files::directory(Path::new("/run/rave"), 0o755, None)?;
        files::write_unsynced(Path::new(HELD), 0o644, "")?;
        self.freezer.freeze()
    }

    fn try_renew(&mut self, identity: &Identity) -> Result<Receipt, Error> {
        let receipt = template::renew(identity)?;
        ssh_keys::let_in(&self.config, &identity.authorized_keys)?;
        // It would answer with the parent's key until it is started again.
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

/// Services that hold what is the parent's: the SSH server its host key, the journal its machine-id, the resolver addresses that
/// mean names in the parent's network alone.
fn refresh() {
    if let Err(error) = ssh_keys::make_all(Path::new(ssh_keys::SSH)) {
        println!("{error}");
    }
    let systemctl = |words: &[&str]| {
        if let Err(error) = spawn::output("systemctl", words, SYSTEMD) {
            println!("{error}");
        }
    };
    for unit in SSH.into_iter().filter(|unit| Path::new(SERVICES).join(unit).exists()) {
        systemctl(&["--no-block", "restart", unit]);
    }
    for unit in ["systemd-journald.service", "systemd-resolved.service"] {
        systemctl(&["--no-block", "try-restart", unit]);
    }
    // The host opens a port when its service says that it answers, which it said to the parent's alone.
    systemctl(&["--no-block", "restart", "rave-ready.service"]);
}
