//! Connections of the host, made by threads, because name resolution and connecting may block. The address is chosen
//! here, for each connection separately.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::name::HostName;
use crate::own::{self, Own};
use crate::policy::Destination;
use crate::proxy::Proxies;
use crate::rule::Rule;
use crate::special;
use crate::wake::Wake;

/// The largest number of threads.
const THREADS: usize = 32;
/// The largest number of requests that wait for a thread.
const WAITING: usize = 256;
/// How long an idle thread stays alive.
const IDLE: Duration = Duration::from_secs(20);
/// How many addresses of a name are tried, and the timeout of each.
const ADDRESSES: usize = 4;
const CONNECT: Duration = Duration::from_secs(10);

/// Resolves a name for a connection to a port: addresses in the order in which to try them.
pub type Resolve = Arc<dyn Fn(&HostName, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// Resolves names with the host's own resolver.
pub fn by_the_host() -> Resolve {
    Arc::new(|name, port| (name.as_str(), port).to_socket_addrs().map(Iterator::collect))
}

/// How connections of the host are made.
#[derive(Clone)]
pub struct Outbound {
    /// The resolver for names.
    pub resolve: Resolve,
    /// The proxies to use.
    pub proxies: Proxies,
}

impl Outbound {
    /// With the host's own resolver and the proxies of this process's environment.
    pub fn of_this_process() -> Self {
        Self { resolve: by_the_host(), proxies: Proxies::of_this_process() }
    }

    /// Without a proxy.
    pub fn direct(resolve: Resolve) -> Self {
        Self { resolve, proxies: Proxies::default() }
    }
}

/// A connection to make.
#[derive(Debug, Clone)]
pub(crate) struct DialRequest {
    /// Returned with the result.
    pub(crate) id: u64,
    pub(crate) to: Destination,
    pub(crate) port: u16,
    /// Whether its address may be a private one.
    pub(crate) private: bool,
    /// Whether a rule names it; otherwise the mode allows it.
    pub(crate) is_named: bool,
    /// Rules whose addresses it may not lead to.
    pub(crate) denied: Vec<Rule>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum DialError {
    /// All addresses are closed: one of them, and its purpose.
    Closed { address: IpAddr, purpose: &'static str },
    /// A rule denies all addresses: one of them, and the rule.
    Denied { address: IpAddr, rule: String },
    /// Nobody answers, or the name has no address.
    Failed,
    /// The host's proxy refused or failed, with the reason.
    Proxy(String),
    /// The host cannot resolve the name. Its proxy, which may resolve it to a private network, is only asked for
    /// destinations that a rule names.
    Unnamed,
}

/// The result of a [`DialRequest`].
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) id: u64,
    pub(crate) result: Result<TcpStream, DialError>,
}

/// A pool of threads. After it is dropped, they end by themselves.
pub(crate) struct Dialer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    wake: Wake,
    outbound: Outbound,
}

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<DialRequest>,
    done: Vec<Dialed>,
    threads: usize,
    idle: usize,
    is_over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dialer {
    /// Creates a pool that signals results on `wake`.
    pub(crate) fn new(wake: Wake, outbound: Outbound) -> Self {
        let shared = Shared { state: Mutex::default(), changed: Condvar::new(), wake, outbound };
        Self { shared: Arc::new(shared) }
    }

    /// Queues a connection; false if the queue is full.
    pub(crate) fn dial(&self, request: DialRequest) -> bool {
        let mut state = self.shared.lock();
        if state.requests.len() >= WAITING {
            return false;
        }
        if state.idle <= state.requests.len() && state.threads < THREADS {
            let shared = Arc::clone(&self.shared);
            let started = thread::Builder::new().name("dial".into()).spawn(move || work(&shared));
            if started.is_err() && state.threads == 0 {
                return false;
            }
            state.threads += usize::from(started.is_ok());
        }
        state.requests.push_back(request);
        self.shared.changed.notify_one();
        true
    }

    /// The results since the last call.
    pub(crate) fn done(&self) -> Vec<Dialed> {
        std::mem::take(&mut self.shared.lock().done)
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_over = true;
        state.requests.clear();
        self.shared.changed.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if let Some(request) = state.requests.pop_front() {
            drop(state);
            let result = connect(&request, &shared.outbound);
            state = shared.lock();
            if !state.is_over {
                state.done.push(Dialed { id: request.id, result });
                shared.wake.wake();
            }
            continue;
        }
        if state.is_over {
            break;
        }
        state.idle += 1;
        let (next, waited) = shared.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
        state = next;
        state.idle -= 1;
        if waited.timed_out() && state.requests.is_empty() {
            break;
        }
    }
    state.threads -= 1;
}

