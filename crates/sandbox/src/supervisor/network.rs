//! The other end of the guest's network card, and the ports that lead to the guest. They are this process's own: with it they
//! end, and the next supervisor has them again.

use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use rave_net::{Forward, Log, Network, Settings, by_the_host};
use rave_vm::ports::{PortForward, PortPolicy, PortRequest, bind};

use crate::error::Error;
use crate::network::{Change, NetworkStatus, change, read};
use crate::place::Place;
use crate::record::Record;

/// The network of a machine, and where its services are.
pub(super) struct Connected {
    pub(super) place: Place,
    /// Nothing for a machine of a version that had QEMU's user network.
    pub(super) network: Option<Network>,
    pub(super) forwards: Vec<PortForward>,
    /// One change at a time: each reads what the last has written.
    changing: Mutex<()>,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("forwards", &self.forwards).finish_non_exhaustive()
    }
}

/// Listens on the ports, those of the last time where they are free, and waits for the machine that is started next.
pub(super) fn start(place: &Place, record: &Record, last: &[(String, u16)]) -> Result<Connected, Error> {
    let requests = record.port_requests(last);
    let (resolved, listeners) = bind(&requests).map_err(rave_vm::Error::from)?;
    connect(place, resolved.forwards, listeners)
}

/// Goes on for a machine that runs. A port that somebody took meanwhile is another one now.
pub(super) fn attach(place: &Place, forwards: &[PortForward]) -> Result<Connected, Error> {
    if !place.machine().network_socket.exists() {
        return Ok(Connected {
            place: place.clone(),
            network: None,
            forwards: forwards.to_vec(),
            changing: Mutex::default(),
        });
    }
    let again = |forward: &PortForward| PortRequest {
        service: forward.service.clone(),
        bind: forward.bind,
        guest: forward.guest,
        policy: PortPolicy::FixedOrFree(forward.host),
    };
    let requests: Vec<PortRequest> = forwards.iter().map(again).collect();
    let (resolved, listeners) = bind(&requests).map_err(rave_vm::Error::from)?;
    connect(place, resolved.forwards, listeners)
}

fn connect(
    place: &Place,
    forwards: Vec<PortForward>,
    listeners: Vec<TcpListener>,
) -> Result<Connected, Error> {
    let forward =
        |(listener, forward): (TcpListener, &PortForward)| Forward { listener, guest: forward.guest };
    let settings = Settings {
        socket: place.machine().network_socket,
        policy: read(place)?,
        forwards: listeners.into_iter().zip(&forwards).map(forward).collect(),
        journal: Some(place.network_log()),
        resolve: by_the_host(),
    };
    let network =
        Network::start(settings).map_err(|e| Error::io("connect the network in", place.folder(), e))?;
    Ok(Connected { place: place.clone(), network: Some(network), forwards, changing: Mutex::default() })
}

impl Connected {
    /// Changes what the guest may reach, from the next packet on, and tells how it is; why it cannot.
    pub(super) fn change(&self, wanted: &Change) -> Result<NetworkStatus, String> {
        let network = self.network.as_ref().ok_or("its machine is of an older version; stop and start it")?;
        if !wanted.is_empty() {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            network.set_policy(change(&self.place, wanted).map_err(|error| error.to_string())?);
        }
        Ok(NetworkStatus { policy: network.policy(), log: network.log(), is_attached: network.is_attached() })
    }

    /// What the guest was refused.
    pub(super) fn log(&self) -> Log {
        self.network.as_ref().map(Network::log).unwrap_or_default()
    }

    /// Writes what has not been written yet.
    pub(super) fn flush(&self) {
        if let Some(network) = &self.network {
            network.flush();
        }
    }
}
