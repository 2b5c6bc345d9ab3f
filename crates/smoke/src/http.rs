//! Plain HTTP to a forwarded port of the guest.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ureq::http::Response;
use ureq::{Agent, Body};

use crate::poll::{CheckError, Observation};

/// How long one request may take before it is retried. QEMU accepts connections before the guest listens, and such a
/// connection gets no answer.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes of a body that are read: the router's pages are one file of 4 MB.
const BODY_LIMIT: u64 = 16 << 20;

/// The most lines of JSON that are recorded: an answer is cut to 200 bytes anyway.
const SHOWN_JSON_LINES: usize = 20;

/// An answer with any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// Requests a path and records the answer.
pub(crate) fn get(address: SocketAddr, path: &str, seen: &mut Observation) -> Result<Answer, CheckError> {
    get_within(REQUEST_LIMIT, address, path, seen)
}

fn get_within(
    limit: Duration,
    address: SocketAddr,
    path: &str,
    seen: &mut Observation,
) -> Result<Answer, CheckError> {
    let ask = || -> Result<Answer, ureq::Error> {
        let mut response = agent(limit).get(format!("http://{address}{path}")).call()?;
        let body = response.body_mut().with_config().limit(BODY_LIMIT).lossy_utf8(true).read_to_string()?;
        Ok(Answer { body, ..head(&response) })
    };
    noted(ask(), path, seen)
}

/// Requests a stream that stays open, identified by its head: the answer has no body, and the connection is closed.
pub(crate) fn head_of_stream(
    address: SocketAddr,
    path: &str,
    seen: &mut Observation,
) -> Result<Answer, CheckError> {
    head_of_stream_within(REQUEST_LIMIT, address, path, seen)
}

fn head_of_stream_within(
    limit: Duration,
    address: SocketAddr,
    path: &str,
    seen: &mut Observation,
) -> Result<Answer, CheckError> {
    let request = agent(limit).get(format!("http://{address}{path}")).header("Accept", "text/event-stream");
    noted(request.call().map(|response| head(&response)), path, seen)
}

fn agent(limit: Duration) -> Agent {
    let config = Agent::config_builder().timeout_global(Some(limit));
    config.http_status_as_error(false).max_redirects(0).build().into()
}

fn head(response: &Response<Body>) -> Answer {
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    Answer {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default().to_owned(),
        body: String::new(),
    }
}

fn noted(
    answer: Result<Answer, ureq::Error>,
    path: &str,
    seen: &mut Observation,
) -> Result<Answer, CheckError> {
    match answer {
        Ok(answer) => {
            seen.note(format!("{} {} {}", answer.status, answer.content_type, beginning(&answer)));
            Ok(answer)
        }
        Err(error) => {
            seen.note(error.to_string());
            Err(CheckError::Failed(format!("GET {path}: {error}")))
        }
    }
}

/// The first line that is not empty; for JSON, which may be spread over many lines, the beginning in one line.
fn beginning(answer: &Answer) -> String {
    let mut lines = answer.body.lines().map(str::trim).filter(|line| !line.is_empty());
    let shown = if answer.content_type.contains("json") { SHOWN_JSON_LINES } else { 1 };
    lines.by_ref().take(shown).collect::<Vec<_>>().join(" ")
}

/// The address of a forwarded port.
pub(crate) fn address(host: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(host, port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Instant;

    /// Reads a complete request: a connection that is closed with unread data is reset.
    fn read_head(stream: &mut TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
    }

    /// A server that answers one connection with these bytes.
    fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream);
            let _ = stream.write_all(answer);
        });
        address
    }

    #[test]
    fn an_error_status_is_a_response() {
        let mut seen = Observation::default();
        let address =
            server(b"HTTP/1.1 503 Down\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nkanban");
        let answer = get(address, "/healthz", &mut seen).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (503, "kanban"));
        assert_eq!(seen.answer, "503 text/plain kanban");
    }

    #[test]
    fn multi_line_json_is_summarised_beyond_its_first_brace() {
        let mut seen = Observation::default();
        let json = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\n  \"ok\": true\n}";
        get(server(json), "/healthz", &mut seen).unwrap();
        assert_eq!(seen.answer, "200 application/json { \"ok\": true }");
    }

    #[test]
    fn garbage_closed_connections_and_closed_ports_are_recorded_failures() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        for address in [server(b"garbage\r\n\r\n"), server(b""), closed] {
            let mut seen = Observation::default();
            assert!(matches!(get(address, "/", &mut seen), Err(CheckError::Failed(_))));
            assert_eq!(seen.attempts, 1);
            assert!(!seen.answer.is_empty());
        }
    }

    /// A server that accepts, writes this, and if that is not empty, another byte every 20 ms.
    fn tiresome(beginning: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_head(&mut stream);
            stream.write_all(beginning).unwrap();
            while !beginning.is_empty() && stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
            // Wait until the client closes the connection.
            let _ = stream.read(&mut [0]);
        });
        address
    }

    #[test]
    fn a_server_that_never_answers_or_ends_is_given_up_at_the_limit() {
        let limit = Duration::from_millis(300);
        for beginning in [&b""[..], b"HTTP/1.1 200 OK\r\nX-Endless: "] {
            for ask in [
                |limit, address, seen: &mut Observation| get_within(limit, address, "/", seen).map(drop),
                |limit, address, seen: &mut Observation| {
                    head_of_stream_within(limit, address, "/", seen).map(drop)
                },
            ] {
                let (started, mut seen) = (Instant::now(), Observation::default());
                let answer = ask(limit, tiresome(beginning), &mut seen);
                assert!(matches!(answer, Err(CheckError::Failed(_))), "{beginning:?}: {answer:?}");
                assert!(
                    started.elapsed() >= limit && started.elapsed() < 10 * limit,
                    "{:?}",
                    started.elapsed()
                );
                assert!(!seen.answer.is_empty());
            }
        }
    }

    #[test]
    fn a_stream_is_readable_before_it_ends() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").unwrap();
            let _ = ended.recv();
        });
        let answer = head_of_stream(address, "/events", &mut Observation::default()).unwrap();
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/event-stream"));
        drop(end);
    }
}
