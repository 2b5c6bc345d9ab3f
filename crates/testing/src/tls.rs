//! A proxy as in corporate networks: it inspects TLS, with certificates of a private authority.

#![expect(clippy::missing_panics_doc, reason = "a test without its network fails")]

mod authority;
mod pump;
mod serve;

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use authority::Authority;
use rustls::{ServerConnection, StreamOwned};

/// How long one end may be silent. A build compiles between two requests, so the other end closes first.
const SILENCE: Duration = Duration::from_secs(120);

/// What answers the requests to every host.
#[derive(Debug, Clone)]
pub enum Behind {
    /// The files of a folder, by the path of the URL.
    Folder(PathBuf),
    /// The real host, over TLS; its authority must be in this PEM file.
    Network(PathBuf),
}

/// A proxy on the loopback address. When dropped, it accepts no more connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    authority: Authority,
    behind: Behind,
    hosts: Mutex<BTreeSet<String>>,
    ended: AtomicBool,
}

impl Proxy {
    /// Starts a proxy on a free port.
    pub fn start(authority: Authority, behind: Behind) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("the port of a listener");
        let shared =
            Arc::new(Shared { authority, behind, hosts: Mutex::default(), ended: AtomicBool::new(false) });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, accepting: Some(accepting) }
    }

    /// The value for `https_proxy`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The authority of its certificates.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// Hosts whose TLS was inspected: the client trusted the certificate.
    pub fn hosts(&self) -> BTreeSet<String> {
        self.shared.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread from waiting for connections.
        let _ = TcpStream::connect(self.address);
        self.accepting.take().map(JoinHandle::join);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            break;
        }
        let (Ok(client), shared) = (client, Arc::clone(shared)) else { continue };
        // It is up to the client whether it disconnects, or trusts nothing.
        thread::spawn(move || drop(shared.answer(client)));
    }
}

impl Shared {
    fn answer(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(SILENCE))?;
        client.set_nodelay(true)?;
        let head = head(&client)?;
        let mut fields = head.split_whitespace();
        let (method, target) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if method != "CONNECT" {
            // Plain HTTP is redirected to HTTPS.
            let to = target.replacen("http://", "https://", 1);
            write!(
                client,
                "HTTP/1.1 301 Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )?;
            return client.shutdown(Shutdown::Write);
        }
        let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
        let config = self.authority.server(host);
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut client)?;
        }
        let met = |host: &str| {
            self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
        };
        match &self.behind {
            Behind::Folder(folder) => serve::files(StreamOwned::new(tls, client), folder, &mut || met(host)),
            Behind::Network(trusted) => {
                met(host);
                let upstream = TcpStream::connect(target)?;
                let own = authority::client(host, trusted)?;
                pump::both_ways((tls.into(), client), (own.into(), upstream), SILENCE)
            }
        }
    }
}

/// The head of a request, up to its empty line. Read byte by byte, because TLS follows.
fn head(client: &TcpStream) -> io::Result<String> {
    const LONGEST: u64 = 16 << 10;
    let mut reader = BufReader::with_capacity(1, client).take(LONGEST);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}
