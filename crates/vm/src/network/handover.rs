//! The network of a machine that outlives the process that started it: another process takes over and ends with QEMU.

use std::fs;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_net::{Network, Outbound, Policy};
use rave_process::interrupt;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::{listen, start};
use crate::Error;
use crate::files::write_atomically;
use crate::instance::Instance;
use crate::machine::{Files, Link};
use crate::ports::{PortForward, PortPolicy};
use crate::prepare::remove;
use crate::run_dir::InstanceRecord;

/// How long QEMU may take to answer on its card's socket: it listens there before it runs the guest.
const ATTACH: Duration = Duration::from_secs(20);
/// How often that is checked.
const PAUSE: Duration = Duration::from_millis(10);

/// `network.json`: what is handed over.
#[derive(Debug, Serialize, Deserialize)]
struct Handover {
    policy: Policy,
    forwards: Vec<PortForward>,
}

/// `network-process.json`: the process that has taken over.
#[derive(Debug, Serialize, Deserialize)]
struct Server {
    pid: u32,
}

fn handover(run_dir: &Utf8Path) -> Utf8PathBuf {
    run_dir.join("network.json")
}

fn server(run_dir: &Utf8Path) -> Utf8PathBuf {
    run_dir.join("network-process.json")
}

impl Instance {
    /// Ends the guest's network in this process and saves its settings, for [`serve`] in another process. Until that
    /// process serves it, the guest reaches nothing, and its ports are closed.
    pub fn hand_network_over(&mut self) -> Result<(), Error> {
        let Link::Own(policy) = self.machine.link.clone() else { return Ok(()) };
        let run_dir = self.machine.files.run_dir.clone();
        self.network = None;
        remove(&server(&run_dir))?;
        write(&handover(&run_dir), &Handover { policy, forwards: self.machine.forwards.clone() })
    }
}

/// The process that serves the network of the machine in this folder, once one does.
pub fn served_by(run_dir: &Utf8Path) -> Option<u32> {
    let server: Server = serde_json::from_slice(&fs::read(server(run_dir)).ok()?).ok()?;
    Some(server.pid)
}

/// Serves the network that was handed over in this folder until the machine's QEMU has ended.
pub fn serve(run_dir: &Utf8Path) -> Result<(), Error> {
    let path = handover(run_dir);
    let text = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let Handover { policy, mut forwards } =
        serde_json::from_slice(&text).map_err(|e| Error::io("read", &path, e.into()))?;
    let ended = || ended(run_dir);
    let record = InstanceRecord::running(run_dir).ok_or_else(ended)?;
    let qemu = i32::try_from(record.pid).ok().and_then(Pid::from_raw).ok_or_else(ended)?;
    let qemu = pidfd_open(qemu, PidfdFlags::empty()).map_err(|_| ended())?;
    // The process id may have been reused before it was opened.
    InstanceRecord::running(run_dir).ok_or_else(ended)?;
    // The user has already been given these ports.
    for forward in &mut forwards {
        forward.policy = PortPolicy::Fixed(forward.host);
    }
    let listeners = listen(&mut forwards)?;
    let network = start(&Files::in_dir(run_dir), policy, Outbound::of_this_process(), &forwards, listeners)?;
    wait_attached(&network, run_dir)?;
    write(&server(run_dir), &Server { pid: std::process::id() })?;
    loop {
        match poll(&mut [PollFd::new(&qemu, PollFlags::IN)], None) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Error::io("watch the machine in", run_dir, error.into())),
        }
    }
}

fn wait_attached(network: &Network, run_dir: &Utf8Path) -> Result<(), Error> {
    let deadline = Instant::now() + ATTACH;
    while !network.is_attached() {
        if InstanceRecord::running(run_dir).is_none() {
            return Err(ended(run_dir));
        }
        if Instant::now() >= deadline {
            let why = std::io::Error::other("QEMU does not answer");
            return Err(Error::io("connect the network in", run_dir, why));
        }
        interrupt::pause(PAUSE)?;
    }
    Ok(())
}

fn ended(run_dir: &Utf8Path) -> Error {
    Error::io("serve the network in", run_dir, std::io::Error::other("its machine has ended"))
}

fn write(path: &Utf8Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::io("write", path, e.into()))?;
    write_atomically(path, &text, 0o600)
}
