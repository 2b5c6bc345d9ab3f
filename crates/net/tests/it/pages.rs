//! Pages of a guest on a forwarded port, requested by a program and as raw bytes.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use rave_net::{Forward, Kind, Mode, Policy};
use smoltcp::iface::SocketHandle;

use crate::guest::Guest;
use crate::hosts::{Names, Site, policy, read_all};

const LIMIT: Duration = Duration::from_secs(20);
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=b; Domain=localhost\r\nContent-Length: 5\r\n\r\n<p>hi";

struct Server {
    site: Site,
    guest: Guest,
    handle: SocketHandle,
    address: SocketAddr,
}

impl Server {
    fn new(policy: Policy) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let forward = Forward { listener, guest: 3000, pages: Some("box".into()) };
        let (site, mut guest) = Site::new(policy, Names::new(), vec![forward]);
        let handle = guest.listen(3000);
        Self { site, guest, handle, address }
    }

    /// Sends bytes from the host, and returns all that comes back.
    fn client(&self, bytes: impl Into<Vec<u8>>) -> JoinHandle<Vec<u8>> {
        let mut client = TcpStream::connect(self.address).unwrap();
        let bytes = bytes.into();
        std::thread::spawn(move || {
            client.write_all(&bytes).unwrap();
            read_all(&mut client)
        })
    }

    /// What the guest receives until it ends with these bytes.
    fn request(&mut self, end: &[u8]) -> Vec<u8> {
        let (mut got, handle) = (Vec::new(), self.handle);
        self.guest
            .until(LIMIT, |guest| {
                let socket = guest.socket(handle);
                if socket.can_recv() {
                    got.extend(socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap());
                }
                got.ends_with(end).then_some(())
            })
            .expect("a request");
        got
    }

    fn wait<T>(&mut self, of: JoinHandle<T>) -> T {
        self.guest.until(LIMIT, |_| of.is_finished().then_some(())).expect("an end");
        of.join().unwrap()
    }
}

fn get(host: &str, fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

#[test]
fn a_page_has_a_policy_and_no_permissive_headers() {
    for (mode, open_pages, is_closed) in [
        (Mode::Restricted, false, true),
        (Mode::Offline, false, true),
        (Mode::Restricted, true, false),
        (Mode::Open, false, false),
    ] {
        let mut server = Server::new(Policy { open_pages, ..policy(mode, &[], &[]) });
        let host = format!("box.localhost:{}", server.address.port());
        let client = server.client(get(&host, ""));
        assert_eq!(server.request(b"\r\n\r\n"), get(&host, "").as_bytes());
        server.guest.write(server.handle, ANSWER.as_bytes());
        server.guest.close(server.handle);
        let got = String::from_utf8(server.wait(client)).unwrap();
        assert_eq!(got.contains("connect-src 'self'"), is_closed, "{mode} {open_pages}: {got}");
        assert!(got.contains("Set-Cookie: a=b\r\n") && got.ends_with("\r\n\r\n<p>hi"), "{got}");
    }
}

#[test]
fn rebinding_foreign_pages_and_invalid_http_are_refused_and_recorded() {
    for (bytes, status, why) in [
        (get("evil.example", "").into_bytes(), "421", "evil.example"),
        (
            get(
                "box.localhost:PORT",
                "Upgrade: websocket\r\nConnection: upgrade\r\nOrigin: http://evil.example\r\n",
            )
            .into_bytes(),
            "403",
            "evil.example",
        ),
        (b"SSH-2.0-client\r\n\r\n".to_vec(), "400", "HTTP/1"),
        (b"\x16\x03\x01\x00\x05hello".to_vec(), "400", "not HTTP"),
    ] {
        let mut server = Server::new(policy(Mode::Restricted, &[], &[]));
        let port = server.address.port().to_string();
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => text.replace("PORT", &port).into_bytes(),
            Err(error) => error.into_bytes(),
        };
        let client = server.client(bytes);
        let got = String::from_utf8(server.wait(client)).unwrap();
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{got}");
        let denial = server.site.denial();
        assert_eq!((denial.kind, denial.to.as_str()), (Kind::Page, "port 3000"));
        assert!(denial.rule.contains(why), "{denial:?}");
        let handle = server.handle;
        server
            .guest
            .until(LIMIT, |guest| (!guest.socket(handle).is_active()).then_some(()))
            .expect("its end");
        assert!(!server.guest.socket(handle).can_recv(), "none of it reached the guest");
    }
}

