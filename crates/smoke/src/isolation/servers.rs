//! Servers on the host's loopback address that the guest may or may not reach, and names that lead to them.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rave_net::{Mode, Policy, Resolve, by_the_host};

use super::attack::{ALLOWED, Attack, REBINDING, WILD};

/// The greeting of a server that was reached.
const GREETING: &[u8] = b"reached\n";
/// Placeholder for an address of this host.
const HOST: &str = "{host}";
/// How long a server waits for a client.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers; they end with the process.
#[derive(Debug, Clone)]
pub struct Servers {
    open: u16,
    closed: u16,
    flood: u16,
    http: u16,
    tls: u16,
    /// `None` on a host that only has the loopback address.
    host: Option<IpAddr>,
}

impl Servers {
    /// Starts them on free ports of the loopback address.
    pub fn start() -> io::Result<Self> {
        let greet = |mut stream: TcpStream| drop(stream.write_all(GREETING));
        Ok(Self {
            open: serve(greet)?,
            closed: serve(greet)?,
            flood: serve(flood)?,
            http: serve(answer)?,
            tls: serve(hear)?,
            host: own_address(),
        })
    }

    /// What the guest may reach: only the servers that it is supposed to reach.
    pub fn policy(&self) -> Policy {
        let rules = [
            format!("127.0.0.1:{}/tcp,private", self.open),
            format!("127.0.0.1:{}/tcp,private", self.flood),
            format!("{ALLOWED},private"),
            REBINDING.to_owned(),
            WILD.to_owned(),
        ];
        let allow = rules.iter().filter_map(|rule| rule.parse().ok()).collect();
        Policy { mode: Mode::Restricted, allow, ..Policy::default() }
    }

    /// What the names resolve to.
    pub fn resolve(&self) -> Resolve {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let names = HashMap::from([
            ((ALLOWED, 80), loopback(self.http)),
            ((ALLOWED, 443), loopback(self.tls)),
            ((REBINDING, 443), loopback(self.closed)),
        ]);
        let host = by_the_host();
        Arc::new(move |name, port| match names.get(&(name.as_str(), port)) {
            Some(address) => Ok(vec![*address]),
            None => host(name, port),
        })
    }

    /// Fills this run's ports and addresses into a text of an attack.
    pub(super) fn fill(&self, text: &str) -> String {
        [
            ("{open}", self.open.to_string()),
            ("{closed}", self.closed.to_string()),
            ("{flood}", self.flood.to_string()),
            (HOST, self.host.map(|host| host.to_string()).unwrap_or_default()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// The arguments of an attempt.
    pub(super) fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|word| self.fill(word)).collect()
    }

    /// Why this host cannot try an attack, if it cannot.
    pub(super) fn lacks(&self, attack: &Attack) -> Option<&'static str> {
        let needs_host = attack.tries.iter().any(|word| word.contains(HOST));
        (needs_host && self.host.is_none()).then_some("this host has no address but loopback")
    }

    /// What must be in the log.
    pub(super) fn logged(&self, attack: &Attack) -> Option<String> {
        attack.logged.map(|text| self.fill(text))
    }
}

/// Starts a server that does this with each connection; returns its port.
fn serve(with: impl Fn(TcpStream) + Clone + Send + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::Builder::new().name("isolation".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let with = with.clone();
            let ready = stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
            if ready.is_ok() {
                // If the thread cannot be started, the connection is closed, which the attack notices.
                let _ = thread::Builder::new().spawn(move || with(stream));
            }
        }
    })?;
    Ok(port)
}

fn flood(mut stream: TcpStream) {
    while stream.write_all(&[b'x'; 4096]).is_ok() {}
}

/// Stands in for a TLS server, which never speaks first: it answers anything it receives.
fn hear(mut stream: TcpStream) {
    if matches!(stream.read(&mut [0; 1024]), Ok(1..)) {
        let _ = stream.write_all(GREETING).and_then(|()| stream.shutdown(Shutdown::Write));
        // Closing a socket with unread data resets it (RFC 2525, 2.17), and the greeting may be lost.
        let _ = io::copy(&mut stream, &mut io::sink());
    }
}

/// Reads the head of a request and answers that the server was reached.
fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") && head.len() < 8192 {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nreached\n");
}

/// The address that this host would use to reach the internet; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737).
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::super::attack::ATTACKS;
    use super::*;

    #[test]
    fn the_rules_open_the_controls_and_no_attacked_target() {
        let servers = Servers::start().unwrap();
        let policy = servers.policy();
        assert_eq!(policy.allow.len(), 5, "each rule is one");
        let to = rave_net::Destination::Address(Ipv4Addr::LOCALHOST.into());
        assert!(policy.connect(&to, servers.open).unwrap().private);
        assert!(policy.connect(&to, servers.closed).is_err());
        let greeting = TcpStream::connect(("127.0.0.1", servers.closed)).and_then(|mut stream| {
            let mut received = String::new();
            stream.read_to_string(&mut received).map(|_| received)
        });
        assert_eq!(greeting.unwrap().as_bytes(), GREETING, "it is refused although there is a listener");
    }

    #[test]
    fn no_placeholder_remains() {
        let servers = Servers::start().unwrap();
        for attack in ATTACKS {
            let arguments = [servers.arguments(attack.tries), servers.arguments(attack.control.0)].concat();
            assert!(
                arguments.iter().chain(&servers.logged(&attack)).all(|word| !word.contains('{')),
                "{arguments:?}"
            );
        }
    }
}
