//! The check of a guest's bytes before they are passed on.

use smoltcp::socket::tcp::Socket;

use crate::hello::{self, Hello};
use crate::http::{Next, Requests};
use crate::inspected::pages::page;
use crate::name::HostName;
use crate::policy::{Check, Grant};
use crate::witness::Kind;

/// The most bytes that are checked at once: a request's head, and more than a TLS hello.
const WINDOW: usize = 16 * 1024;

/// The fatal alert `access_denied` (RFC 8446, 6.2) as a record.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// A connection's gate.
pub(crate) enum Gate {
    /// Everything is passed on.
    Open,
    /// The TLS hello is checked first.
    Tls(HostName),
    /// Each HTTP request is checked first.
    Http {
        requests: Box<Requests>,
        /// The number of bytes that were checked.
        passable: usize,
        /// Something was passed on.
        has_begun: bool,
    },
    /// Nothing more is passed on.
    Shut,
}

/// What may be passed on now.
pub(crate) enum Passage {
    /// This many bytes.
    Passable(usize),
    /// Nothing: wait for more.
    Wait,
}

impl Gate {
    /// The gate for a connection to a name.
    pub(crate) fn new(grant: &Grant, name: &HostName, port: u16) -> Self {
        match grant.check {
            // A thread checks the rest, inside the inspected connection.
            Check::Tls | Check::Inspected => Self::Tls(name.clone()),
            Check::Http => {
                let requests =
                    Box::new(Requests::to(name.clone(), port, grant.access, grant.guarded.clone()));
                Self::Http { requests, passable: 0, has_begun: false }
            }
            Check::Nothing => Self::Open,
        }
    }

    /// Checks the received data. Fails with the reason of a refusal.
    pub(crate) fn check_received(&mut self, socket: &mut Socket<'_>) -> Result<Passage, String> {
        match self {
            Self::Open => Ok(Passage::Passable(usize::MAX)),
            Self::Shut => Ok(Passage::Wait),
            Self::Tls(name) => match hello::parse(&window(socket)) {
                Hello::Incomplete => Ok(Passage::Wait),
                Hello::Bad(why) => Err(why.to_owned()),
                Hello::For(other) if other != *name => Err(format!("its TLS hello is for {other}")),
                Hello::For(_) => {
                    *self = Self::Open;
                    Ok(Passage::Passable(usize::MAX))
                }
            },
            Self::Http { requests, passable, .. } => {
                if *passable == 0 {
                    match requests.next(&window(socket)) {
                        Next::Pass(count) => *passable = count,
                        Next::Wait => return Ok(Passage::Wait),
                        Next::Refuse(why) => return Err(why),
                    }
                }
                Ok(Passage::Passable(*passable))
            }
        }
    }

    /// What it checks.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Tls(_) => Kind::Tls,
            Self::Http { .. } => Kind::Http,
            Self::Open | Self::Shut => Kind::Connection,
        }
    }

    /// Notes that this many bytes were passed on.
    pub(crate) fn passed(&mut self, count: usize) {
        if let Self::Http { passable, has_begun, .. } = self {
            *passable = passable.saturating_sub(count);
            *has_begun = true;
        }
    }

    /// Whether the host's data is passed on. Before a TLS hello no host sends any, and a refusal must come first.
    pub(crate) fn lets_host_send(&self) -> bool {
        match self {
            Self::Open => true,
            Self::Http { has_begun, .. } => *has_begun,
            Self::Tls(_) | Self::Shut => false,
        }
    }

    /// Whether it waits for nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.lets_host_send()
    }

    /// Shuts the gate. Returns the answer for the guest, with the reason; nothing if it would mix with an earlier answer.
    pub(crate) fn refuse(&mut self, why: &str) -> Option<Vec<u8>> {
        let answer = match self {
            Self::Tls(_) => Some(ALERT.to_vec()),
            Self::Http { has_begun: false, .. } => Some(page("403 Forbidden", why)),
            _ => None,
        };
        *self = Self::Shut;
        answer
    }
}

fn window(socket: &mut Socket<'_>) -> Vec<u8> {
    let mut bytes = vec![0; socket.recv_queue().min(WINDOW)];
    let count = socket.peek_slice(&mut bytes).unwrap_or_default();
    bytes.truncate(count);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;

    #[test]
    fn inspection_does_not_depend_on_the_port() {
        for (check, kind) in
            [(Check::Tls, Kind::Tls), (Check::Inspected, Kind::Tls), (Check::Http, Kind::Http)]
        {
            let (access, rule) = (Access::Full, String::new());
            let grant = Grant { check, access, private: false, is_named: true, guarded: Vec::new(), rule };
            for port in [443, 8443] {
                assert_eq!(Gate::new(&grant, &"a.example".parse().unwrap(), port).kind(), kind);
            }
        }
    }
}
