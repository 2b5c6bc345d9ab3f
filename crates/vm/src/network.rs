//! The network of a machine that belongs to this process: the thread at the other end of its card, and its forwarded
//! ports.

mod handover;

use std::net::TcpListener;
use std::sync::Arc;

use rave_net::{Forward, Network, NoRecord, Outbound, Policy, Settings, Trust};

use crate::Error;
use crate::machine::{Files, Link, Machine};
use crate::ports::{PortForward, PortPolicy, PortRequest, bind};

pub use handover::{serve, served_by};

/// Listens on the machine's ports and waits for its QEMU. If a port has been taken in the meantime and any port will
/// do, the machine gets another one. `None` if the card is not connected to this process.
pub(crate) fn connect(machine: &mut Machine, outbound: Outbound) -> Result<Option<Network>, Error> {
    let (Link::Own(policy), Some(_)) = (machine.link.clone(), machine.network) else { return Ok(None) };
    let listeners = listen(&mut machine.forwards)?;
    start(&machine.files, policy, outbound, &machine.forwards, listeners).map(Some)
}

/// A listener for each forward.
fn listen(forwards: &mut [PortForward]) -> Result<Vec<TcpListener>, Error> {
    let request = |forward: &PortForward| PortRequest {
        service: forward.service.clone(),
        bind: forward.bind,
        guest: forward.guest,
        policy: match forward.policy {
            PortPolicy::Fixed(_) => PortPolicy::Fixed(forward.host),
            PortPolicy::FixedOrFree(_) | PortPolicy::Auto => PortPolicy::FixedOrFree(forward.host),
        },
    };
    let requests: Vec<PortRequest> = forwards.iter().map(request).collect();
    let (resolved, listeners) = bind(&requests)?;
    for (forward, found) in forwards.iter_mut().zip(resolved.forwards) {
        forward.host = found.host;
    }
    Ok(listeners)
}

/// Starts the thread.
fn start(
    files: &Files,
    policy: Policy,
    outbound: Outbound,
    forwards: &[PortForward],
    listeners: Vec<TcpListener>,
) -> Result<Network, Error> {
    let forward = |(listener, forward): (TcpListener, &PortForward)| Forward {
        listener,
        guest: forward.guest,
        pages: None,
    };
    let settings = Settings {
        socket: files.network_socket.clone(),
        policy,
        forwards: listeners.into_iter().zip(forwards).map(forward).collect(),
        journal: Some(files.network_log()),
        authority: None,
        trust: Trust::default(),
        model: None,
        secrets: Vec::new(),
        witness: Arc::new(NoRecord),
        outbound,
    };
    Network::start(settings).map_err(|error| Error::io("connect the network in", &files.run_dir, error))
}
