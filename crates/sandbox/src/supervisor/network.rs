//! The other end of the guest's network card, and the forwarded ports. They belong to this process and end with it; the
//! next supervisor recreates them.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use rave_audit::Recorder;
use rave_fs::Replace;
use rave_guest::channel::provision::{MODEL_TOKEN, MODEL_URL, Provision};
use rave_guest::channel::relay::SOCKET;
use rave_net::lan::MODEL;
use rave_net::{Forward, Log, Model, Network, Outbound, Secret, Settings, Trust};
use rave_vm::ports::{PortForward, PortPolicy, PortRequest, bind};
use rave_vm::sandbox::SSH;

use crate::audit::Recorded;
use crate::error::Error;
use crate::network::{Change, NetworkStatus, changed, read, write};
use crate::place::Place;
use crate::record::Record;
use crate::secrets::{self, Credentials, UserSecret};
use crate::ssh_agent::{self, Forwarded};

/// The network of a machine, and the forwards to its services.
pub(super) struct Connected {
    pub(super) place: Place,
    /// `None` for a machine of a version that used QEMU's user network.
    pub(super) network: Option<Network>,
    pub(super) forwards: Vec<PortForward>,
    pub(super) recorder: Arc<Recorder>,
    /// The guest's token for the model, if there is a model.
    token: Option<String>,
    /// The guest's placeholders for the user's secrets.
    secrets: Vec<UserSecret>,
    /// The key of the user's SSH agent that it may use.
    forwarded: Option<Forwarded>,
    /// One change at a time: each reads what the previous one has written.
    changing: Mutex<()>,
}

/// Which services are open to connections.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Doors {
    /// Ports of the guest.
    pub(super) open: Vec<u16>,
    /// The names of services that have not reported yet.
    pub(super) starting: Vec<String>,
}

impl Doors {
    /// A service is opened once it has reported in this boot that it responds: it then has its own secret.
    pub(super) fn of(forwards: &[PortForward], ready: &[&str]) -> Self {
        let mut doors = Self::default();
        for forward in forwards {
            if ready.contains(&forward.service.as_str()) {
                doors.open.push(forward.guest);
            } else {
                doors.starting.push(forward.service.clone());
            }
        }
        doors
    }
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("forwards", &self.forwards).finish_non_exhaustive()
    }
}

/// Takes the ports, preferably those of last time, and waits for the machine, which is started next.
pub(super) fn start(
    place: &Place,
    record: &Record,
    last: &[(String, u16)],
    credentials: Credentials,
) -> Result<Connected, Error> {
    let requests = record.port_requests(last);
    let (resolved, listeners) = bind(&requests).map_err(rave_vm::Error::from)?;
    connect(place, resolved.forwards, listeners, (credentials, recorder(place)?))
}

/// Takes over the network of a running machine. A port that was taken in the meantime is replaced by another.
pub(super) fn attach(
    place: &Place,
    forwards: &[PortForward],
    credentials: Credentials,
) -> Result<Connected, Error> {
    let recorder = recorder(place)?;
    if !place.machine().network_socket.exists() {
        return Ok(Connected {
            place: place.clone(),
            network: None,
            forwards: forwards.to_vec(),
            recorder,
            token: None,
            secrets: Vec::new(),
            forwarded: ssh_agent::read(place)?,
            changing: Mutex::default(),
        });
    }
    let request = |forward: &PortForward| PortRequest {
        service: forward.service.clone(),
        bind: forward.bind,
        guest: forward.guest,
        policy: PortPolicy::FixedOrFree(forward.host),
    };
    let requests: Vec<PortRequest> = forwards.iter().map(request).collect();
    let (resolved, listeners) = bind(&requests).map_err(rave_vm::Error::from)?;
    connect(place, resolved.forwards, listeners, (credentials, recorder))
}

/// A record that cannot be written is not an error here: the network is halted, and reports the reason.
fn recorder(place: &Place) -> Result<Arc<Recorder>, Error> {
    let recorder = Recorder::start(place.audit(), place.name().as_str());
    recorder.map(Arc::new).map_err(|e| Error::io("record what happens in", place.folder(), e))
}