/// Resolves a name, checks its addresses, and connects to one, directly or through the host's proxy.
pub(crate) fn connect(request: &DialRequest, outbound: &Outbound) -> Result<TcpStream, DialError> {
    let found = match &request.to {
        Destination::Name(name) => (outbound.resolve)(name, request.port),
        Destination::Address(address) => Ok(vec![SocketAddr::new(*address, request.port)]),
    };
    let found = found.unwrap_or_default();
    let own = own::addresses();
    let by_address = matches!(request.to, Destination::Address(_));
    let refusal = |candidate: &SocketAddr| {
        let address = candidate.ip();
        let inner = special::inner(address).to_canonical();
        let denies = |rule: &&Rule| rule.has_address(address) || rule.has_address(inner);
        if let Some(rule) = request.denied.iter().find(denies) {
            return Some(DialError::Denied { address, rule: rule.to_string() });
        }
        let purpose = closed(address, request.private, by_address, own.as_ref())?;
        Some(DialError::Closed { address, purpose })
    };
    let (open, shut): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|candidate| refusal(candidate).is_none());
    let proxy = outbound.proxies.of_connection(&request.to, request.port);
    // A proxy resolves the name again, and may choose any of its addresses.
    if (open.is_empty() || proxy.is_some())
        && let Some(refusal) = shut.first().and_then(refusal)
    {
        return Err(refusal);
    }
    // Addresses of the host itself or of its own networks are reached without a proxy.
    let is_near = open.iter().any(|candidate| special::of(candidate.ip()).is_some());
    match proxy.filter(|_| !is_near) {
        Some(_) if open.is_empty() && !request.is_named => Err(DialError::Unnamed),
        Some(proxy) => {
            let stream = proxy.connect(&request.to.to_string(), request.port).map_err(DialError::Proxy)?;
            ready(stream).map_err(|_| DialError::Failed)
        }
        None => {
            let tried = open.iter().take(ADDRESSES);
            let mut made = tried.map(|it| TcpStream::connect_timeout(it, CONNECT).and_then(ready));
            made.find_map(Result::ok).ok_or(DialError::Failed)
        }
    }
}

fn ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why an address is closed. `private`: a rule allows private addresses; `by_address`: that rule names the address
/// itself.
pub(crate) fn closed(
    address: IpAddr,
    private: bool,
    by_address: bool,
    own: Option<&Own>,
) -> Option<&'static str> {
    let outer = address;
    let address = special::inner(address).to_canonical();
    match special::of(address) {
        Some(special) if address.is_unspecified() || address.is_multicast() => Some(special.purpose),
        Some(_) if private && by_address => None,
        Some(special) if private && special.can_be_meant => None,
        Some(special) => Some(special.purpose),
        None if private => None,
        None => match own {
            // The host may have the outer address, although packets for it usually arrive at the inner one.
            Some(own) if own.has(address) || own.has(outer) => Some("an address of this host"),
            Some(_) => None,
            None => Some("possibly an address of this host, whose addresses are unknown"),
        },
    }
}

/// Whether a rule could open an address that is closed.
pub(crate) fn can_be_opened(address: IpAddr, to: &Destination) -> bool {
    closed(address, true, matches!(to, Destination::Address(_)), None).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_route_to_the_host_and_its_network_is_closed() {
        let own = Own::from_iter([ip("192.0.43.9"), ip("2606:2800::9"), ip("2002:808:808::7")]);
        for address in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "192.0.43.9",
            "2606:2800::9",
            "::ffff:192.0.43.9",
            "64:ff9b::192.0.43.9",
            "2002:c000:2b09::1",
            "2002:808:808::7",
            "0.0.0.0",
            "::",
        ] {
            assert!(closed(ip(address), false, true, Some(&own)).is_some(), "{address}");
            assert!(closed(ip(address), false, false, Some(&own)).is_some(), "{address}");
        }
        assert_eq!(closed(ip("192.0.43.8"), false, false, Some(&own)), None);
        assert!(closed(ip("192.0.43.8"), false, false, None).is_some());
    }

    #[test]
    fn a_rule_opens_only_what_it_names() {
        let own = Own::from_iter([ip("192.0.43.9")]);
        for address in ["127.0.0.1", "10.0.0.1", "192.0.43.9", "203.0.113.80", "198.18.0.9"] {
            assert_eq!(closed(ip(address), true, false, Some(&own)), None, "{address}");
        }
        // A name is never meant to lead to a metadata service; a rule with its address is.
        assert!(closed(ip("169.254.169.254"), true, false, Some(&own)).is_some());
        assert_eq!(closed(ip("169.254.169.254"), true, true, Some(&own)), None);
        assert!(closed(ip("0.0.0.0"), true, true, Some(&own)).is_some());
    }

    #[test]
    fn only_effective_rules_are_suggested() {
        let name = Destination::Name("a.example".parse().unwrap());
        assert!(can_be_opened(ip("10.0.0.1"), &name));
        for address in ["169.254.169.254", "224.0.0.1", "0.0.0.0"] {
            assert!(!can_be_opened(ip(address), &name), "{address}");
        }
        let address = ip("169.254.169.254");
        assert!(can_be_opened(address, &Destination::Address(address)));
    }
}
