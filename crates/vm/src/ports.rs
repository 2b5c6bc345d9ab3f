//! Host ports for a machine's services: fixed ones, free ones, or the processes that occupy them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

use crate::owner::{self, Owner};

/// A service of the guest that should be reachable from the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The service's name in `rave.toml`.
    pub service: String,
    /// The host's address to listen on.
    pub bind: IpAddr,
    /// The service's port in the guest.
    pub guest: u16,
    /// Which port of the host to use.
    pub policy: PortPolicy,
}

impl PortRequest {
    /// A request on the loopback address.
    pub fn new(service: impl Into<String>, guest: u16, policy: PortPolicy) -> Self {
        Self { service: service.into(), bind: Ipv4Addr::LOCALHOST.into(), guest, policy }
    }
}

/// Which port of the host a service gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortPolicy {
    /// This port.
    Fixed(u16),
    /// This port, or a free one if it is taken.
    FixedOrFree(u16),
    /// Any free port.
    Auto,
}

/// A port of the host that leads to a service of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortForward {
    /// The service's name in `rave.toml`.
    pub service: String,
    /// The host's address that it listens on.
    pub bind: IpAddr,
    /// The host's port.
    pub host: u16,
    /// The service's port in the guest.
    pub guest: u16,
    /// Which port was requested: this decides what happens if another process takes the port before the machine starts.
    pub policy: PortPolicy,
}

impl PortForward {
    /// A forward from the loopback address whose port is fixed.
    pub fn new(service: impl Into<String>, host: u16, guest: u16) -> Self {
        PortRequest::new(service, guest, PortPolicy::Fixed(host)).on(host)
    }
}

impl PortRequest {
    fn on(self, host: u16) -> PortForward {
        let Self { service, bind, guest, policy } = self;
        PortForward { service, bind, host, guest, policy }
    }
}

/// The ports assigned to a machine's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// A forward for each request, in the same order.
    pub forwards: Vec<PortForward>,
    /// The requested ports that are taken, for which a free one was found instead.
    pub taken: Vec<PortTaken>,
}

/// A port that is in use, or that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("port {port} for {service} {}", ReasonText(.reason))]
pub struct PortTaken {
    /// The service's name.
    pub service: String,
    /// The port.
    pub port: u16,
    /// Why it is not available.
    pub reason: TakenReason,
}

impl PortTaken {
    /// What to do next.
    pub fn remedy(&self) -> String {
        format!("choose another port: --port {}=auto", self.service)
    }
}

/// Why a port is not available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenReason {
    /// It is in use; the owner is known if the system shows it to this user.
    InUse(Option<Owner>),
    /// Another service of the same machine requests it too.
    WantedTwice {
        /// The other service.
        by: String,
    },
    /// The system refuses it: a port below 1024 for an ordinary user, an address that does not belong to this host.
    Refused {
        /// The system's error.
        reason: String,
    },
}

struct ReasonText<'a>(&'a TakenReason);

impl fmt::Display for ReasonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TakenReason::InUse(Some(owner)) => write!(f, "is taken by {owner}"),
            TakenReason::InUse(None) => f.write_str("is taken, by a sandbox or by a process of another user"),
            TakenReason::WantedTwice { by } => write!(f, "is also requested by {by}"),
            TakenReason::Refused { reason } => write!(f, "is not available: {reason}"),
        }
    }
}

/// Finds a different port for each request.
///
/// A port may be taken between this check and [`crate::Instance::boot`], which detects that.
pub fn resolve(requests: &[PortRequest]) -> Result<Resolved, PortTaken> {
    bind(requests).map(|(resolved, _)| resolved)
}

/// Listens on a different port for each request; returns a listener for each, in the same order.
pub fn bind(requests: &[PortRequest]) -> Result<(Resolved, Vec<TcpListener>), PortTaken> {
    // The listeners stay open until every request has a port, so that no port is assigned twice; the fixed ports come
    // first, so that none is assigned as a free one.
    let mut held: Vec<Option<(TcpListener, u16)>> = requests.iter().map(|_| None).collect();
    let mut all_taken = Vec::new();
    for (slot, request) in held.iter_mut().zip(requests) {
        let (port, or_free) = match request.policy {
            PortPolicy::Fixed(port) => (port, false),
            PortPolicy::FixedOrFree(port) => (port, true),
            PortPolicy::Auto => continue,
        };
        match listen(request, port) {
            Ok(listener) => *slot = Some((listener, port)),
            Err(error) => {
                let taken = taken(request, port, &error, requests);
                if !or_free {
                    return Err(taken);
                }
                all_taken.push(taken);
            }
        }
    }
    for (slot, request) in held.iter_mut().zip(requests) {
        if slot.is_none() {
            *slot = Some(free(request, requests)?);
        }
    }
    let (listeners, forwards) = held
        .into_iter()
        .flatten()
        .zip(requests)
        .map(|((listener, port), request)| (listener, request.clone().on(port)))
        .unzip();
    Ok((Resolved { forwards, taken: all_taken }, listeners))
}

