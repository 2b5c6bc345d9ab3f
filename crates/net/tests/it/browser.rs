//! A hostile page of a guest in a real browser of the host.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rave_net::{Forward, Mode};
use smoltcp::iface::SocketHandle;

use crate::guest::Guest;
use crate::hosts::{Names, Site, policy};

/// How long the browser may take on a busy host.
const LIMIT: Duration = Duration::from_secs(150);
/// Connections of the browser at once, and to spare.
const CONNECTIONS: usize = 16;
/// The paths by which the page reaches a service if nothing confines it, sorted.
const EVERY_WAY: &str = "/beacon /css /embed /events /fetch /font /form /frame /frame-of-blob /frame-of-data \
    /frame-of-nothing /image /import /javascript-address /modulepreload /object /prefetch /preload /redirect /refresh \
    /script /socket /srcdoc /srcset /style /video /worker-of-blob /xhr";
const PAGE: &str = include_str!("browser.html");

/// A service of the host, and the paths that are requested from it.
fn victim() -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let paths: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let seen = Arc::clone(&paths);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut buffer) = (stream.unwrap(), [0; 4096]);
            stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let count = stream.read(&mut buffer).unwrap_or_default();
            let head = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if let Some(path) = head.split(' ').nth(1) {
                seen.lock().unwrap().insert(path.to_owned());
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, paths)
}

/// The guest's answer to a request.
fn answer(path: &str, victim: &str) -> String {
    let (status, fields, body) = match path {
        "/" => ("200 OK", "Content-Type: text/html\r\n".to_owned(), PAGE.replace("VICTIM", victim)),
        "/redirect" => {
            ("307 Temporary Redirect", format!("Location: http://{victim}/redirect\r\n"), String::new())
        }
        "/worker.js" => {
            ("200 OK", "Content-Type: text/javascript\r\n".to_owned(), "onfetch = () => {}".to_owned())
        }
        "/garbage" => return "SSH-2.0-garbage\r\n\r\n".to_owned(),
        "/report" => ("200 OK", String::new(), String::new()),
        _ => ("404 Not Found", String::new(), String::new()),
    };
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Answers requests at port 3000 until the page has reported; returns the report.
fn serve(guest: &mut Guest, victim: &str) -> Option<String> {
    let mut connections: Vec<(SocketHandle, String)> =
        (0..CONNECTIONS).map(|_| (guest.listen(3000), String::new())).collect();
    guest.until(LIMIT, |guest| {
        for (handle, got) in &mut connections {
            let socket = guest.socket(*handle);
            if !socket.is_open() {
                got.clear();
                socket.listen(3000).unwrap();
            }
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), got.push_str(&String::from_utf8_lossy(bytes)))).unwrap();
            }
            let Some((head, body)) = got.split_once("\r\n\r\n") else { continue };
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if path == "/report" && !body.ends_with('.') {
                continue;
            }
            let report = (path == "/report").then(|| body.to_owned());
            got.clear();
            if report.is_some() {
                return report;
            }
            let bytes = answer(&path, victim);
            socket.send_slice(bytes.as_bytes()).unwrap();
            socket.close();
        }
        None
    })
}

/// What a page in this mode reaches of the host, and what it reports. A slow host is waited for until it has reached as
/// much as is expected.
fn visit(mode: Mode, expected: usize) -> (Vec<String>, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let forward = Forward { listener, guest: 3000, pages: Some("box".into()) };
    let (_site, mut guest) = Site::new(policy(mode, &[], &[]), Names::new(), vec![forward]);
    let (victim, paths) = victim();
    let profile = tempfile::tempdir().unwrap();
    let folder = format!("--user-data-dir={}", profile.path().display());
    let address = format!("http://box.localhost:{port}/");
    // Chromium's own sandbox does not start for root, which tests may run as.
    let arguments =
        ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    let arguments =
        arguments.into_iter().chain(["--no-proxy-server", "--remote-debugging-port=0", &folder, &address]);
    let browser = duct::cmd("chromium", arguments).stdin_null().stdout_null().stderr_null().unchecked();
    let browser = browser.start().unwrap();
    let report = serve(&mut guest, &victim);
    guest.until(LIMIT, |_| (paths.lock().unwrap().len() >= expected).then_some(()));
    browser.kill().unwrap();
    let reached = paths.lock().unwrap().iter().cloned().collect();
    (reached, report.expect("the page has run"))
}

#[test]
fn a_confined_page_reaches_nothing_from_the_users_browser() {
    if duct::cmd!("chromium", "--version").stdout_null().stderr_null().run().is_err() {
        rave_testing::skip!("this host has no chromium");
    }
    let (reached, report) = visit(Mode::Restricted, 0);
    assert_eq!((reached, report.as_str()), (vec![], "allowed: ."));
    // The same page, unconfined: otherwise nothing was tried.
    let (reached, report) = visit(Mode::Open, EVERY_WAY.split(' ').count());
    assert_eq!((reached.join(" ").as_str(), report.as_str()), (EVERY_WAY, "allowed: worker."));
}
