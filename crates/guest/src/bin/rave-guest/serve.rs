//! `rave-guest health --serve`: the report over HTTP on a unix socket that systemd listens on.
//!
//! One request at a time: only the gateway sends any, and two answers at once would be the same.

use crate::error::Error;
use crate::{health, status_page};
use rave_guest::config::GuestConfig;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

/// Longer request heads are refused; nginx's own limit is 8 KiB per line.
const MAX_HEAD: usize = 32 * 1024;
const JSON: &str = "application/json";
const LIMIT: Duration = Duration::from_secs(5);

pub(crate) fn run(config: &GuestConfig) -> Result<(), Error> {
    let no_socket = |source| Error::NoSocket { source };
    let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(no_socket)?;
    let listener = UnixListener::from(stdin);
    listener.local_addr().map_err(no_socket)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = answer(stream, config) {
                    eprintln!("a request went unanswered: {error}");
                }
            }
            // A client that gave up before it was accepted; any other error is permanent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(no_socket(error)),
        }
    }
}

fn answer(mut stream: UnixStream, config: &GuestConfig) -> io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let head = read_head(&mut stream)?;
    let request = request(&head);
    let (status, kind, body) = match &request {
        Some(Request { page, .. }) => {
            let health = health::report(config);
            let status = if health.ok { "200 OK" } else { "503 Service Unavailable" };
            match page {
                Page::Report => (status, JSON, health::to_json(&health) + "\n"),
                Page::Status => (status, "text/html; charset=utf-8", status_page::render(&health)),
            }
        }
        None => ("404 Not Found", JSON, "{\"error\":\"only GET /healthz and GET /status\"}\n".to_owned()),
    };
    let length = body.len();
    let only_head = request.is_some_and(|request| request.only_head);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{}",
        if only_head { "" } else { &body }
    )
}

fn read_head(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        if count == 0 || head.len() > MAX_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request has no end"));
        }
        head.extend_from_slice(&buffer[..count]);
    }
    Ok(head)
}

/// The available pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// For programs.
    Report,
    /// The same for people.
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    page: Page,
    /// Whether the body is left out.
    only_head: bool,
}

fn request(head: &[u8]) -> Option<Request> {
    let line = std::str::from_utf8(head.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut fields = line.split(' ');
    let (method, target) = (fields.next()?, fields.next()?);
    let path = target.split('?').next()?;
    let page = match path {
        "/healthz" => Page::Report,
        "/status" => Page::Status,
        _ => return None,
    };
    matches!(method, "GET" | "HEAD").then_some(Request { page, only_head: method == "HEAD" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_report_is_served() {
        let (report, status) = (Page::Report, Page::Status);
        let asked = |page, only_head| Some(Request { page, only_head });
        assert_eq!(request(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), asked(report, false));
        assert_eq!(request(b"HEAD /healthz?x=1 HTTP/1.0\r\n\r\n"), asked(report, true));
        assert_eq!(request(b"GET /status HTTP/1.1\r\n\r\n"), asked(status, false));
        assert_eq!(request(b"POST /healthz HTTP/1.1\r\n\r\n"), None);
        assert_eq!(request(b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(request(b"\xff\r\n\r\n"), None);
        assert_eq!(request(b""), None);
    }
}