/// Finds a port of the host for something other than a service of the guest.
pub fn host_port(name: &str, policy: PortPolicy) -> Result<u16, PortTaken> {
    resolve(&[PortRequest::new(name, 0, policy)]).map(|resolved| resolved.forwards[0].host)
}

fn free(request: &PortRequest, all: &[PortRequest]) -> Result<(TcpListener, u16), PortTaken> {
    let listener = listen(request, 0).map_err(|error| taken(request, 0, &error, all))?;
    let port = listener.local_addr().map_err(|error| taken(request, 0, &error, all))?.port();
    Ok((listener, port))
}

/// The standard library sets `SO_REUSEADDR`, so connections of an earlier machine in `TIME_WAIT` do not get in the way.
fn listen(request: &PortRequest, port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(request.bind, port))
}

fn taken(request: &PortRequest, port: u16, error: &std::io::Error, all: &[PortRequest]) -> PortTaken {
    let twin = all.iter().find(|other| {
        other.service != request.service
            && matches!(other.policy, PortPolicy::Fixed(wanted) | PortPolicy::FixedOrFree(wanted) if wanted == port)
    });
    let reason = match (error.kind(), twin) {
        (std::io::ErrorKind::AddrInUse, Some(twin)) => TakenReason::WantedTwice { by: twin.service.clone() },
        (std::io::ErrorKind::AddrInUse, None) => TakenReason::InUse(owner::of_port(port)),
        _ => TakenReason::Refused { reason: error.to_string().to_lowercase() },
    };
    PortTaken { service: request.service.clone(), port, reason }
}

/// Whether there is a connection to one of these ports.
pub fn in_use(forwards: &[PortForward]) -> bool {
    let ports: Vec<u16> = forwards.iter().map(|forward| forward.host).collect();
    owner::has_connection(&ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(service: &str, policy: PortPolicy) -> PortRequest {
        PortRequest::new(service, 80, policy)
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        listener().1
    }

    #[test]
    fn a_taken_port_is_an_error_with_its_owner_and_the_flag_that_avoids_it() {
        let (_listener, port) = listener();
        let error = resolve(&[request("gateway", PortPolicy::Fixed(port))]).unwrap_err();
        let TakenReason::InUse(Some(owner)) = &error.reason else { panic!("no owner in {error:?}") };
        assert_eq!(owner.pid, std::process::id());
        let text = error.to_string();
        assert!(
            text.contains(&format!("port {port} for gateway is taken by process {}", owner.pid)),
            "{text}"
        );
        assert_eq!(error.remedy(), "choose another port: --port gateway=auto");
    }

    #[test]
    fn a_taken_preferred_port_falls_back_to_a_free_one() {
        let (_listener, port) = listener();
        let resolved = resolve(&[request("kanban", PortPolicy::FixedOrFree(port))]).unwrap();
        assert_ne!(resolved.forwards[0].host, port);
        assert_eq!(resolved.taken.iter().map(|taken| taken.port).collect::<Vec<_>>(), [port]);
    }

    #[test]
    fn a_free_preferred_port_is_used() {
        let port = free_port();
        let resolved = resolve(&[request("kanban", PortPolicy::FixedOrFree(port))]).unwrap();
        assert_eq!(
            resolved,
            Resolved {
                forwards: vec![PortForward {
                    policy: PortPolicy::FixedOrFree(port),
                    ..PortForward::new("kanban", port, 80)
                }],
                taken: Vec::new()
            }
        );
    }

    #[test]
    fn free_ports_are_distinct_and_never_a_fixed_one() {
        let port = free_port();
        let mut requests: Vec<_> = (0..50).map(|n| request(&format!("s{n}"), PortPolicy::Auto)).collect();
        requests.push(request("fixed", PortPolicy::Fixed(port)));
        let resolved = resolve(&requests).unwrap();
        let different: std::collections::BTreeSet<u16> =
            resolved.forwards.iter().map(|one| one.host).collect();
        assert_eq!(different.len(), 51);
        assert_eq!((resolved.forwards[50].service.as_str(), resolved.forwards[50].host), ("fixed", port));
    }

    #[test]
    fn two_services_on_one_port_are_both_named() {
        let port = free_port();
        let error = resolve(&[request("a", PortPolicy::Fixed(port)), request("b", PortPolicy::Fixed(port))])
            .unwrap_err();
        assert!(error.to_string().contains("for b is also requested by a"), "{error}");
    }

    #[test]
    fn a_non_local_address_is_refused() {
        let bind = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)); // TEST-NET-1, RFC 5737
        let error = resolve(&[PortRequest { bind, ..request("a", PortPolicy::Fixed(9)) }]).unwrap_err();
        assert!(matches!(error.reason, TakenReason::Refused { .. }), "{error:?}");
    }
}
