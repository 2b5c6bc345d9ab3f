//! Host ports for a machine's services: the fixed ones, or free ones, or the names of those who hold them.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::owner::{self, Owner};

/// What is wanted for one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRequest {
    /// The service's name.
    pub name: String,
    /// The host's address that will listen.
    pub bind: IpAddr,
    /// Which port.
    pub want: PortPolicy,
}

/// Which port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortPolicy {
    /// This one.
    Fixed(u16),
    /// This one, or where it is taken a free one.
    FixedOrFree(u16),
    /// A free one.
    Auto,
}

/// The port that a service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The service's name.
    pub name: String,
    /// The host's port.
    pub port: u16,
    /// The port that was wanted and is taken, with its owner.
    pub fell_back_from: Option<PortTaken>,
}

/// A port that somebody else holds, or that may not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("port {port} for {name} {}", Why(.reason))]
pub struct PortTaken {
    /// The service's name.
    pub name: String,
    /// The port.
    pub port: u16,
    /// Why it cannot be had.
    pub reason: TakenReason,
}

impl PortTaken {
    /// What to do next.
    pub fn remedy(&self) -> String {
        format!("choose another port: --port {}=auto", self.name)
    }
}

/// Why a port cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakenReason {
    /// It is in use; the owner is known where the system tells this user.
    InUse(Option<Owner>),
    /// Another service of the same machine wants it too.
    WantedTwice {
        /// The other service.
        by: String,
    },
    /// The system refuses it: a port below 1024 for an ordinary user, an address that is not this host's.
    Refused {
        /// What the system said.
        reason: String,
    },
}

struct Why<'a>(&'a TakenReason);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TakenReason::InUse(Some(owner)) => write!(f, "is taken by {owner}"),
            TakenReason::InUse(None) => f.write_str("is taken by a process of another user"),
            TakenReason::WantedTwice { by } => write!(f, "is wanted by {by} as well"),
            TakenReason::Refused { reason } => write!(f, "cannot be had: {reason}"),
        }
    }
}

/// Finds a port for each request, all different from each other.
///
/// A port may be taken between this look and QEMU's own; [`crate::Instance::boot`] sees that.
pub fn resolve(requests: &[PortRequest]) -> Result<Vec<Resolved>, PortTaken> {
    // The listeners stay open until all have a port, so that no port is given twice; the fixed ones come first, so that
    // none is given away as a free one.
    let mut held: Vec<Option<(TcpListener, Resolved)>> = requests.iter().map(|_| None).collect();
    for (slot, request) in held.iter_mut().zip(requests) {
        let (port, or_free) = match request.want {
            PortPolicy::Fixed(port) => (port, false),
            PortPolicy::FixedOrFree(port) => (port, true),
            PortPolicy::Auto => continue,
        };
        match (listen(request, port), or_free) {
            (Ok(listener), _) => *slot = Some((listener, resolved(request, port, None))),
            (Err(_), true) => {}
            (Err(error), false) => return Err(taken(request, port, &error, requests)),
        }
    }
    for (slot, request) in held.iter_mut().zip(requests) {
        if slot.is_none() {
            *slot = Some(free(request, requests)?);
        }
    }
    Ok(held.into_iter().flatten().map(|(_, resolved)| resolved).collect())
}

fn free(request: &PortRequest, all: &[PortRequest]) -> Result<(TcpListener, Resolved), PortTaken> {
    let fell_back_from = match request.want {
        PortPolicy::FixedOrFree(port) => {
            listen(request, port).err().map(|error| taken(request, port, &error, all))
        }
        PortPolicy::Fixed(_) | PortPolicy::Auto => None,
    };
    let listener = listen(request, 0).map_err(|error| taken(request, 0, &error, all))?;
    let port = listener.local_addr().map_err(|error| taken(request, 0, &error, all))?.port();
    Ok((listener, resolved(request, port, fell_back_from)))
}

fn resolved(request: &PortRequest, port: u16, fell_back_from: Option<PortTaken>) -> Resolved {
    Resolved { name: request.name.clone(), port, fell_back_from }
}

/// Listens as QEMU will. The standard library sets `SO_REUSEADDR`, as QEMU's user network does, so that connections that
/// an earlier machine left in `TIME_WAIT` are no obstacle.
fn listen(request: &PortRequest, port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::new(request.bind, port))
}

fn taken(request: &PortRequest, port: u16, error: &std::io::Error, all: &[PortRequest]) -> PortTaken {
    let twin = all.iter().find(|other| {
        other.name != request.name
            && matches!(other.want, PortPolicy::Fixed(wanted) | PortPolicy::FixedOrFree(wanted) if wanted == port)
    });
    let reason = match (error.kind(), twin) {
        (std::io::ErrorKind::AddrInUse, Some(twin)) => TakenReason::WantedTwice { by: twin.name.clone() },
        (std::io::ErrorKind::AddrInUse, None) => TakenReason::InUse(owner::of_port(port)),
        _ => TakenReason::Refused { reason: error.to_string().to_lowercase() },
    };
    PortTaken { name: request.name.clone(), port, reason }
}

/// That a port was taken after it had been found free; `owner` is looked up now.
pub(crate) fn taken_meanwhile(name: &str, port: u16) -> PortTaken {
    PortTaken { name: name.to_owned(), port, reason: TakenReason::InUse(owner::of_port(port)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn request(name: &str, want: PortPolicy) -> PortRequest {
        PortRequest { name: name.into(), bind: Ipv4Addr::LOCALHOST.into(), want }
    }

    fn somebody() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        somebody().1
    }

    #[test]
    fn a_taken_port_is_an_error_with_its_owner_and_the_flag_that_avoids_it() {
        let (_listener, port) = somebody();
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
    fn a_wish_falls_back_to_a_free_port_and_says_from_what() {
        let (_listener, port) = somebody();
        let resolved = resolve(&[request("kanban", PortPolicy::FixedOrFree(port))]).unwrap();
        assert_ne!(resolved[0].port, port);
        assert_eq!(resolved[0].fell_back_from.as_ref().map(|taken| taken.port), Some(port));
    }

    #[test]
    fn a_free_wish_is_granted() {
        let port = free_port();
        let resolved = resolve(&[request("kanban", PortPolicy::FixedOrFree(port))]).unwrap();
        assert_eq!((resolved[0].port, &resolved[0].fell_back_from), (port, &None));
    }

    #[test]
    fn many_free_ports_are_all_different_and_never_a_fixed_one() {
        let port = free_port();
        let mut requests: Vec<_> = (0..50).map(|n| request(&format!("s{n}"), PortPolicy::Auto)).collect();
        requests.push(request("fixed", PortPolicy::Fixed(port)));
        let resolved = resolve(&requests).unwrap();
        let different: std::collections::BTreeSet<u16> = resolved.iter().map(|one| one.port).collect();
        assert_eq!(different.len(), 51);
        assert_eq!((resolved[50].name.as_str(), resolved[50].port), ("fixed", port));
    }

    #[test]
    fn two_services_on_one_port_name_each_other() {
        let port = free_port();
        let error = resolve(&[request("a", PortPolicy::Fixed(port)), request("b", PortPolicy::Fixed(port))])
            .unwrap_err();
        assert!(error.to_string().contains("for b is wanted by a as well"), "{error}");
    }

    #[test]
    fn an_address_of_another_host_is_refused() {
        let bind = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)); // TEST-NET-1, RFC 5737
        let error = resolve(&[PortRequest { bind, ..request("a", PortPolicy::Fixed(9)) }]).unwrap_err();
        assert!(matches!(error.reason, TakenReason::Refused { .. }), "{error:?}");
    }
}
