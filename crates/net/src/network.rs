//! A sandbox's network as its owner sees it.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use camino::Utf8PathBuf;

use crate::authority::Authority;
use crate::dial::Outbound;
use crate::forward::{self, Forward};
use crate::journal::{Journal, Log};
use crate::link::Link;
use crate::model::{Access, Model, Usage};
use crate::opener::Opener;
use crate::policy::Policy;
use crate::secret::{Secret, Secrets};
use crate::shared::Shared;
use crate::upstream::Trust;
use crate::witness::{Told, Witness};

/// What a network is made of.
pub struct Settings {
    /// The socket on which QEMU listens (`-netdev stream,server=on`). It need not be there yet, and is connected to again
    /// after its end.
    pub socket: Utf8PathBuf,
    /// What may be reached.
    pub policy: Policy,
    /// Ports of the host that lead to the guest. One that was [closed](crate::closed) refuses connections until
    /// [`Network::open_ports`] opens it.
    pub forwards: Vec<Forward>,
    /// Where denials are written; only in memory otherwise.
    pub journal: Option<Utf8PathBuf>,
    /// Where the key of the authority is kept that opens TLS: a folder of this sandbox alone. Nothing is opened without it.
    pub authority: Option<Utf8PathBuf>,
    /// Whose certificates are believed where TLS is opened.
    pub trust: Trust,
    /// The model whose provider is served to the guest where the policy allows the group.
    pub model: Option<Model>,
    /// The user's secrets, for requests to hosts that the policy allows.
    pub secrets: Vec<Secret>,
    /// Who keeps the record; [`crate::Nobody`] if there is none.
    pub witness: Arc<dyn Witness>,
    /// How connections are made; [`Outbound::of_this_process`] but for tests.
    pub outbound: Outbound,
}

/// A thread that is the other end of a guest's network card. Dropping it ends the thread with all connections.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    /// The guest's ports, and those of the host that lead there.
    ports: Vec<(u16, TcpListener)>,
    thread: Option<JoinHandle<()>>,
}

/// A policy that can count at once.
#[must_use]
pub struct Prepared {
    policy: Policy,
    authority: Option<Arc<Authority>>,
}

impl Prepared {
    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl Network {
    /// Starts the thread.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let Settings {
            socket,
            policy,
            forwards,
            journal,
            authority,
            trust,
            model,
            secrets,
            witness,
            outbound,
        } = settings;
        let told = Told(witness);
        let model = model.map(|model| Access::new(model, trust.clone()));
        let secrets = Arc::new(Secrets::new(secrets));
        let opener = Opener::new(authority, trust, Arc::clone(&secrets));
        opener.renew(opener.prepare(&policy)?);
        let journal = Journal::open(journal, told.clone());
        let shared = Arc::new(Shared::new(policy, journal, told, opener, model, secrets)?);
        let port = |forward: &Forward| Ok((forward.guest, forward.listener.try_clone()?));
        let ports = forwards.iter().map(port).collect::<io::Result<_>>()?;
        let link = Link::new(Arc::clone(&shared), socket, forwards, outbound)?;
        let thread = thread::Builder::new().name("network".into()).spawn(move || link.run())?;
        Ok(Self { shared, ports, thread: Some(thread) })
    }

    /// What may be reached now.
    pub fn policy(&self) -> Policy {
        Policy::clone(&self.shared.policy())
    }

    /// Makes ready what another policy needs; nothing is changed until [`Network::commit`]. Fails where the authority cannot be made
    /// one for what is opened then.
    pub fn prepare(&self, policy: Policy) -> io::Result<Prepared> {
        let authority = self.shared.opener.prepare(&policy)?;
        Ok(Prepared { policy, authority })
    }

    /// Changes what may be reached. Connections that are no longer allowed, or no longer so, end.
    pub fn commit(&self, prepared: Prepared) {
        self.shared.opener.renew(prepared.authority);
        self.shared.set_policy(prepared.policy);
    }

    /// The certificate of the authority that the guest has to trust, PEM; nothing while no TLS is opened.
    pub fn authority(&self) -> Option<String> {
        self.shared.opener.authority().map(|authority| authority.pem().to_owned())
    }

    /// What was used of the model; nothing where none is served.
    pub fn usage(&self) -> Option<Usage> {
        self.shared.model.as_ref().map(|model| model.usage())
    }

    /// Lets connections in to these ports of the guest, and to no others: their ports of the host stay taken and refuse.
    pub fn open_ports(&self, of_guest: &[u16]) -> io::Result<()> {
        for (guest, listener) in &self.ports {
            let wanted = of_guest.contains(guest);
            if wanted == forward::is_open(listener) {
                continue;
            }
            let change = if wanted { forward::open } else { forward::close };
            change(listener)?;
            self.shared.wake.wake();
        }
        Ok(())
    }

    /// What was refused and learned.
    pub fn log(&self) -> Log {
        self.shared.journal().log()
    }

    /// What was refused and learned, with a number; nothing where nothing was refused since the log that had the number `seen`.
    pub fn log_after(&self, seen: Option<u64>) -> Option<(u64, Log)> {
        self.shared.journal().log_after(seen)
    }

    /// Writes the log of what was refused now; it is written once a second otherwise.
    pub fn flush(&self) {
        self.shared.journal().save(std::time::Instant::now(), true);
    }

    /// Whether QEMU's end is connected.
    pub fn is_attached(&self) -> bool {
        self.shared.is_attached()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
