//! Both ends of TLS: servers on loopback with the test's own authority, and a client in the guest.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use smoltcp::iface::SocketHandle;

use crate::guest::Guest;
use crate::hosts::server;

const PATIENCE: Duration = Duration::from_secs(30);

/// An authority.
pub(crate) struct World {
    parameters: CertificateParams,
    key: KeyPair,
    folder: tempfile::TempDir,
}

/// A server's end of a connection.
pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

impl World {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), parameters.self_signed(&key).unwrap().pem()).unwrap();
        Self { parameters, key, folder }
    }

    /// The file of its certificate.
    pub(crate) fn file(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join("ca.pem")
    }

    /// A server that calls `serve` with each connection, with a certificate for `name`.
    pub(crate) fn server(&self, name: &str, serve: impl Fn(Stream) + Clone + Send + 'static) -> SocketAddr {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::from_params(&self.parameters, &self.key)).unwrap();
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        server(move |stream| {
            serve(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream));
        })
    }
}

/// Reads the lines of a request's head; none at the end.
pub(crate) fn read_head(stream: &mut BufReader<Stream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).unwrap_or(0) == 0 {
            return Vec::new();
        }
        match line.trim_end() {
            "" => return lines,
            text => lines.push(text.to_owned()),
        }
    }
}

/// Serves requests with a plain length: the answer's body is the request's head and body.
pub(crate) fn mirror(stream: Stream) {
    let mut stream = BufReader::new(stream);
    loop {
        let head = read_head(&mut stream);
        if head.is_empty() {
            return;
        }
        let length =
            head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        let answer = format!("{}\n{}", head.join("\n"), String::from_utf8(body).unwrap());
        let stream = stream.get_mut();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nAlt-Svc: h3=\":443\"\r\nContent-Length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .unwrap();
        stream.flush().unwrap();
    }
}

/// TLS in the guest.
pub(crate) struct Client {
    tls: ClientConnection,
    handle: SocketHandle,
}

impl Client {
    /// Connects, and trusts this certificate only.
    pub(crate) fn connect(
        guest: &mut Guest,
        name: &str,
        port: u16,
        pem: &str,
    ) -> Result<Self, rustls::Error> {
        let address = guest.address(name);
        let handle = guest.open(address, port);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tls =
            ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
        let mut client = Self { tls, handle };
        client.until(guest, |tls, is_over| (!tls.is_handshaking() || is_over).then_some(()))?;
        Ok(client)
    }

    /// The negotiated protocol.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    pub(crate) fn write(&mut self, guest: &mut Guest, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
        self.until(guest, |tls, is_over| (!tls.wants_write() || is_over).then_some(())).unwrap();
    }

    /// Reads until the received data contains `end`.
    pub(crate) fn read_until(&mut self, guest: &mut Guest, end: &str) -> String {
        let mut all = Vec::new();
        self.until(guest, |tls, is_over| {
            let _ = take(tls, &mut all);
            (String::from_utf8_lossy(&all).contains(end) || is_over).then_some(())
        })
        .unwrap();
        String::from_utf8_lossy(&all).into_owned()
    }

    /// Reads to the end, and returns whether TLS signalled it.
    pub(crate) fn read_all(&mut self, guest: &mut Guest) -> (String, bool) {
        let (mut all, mut is_complete) = (Vec::new(), false);
        self.until(guest, |tls, is_over| {
            is_complete |= take(tls, &mut all);
            (is_complete || is_over).then_some(())
        })
        .unwrap();
        (String::from_utf8_lossy(&all).into_owned(), is_complete)
    }

    /// Moves bytes until `found` returns something; its second argument is whether the connection is over.
    fn until<T>(
        &mut self,
        guest: &mut Guest,
        mut found: impl FnMut(&mut ClientConnection, bool) -> Option<T>,
    ) -> Result<T, rustls::Error> {
        let Self { tls, handle } = self;
        let mut failed = None;
        let result = guest.until(PATIENCE, |guest| {
            let socket = guest.socket(*handle);
            while socket.can_recv() && failed.is_none() {
                let mut bytes = vec![0; 16 * 1024];
                let count = socket.recv_slice(&mut bytes).unwrap();
                let mut rest = &bytes[..count];
                while !rest.is_empty() && failed.is_none() {
                    tls.read_tls(&mut rest).unwrap();
                    failed = tls.process_new_packets().err();
                }
            }
            let mut out = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut out).unwrap();
            }
            let mut rest = &out[..];
            while !rest.is_empty() && socket.may_send() {
                let count = socket.send_slice(rest).unwrap();
                assert!(count > 0, "the little that tests write fits into the buffer");
                rest = &rest[count..];
            }
            let is_over = !socket.may_recv() && !socket.can_recv();
            if failed.is_some() { Some(None) } else { found(tls, is_over).map(Some) }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(result.expect("it happens in time").expect("no error occurred")),
        }
    }
}

/// Takes decrypted data. Returns whether the other end signalled its end.
fn take(tls: &mut ClientConnection, all: &mut Vec<u8>) -> bool {
    let mut bytes = [0; 16 * 1024];
    loop {
        match tls.reader().read(&mut bytes) {
            Ok(0) => return true,
            Ok(count) => all.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return false,
        }
    }
}