#[test]
fn every_request_of_a_persistent_connection_is_checked() {
    let mut server = Server::new(policy(Mode::Restricted, &[], &[]));
    let host = format!("localhost:{}", server.address.port());
    let client = server.client(format!("{}{}", get(&host, ""), get("evil.example", "")));
    server.request(b"\r\n\r\n");
    server.guest.write(server.handle, ANSWER.as_bytes());
    let got = String::from_utf8(server.wait(client)).unwrap();
    assert!(got.contains("<p>hiHTTP/1.1 421"), "{got}");
}

#[test]
fn websockets_and_events_are_streamed() {
    let mut server = Server::new(policy(Mode::Restricted, &[], &[]));
    let host = format!("localhost:{}", server.address.port());
    let mut client = TcpStream::connect(server.address).unwrap();
    let fields = format!("Connection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://{host}\r\n");
    client.write_all(get(&host, &fields).as_bytes()).unwrap();
    server.request(b"\r\n\r\n");
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    server.guest.write(server.handle, switching);
    client.write_all(b"\x81\x02up").unwrap();
    assert_eq!(server.request(b"up"), b"\x81\x02up");
    // More than all buffers hold, at the reader's pace.
    let large = vec![7; 1 << 20];
    let reader = std::thread::spawn(move || read_all(&mut client));
    server.guest.write(server.handle, &large);
    server.guest.close(server.handle);
    let got = server.wait(reader);
    assert!(got.ends_with(&large) && got.len() < large.len() + 1000, "{}", got.len());
}

#[test]
fn a_large_upload_is_complete() {
    let mut server = Server::new(policy(Mode::Restricted, &[], &[]));
    let body = vec![b'x'; 3 << 20];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {}\r\n\r\n",
        server.address.port(),
        body.len()
    );
    let client = server.client([head.as_bytes(), &body, b""].concat());
    let (mut count, handle) = (0, server.handle);
    server
        .guest
        .until(LIMIT, |guest| {
            let socket = guest.socket(handle);
            while socket.can_recv() {
                count += socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
            }
            (count == head.len() + body.len()).then_some(())
        })
        .unwrap_or_else(|| panic!("{count}"));
    server.guest.write(server.handle, ANSWER.as_bytes());
    server.guest.close(server.handle);
    assert!(server.wait(client).ends_with(b"<p>hi"));
}

#[test]
fn curl_gets_two_pages_over_one_connection() {
    let mut server = Server::new(policy(Mode::Restricted, &[], &[]));
    let address = format!("http://127.0.0.1:{}/", server.address.port());
    rave_testing::or_skip!(duct::cmd("curl", ["--version"]).stdout_null().run());
    let curl = duct::cmd("curl", ["-sS", "-i", "--max-time", "20", &address, &address]);
    let curl = std::thread::spawn(move || curl.stdout_capture().stderr_to_stdout().unchecked().run());
    for _ in 0..2 {
        server.request(b"\r\n\r\n");
        server.guest.write(server.handle, ANSWER.as_bytes());
    }
    let output = server.wait(curl).unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.matches("<p>hi").count() == 2, "{stdout}");
    assert_eq!(stdout.matches("form-action 'self'").count(), 2, "{stdout}");
}

#[test]
fn a_client_that_does_not_read_its_refusal_is_disconnected() {
    let mut server = Server::new(policy(Mode::Restricted, &[], &[]));
    let mut client = TcpStream::connect(server.address).unwrap();
    client.write_all(b"nonsense").unwrap();
    let ended = std::thread::spawn(move || {
        let all = read_all(&mut client);
        // Its own end stays open, and the other one does not wait for it.
        while client.write(b"more").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        all
    });
    assert!(server.wait(ended).starts_with(b"HTTP/1.1 400"));
}