fn connect(
    place: &Place,
    forwards: Vec<PortForward>,
    listeners: Vec<TcpListener>,
    (Credentials { model, secrets }, recorder): (Credentials, Arc<Recorder>),
) -> Result<Connected, Error> {
    let forward = |(listener, forward): (TcpListener, &PortForward)| {
        // Everything except the shell serves pages.
        let pages = (forward.service != SSH).then(|| place.name().to_string());
        Forward { listener, guest: forward.guest, pages }
    };
    let token = match &model {
        Some(_) => Some(token(place)?),
        None => None,
    };
    let own =
        |model| Model { token: token.clone().unwrap_or_default(), usage: Some(place.model_usage()), ..model };
    let secrets = secrets::placed(place, secrets)?;
    let closed = listeners.into_iter().map(rave_net::closed).collect::<std::io::Result<Vec<_>>>();
    let listeners = closed.map_err(|e| Error::io("close the ports of", place.folder(), e))?;
    let settings = Settings {
        socket: place.machine().network_socket,
        policy: read(place)?,
        forwards: listeners.into_iter().zip(&forwards).map(forward).collect(),
        journal: Some(place.network_log()),
        authority: Some(place.folder().to_owned()),
        trust: Trust::OfHost,
        model: model.map(own),
        secrets: secrets.iter().map(|one| Secret::clone(&one.secret)).collect(),
        witness: Arc::new(Recorded(Arc::clone(&recorder))),
        outbound: Outbound::of_this_process(),
    };
    let network =
        Network::start(settings).map_err(|e| Error::io("connect the network in", place.folder(), e))?;
    let forwarded = ssh_agent::read(place)?;
    let (place, network, changing) = (place.clone(), Some(network), Mutex::default());
    Ok(Connected { place, network, forwards, recorder, token, secrets, forwarded, changing })
}

/// The sandbox's token for the model: created once, and worthless on another link.
fn token(place: &Place) -> Result<String, Error> {
    let path = place.model_token();
    match fs::read_to_string(&path) {
        Ok(token) if !token.is_empty() => return Ok(token),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("read", &path, error)),
        _ => {}
    }
    let token = secrets::token()?;
    Replace::new(&path).mode(0o600).write(&token).map_err(|error| Error::io("write", &path, error))?;
    Ok(token)
}

impl Connected {
    /// Changes what the guest may reach from the next packet on; returns the new state, or why it cannot be changed.
    pub(super) fn change(&self, wanted: &Change) -> Result<NetworkStatus, String> {
        let network =
            self.network.as_ref().ok_or("its machine was started by an older version; stop and start it")?;
        if !wanted.is_empty() {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let policy = changed(&self.place, wanted).map_err(|error| error.to_string())?;
            // What can fail comes first, so that the saved and the effective policy never differ.
            let prepared = network
                .prepare(policy)
                .map_err(|error| format!("cannot renew the authority that opens TLS: {error}"))?;
            write(&self.place, prepared.policy()).map_err(|error| error.to_string())?;
            self.recorder.see(wanted.event(prepared.policy().mode));
            network.commit(prepared);
        }
        Ok(NetworkStatus {
            policy: network.policy(),
            log: network.log(),
            is_attached: network.is_attached(),
            halted: self.recorder.failure(),
            secrets: secrets::usable(&self.secrets, &network.policy()),
        })
    }

    /// What the guest is provided with for this network.
    pub(super) fn provision(&self) -> Provision {
        let authority = self.network.as_ref().and_then(Network::authority);
        let is_served = self.network.as_ref().is_some_and(|network| network.policy().model().is_ok());
        let token = self.token.as_ref().filter(|_| is_served);
        let environment = token.map(|token| {
            let url = format!("http://{}", MODEL.0);
            vec![(MODEL_URL.to_owned(), url), (MODEL_TOKEN.to_owned(), token.clone())]
        });
        let environment = environment.unwrap_or_default();
        let mut provision = Provision { authority, environment, ..Provision::default() };
        if let Some(network) = &self.network {
            secrets::provide(&self.secrets, &network.policy(), &mut provision);
        }
        if self.forwarded.is_some() {
            provision.environment.push(("SSH_AUTH_SOCK".into(), SOCKET.into()));
        }
        provision
    }

    /// The key of the user's SSH agent that the guest may use.
    pub(super) fn forwarded(&self) -> Option<&Forwarded> {
        self.forwarded.as_ref()
    }

    /// Opens the services that have reported to be ready; returns the names of the others.
    pub(super) fn open(&self, ready: &[&str]) -> Vec<String> {
        // QEMU's own network never restricted incoming connections.
        let Some(network) = &self.network else { return Vec::new() };
        let doors = Doors::of(&self.forwards, ready);
        // If a port cannot be opened now, it is tried again at the next check.
        let _ = network.open_ports(&doors.open);
        doors.starting
    }

    /// What the guest was denied, with a version number; `None` if it is unchanged since the version `seen`.
    pub(super) fn log_after(&self, seen: Option<u64>) -> Option<(u64, Log)> {
        self.network.as_ref()?.log_after(seen)
    }

    /// Writes pending data.
    pub(super) fn flush(&self) {
        if let Some(network) = &self.network {
            network.flush();
        }
        self.recorder.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_opens_only_by_the_receipt_of_its_own_service() {
        let forwards = [PortForward::new("ssh", 2222, 22), PortForward::new("gateway", 3002, 80)];
        let starting = |ready: &[&str]| Doors::of(&forwards, ready).starting;
        assert_eq!(starting(&[]), ["ssh", "gateway"]);
        assert_eq!(starting(&["kanban"]), ["ssh", "gateway"]);
        let doors = Doors::of(&forwards, &["gateway", "kanban"]);
        assert_eq!((doors.open, doors.starting), (vec![80], vec!["ssh".to_owned()]));
    }
}
