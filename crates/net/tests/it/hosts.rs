//! A network with a guest, and real servers on loopback that names lead to.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_net::{
    Denial, Forward, Mode, Model, Network, NoRecord, Outbound, Policy, Proxies, Resolve, Secret, Settings,
    Trust, Witness,
};

use crate::guest::Guest;

/// The addresses of names: the host's own resolver would query the internet.
pub(crate) type Names = HashMap<(&'static str, u16), SocketAddr>;

pub(crate) struct Site {
    pub(crate) network: Network,
    pub(crate) listener: UnixListener,
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    /// Changes the policy.
    pub(crate) fn change(&self, policy: Policy) {
        self.network.commit(self.network.prepare(policy).unwrap());
    }

    pub(crate) fn new(policy: Policy, names: Names, forwards: Vec<Forward>) -> (Self, Guest) {
        Self::with_trust(policy, names, forwards, Trust::OfHost)
    }

    /// A network that trusts these authorities where it opens TLS.
    pub(crate) fn with_trust(
        policy: Policy,
        names: Names,
        forwards: Vec<Forward>,
        trust: Trust,
    ) -> (Self, Guest) {
        Self::with_model(policy, names, forwards, trust, None)
    }

    /// A network that serves a model.
    pub(crate) fn with_model(
        policy: Policy,
        names: Names,
        forwards: Vec<Forward>,
        trust: Trust,
        model: Option<Model>,
    ) -> (Self, Guest) {
        let outbound = Outbound::direct(resolver(names));
        Self::with_outbound(Arc::new(NoRecord), policy, outbound, forwards, (trust, model, vec![]))
    }

    /// A network with this witness.
    pub(crate) fn seen_by(
        witness: Arc<dyn Witness>,
        policy: Policy,
        names: Names,
        forwards: Vec<Forward>,
    ) -> (Self, Guest) {
        let outbound = Outbound::direct(resolver(names));
        Self::with_outbound(witness, policy, outbound, forwards, (Trust::OfHost, None, vec![]))
    }

    /// A network whose host has proxies.
    pub(crate) fn behind(proxies: Proxies, policy: Policy, names: Names) -> (Self, Guest) {
        Self::with(Outbound { resolve: resolver(names), proxies }, policy)
    }

    /// A network with another way out.
    pub(crate) fn with(outbound: Outbound, policy: Policy) -> (Self, Guest) {
        Self::with_outbound(Arc::new(NoRecord), policy, outbound, vec![], (Trust::OfHost, None, vec![]))
    }

    /// A network with secrets of the user.
    pub(crate) fn with_secrets(
        witness: Arc<dyn Witness>,
        policy: Policy,
        names: Names,
        trust: Trust,
        secrets: Vec<Secret>,
    ) -> (Self, Guest) {
        let outbound = Outbound::direct(resolver(names));
        Self::with_outbound(witness, policy, outbound, vec![], (trust, None, secrets))
    }

    fn with_outbound(
        witness: Arc<dyn Witness>,
        policy: Policy,
        outbound: Outbound,
        forwards: Vec<Forward>,
        (trust, model, secrets): (Trust, Option<Model>, Vec<Secret>),
    ) -> (Self, Guest) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let authority = Some(path.to_owned());
        let socket = Utf8PathBuf::from_path_buf(folder.path().join("net.sock")).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let journal = Some(Utf8PathBuf::from_path_buf(folder.path().join("log.json")).unwrap());
        let settings = Settings {
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
        };
        let network = Network::start(settings).unwrap();
        let guest = Guest::accept(&listener);
        (Self { network, listener, folder }, guest)
    }

    /// The only denial.
    pub(crate) fn denial(&self) -> Denial {
        let mut denials = self.network.log().denials;
        assert_eq!(denials.len(), 1, "{denials:?}");
        denials.remove(0)
    }
}

fn resolver(names: Names) -> Resolve {
    Arc::new(move |name, port| {
        let found = names.get(&(name.as_str(), port)).or_else(|| names.get(&(name.as_str(), 0)));
        found.map(|address| vec![*address]).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    })
}

pub(crate) fn policy(mode: Mode, allow: &[&str], deny: &[&str]) -> Policy {
    let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Policy { mode, allow: rules(allow), deny: rules(deny), ..Policy::default() }
}

/// A server on loopback that calls `serve` with each connection.
pub(crate) fn server(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that echoes everything it receives.
pub(crate) fn echo() -> SocketAddr {
    server(|mut stream| {
        let mut other = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut stream, &mut other);
        let _ = other.shutdown(std::net::Shutdown::Write);
    })
}

/// A server that sends this text and closes.
pub(crate) fn greeter(text: &'static str) -> SocketAddr {
    server(move |mut stream| drop(stream.write_all(text.as_bytes())))
}

/// Waits for a condition on the host's side.
pub(crate) fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// All bytes of a stream.
pub(crate) fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}
