//! The other end of the guest's network card, and the ports that lead to the guest. They are this process's own: with it they
//! end, and the next supervisor has them again.

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

/// The network of a machine, and where its services are.
pub(super) struct Connected {
    pub(super) place: Place,
    /// Nothing for a machine of a version that had QEMU's user network.
    pub(super) network: Option<Network>,
    pub(super) forwards: Vec<PortForward>,
    pub(super) recorder: Arc<Recorder>,
    /// What the guest shows to use the model, if there is one.
    token: Option<String>,
    /// What it shows to use the user's secrets.
    secrets: Vec<UserSecret>,
    /// The key of the user's SSH agent that it may use.
    forwarded: Option<Forwarded>,
    /// One change at a time: each reads what the last has written.
    changing: Mutex<()>,
}

/// Which services are let through.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Doors {
    /// Ports of the guest.
    pub(super) open: Vec<u16>,
    /// The names of services that have given no receipt yet.
    pub(super) starting: Vec<String>,
}

impl Doors {
    /// A service is let through once it has said in this boot that it answers: it has a secret of its own then.
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

/// Takes the ports, those of the last time where they are free, and waits for the machine that is started next.
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

/// Goes on for a machine that runs. A port that somebody took meanwhile is another one now.
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
    let again = |forward: &PortForward| PortRequest {
        service: forward.service.clone(),
        bind: forward.bind,
        guest: forward.guest,
        policy: PortPolicy::FixedOrFree(forward.host),
    };
    let requests: Vec<PortRequest> = forwards.iter().map(again).collect();
    let (resolved, listeners) = bind(&requests).map_err(rave_vm::Error::from)?;
    connect(place, resolved.forwards, listeners, (credentials, recorder))
}

/// One that cannot be written is no error here: the network stands still, and says so.
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
        // Everything but the shell is pages.
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

/// The sandbox's token for the model: made once, and worth nothing on another link.
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
    /// Changes what the guest may reach, from the next packet on, and tells how it is; why it cannot.
    pub(super) fn change(&self, wanted: &Change) -> Result<NetworkStatus, String> {
        let network = self.network.as_ref().ok_or("its machine is of an older version; stop and start it")?;
        if !wanted.is_empty() {
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let policy = changed(&self.place, wanted).map_err(|error| error.to_string())?;
            // What can fail comes first: what is kept and what counts are never two.
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

    /// What the guest is given for this network.
    pub(super) fn provision(&self) -> Provision {
        let authority = self.network.as_ref().and_then(Network::authority);
        let is_served = self.network.as_ref().is_some_and(|network| network.policy().model().is_ok());
        let token = self.token.as_ref().filter(|_| is_served);
        let environment = token.map(|token| {
            let url = format!("http://{}", MODEL.0);
            vec![(MODEL_URL.to_owned(), url), (MODEL_TOKEN.to_owned(), token.clone())]
        });
        let environment = environment.unwrap_or_default();
        let mut provision = Provision { authority, environment, git: Vec::new() };
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

    /// Lets connections in to the services that have given their receipts; the names of the others.
    pub(super) fn open(&self, ready: &[&str]) -> Vec<String> {
        // QEMU's own network has always let in everybody.
        let Some(network) = &self.network else { return Vec::new() };
        let doors = Doors::of(&self.forwards, ready);
        // What cannot be opened now is tried again at the next look.
        let _ = network.open_ports(&doors.open);
        doors.starting
    }

    /// What the guest was refused, with a number; nothing where it is what had the number `seen`.
    pub(super) fn log_after(&self, seen: Option<u64>) -> Option<(u64, Log)> {
        self.network.as_ref()?.log_after(seen)
    }

    /// Writes what has not been written yet.
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
    fn a_service_is_let_through_by_its_own_receipt_alone() {
        let forwards = [PortForward::new("ssh", 2222, 22), PortForward::new("gateway", 3002, 80)];
        let starting = |ready: &[&str]| Doors::of(&forwards, ready).starting;
        assert_eq!(starting(&[]), ["ssh", "gateway"]);
        assert_eq!(starting(&["kanban"]), ["ssh", "gateway"]);
        let doors = Doors::of(&forwards, &["gateway", "kanban"]);
        assert_eq!((doors.open, doors.starting), (vec![80], vec!["ssh".to_owned()]));
    }
}
