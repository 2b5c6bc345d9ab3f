//! The head of an HTTP/1 message (RFC 9112), parsed as strictly as any server parses it.

use crate::body::Body;
use crate::message::{self, field, is_token, only};
use crate::name::HostName;

/// The longest head of a request, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// Fields that determine the host of a message and where it ends.
const FRAMING: [&str; 3] = ["host", "content-length", "transfer-encoding"];

/// The refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadRequest {
    /// The status of the error page.
    pub(crate) status: Status,
    /// The reason.
    pub(crate) why: String,
}

/// The status of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// The protocol does not allow it (RFC 9110, 15.5.1).
    Bad,
    /// The policy does not allow it (RFC 9110, 15.5.4).
    Forbidden,
    /// It is for another host than the connection's (RFC 9110, 15.5.20).
    Misdirected,
}

fn bad(why: impl Into<String>) -> BadRequest {
    BadRequest { status: Status::Bad, why: why.into() }
}

/// A request's head.
#[derive(Debug, Clone)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) version: &'a str,
    pub(crate) fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    /// Parses a head without its final empty line.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, BadRequest> {
        let strange = |byte: &u8| !matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e | 0x80..);
        if bytes.iter().any(strange) {
            return Err(bad("a request has control characters"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("a request is not text"))?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some(version @ ("HTTP/1.1" | "HTTP/1.0")), None) =
            (method, target, version, words.next())
        else {
            return Err(bad("it is not an HTTP/1 request"));
        };
        // Neither may have other characters (RFC 9112, 3). A target has no fragment either: some servers cut it off,
        // others do not.
        if !is_token(method) || !target.bytes().all(|byte| matches!(byte, b'!'..=b'~') && byte != b'#') {
            return Err(bad("a request has no plain target"));
        }
        let fields: Result<Vec<_>, _> = lines.map(field).collect();
        if text.replace("\r\n", "").contains(['\r', '\n']) {
            return Err(bad("a line of a request has an incomplete line end"));
        }
        let fields = fields.map_err(of_request)?;
        // CGI gateways read both characters as the same (RFC 3875, 4.1.18).
        let poses = |name: &str| {
            let plain = name.replace('_', "-");
            plain != name && FRAMING.iter().any(|one| plain.eq_ignore_ascii_case(one))
        };
        if fields.iter().any(|(name, _)| poses(name)) {
            return Err(bad("a field of a request imitates another"));
        }
        Ok(Self { method, target, version, fields })
    }

    /// The values of a field.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        values(&self.fields, name)
    }

    /// The length of the body.
    pub(crate) fn framing(&self) -> Result<Body, BadRequest> {
        let body = framing(self.version, &self.fields).map_err(of_request)?;
        Ok(body.unwrap_or(Body::Length(0)))
    }

    /// The target in origin form, and the body, of a request for this host and port.
    pub(crate) fn check(&self, host: &HostName, port: u16, tls: bool) -> Result<(&'a str, Body), BadRequest> {
        if self.method == "CONNECT" || self.values("upgrade").next().is_some() {
            let why = "a request asks for another protocol".into();
            return Err(BadRequest { status: Status::Forbidden, why });
        }
        let named = only(self.values("host"), "host")
            .map_err(of_request)?
            .ok_or_else(|| bad("a request names no host"))?;
        check_host(named, host, port, tls)?;
        // The absolute form names the host a second time (RFC 9112, 3.2.2).
        let scheme = if tls { "https://" } else { "http://" };
        let target = if let Some(rest) = self.target.strip_prefix(scheme) {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            check_host(&rest[..end], host, port, tls)?;
            match &rest[end..] {
                "" => "/",
                target if target.starts_with('/') => target,
                _ => return Err(bad("a request has no plain target")),
            }
        } else if self.target.starts_with('/') || self.target == "*" {
            self.target
        } else {
            return Err(bad("a request has no plain target"));
        };
        Ok((target, self.framing()?))
    }
}

/// The length of a message's body according to its fields; nothing if they do not give one.
fn framing(version: &str, fields: &[(&str, &str)]) -> Result<Option<Body>, String> {
    let (codings, lengths) = (values(fields, "transfer-encoding"), values(fields, "content-length"));
    message::framing(version == "HTTP/1.0", codings, lengths)
}

fn values<'a>(fields: &[(&'a str, &'a str)], name: &str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

fn of_request(flaw: impl std::fmt::Display) -> BadRequest {
    bad(format!("a request {flaw}"))
}

fn check_host(named: &str, host: &HostName, port: u16, tls: bool) -> Result<(), BadRequest> {
    let suffix = format!(":{port}");
    let bare = match named.strip_suffix(&suffix) {
        Some(bare) => Some(bare),
        // Without a port it is the scheme's default.
        None if port == if tls { 443 } else { 80 } => Some(named),
        None => None,
    };
    match bare.map(str::parse::<HostName>) {
        Some(Ok(other)) if other == *host => Ok(()),
        _ => {
            let why = if named.contains('@') {
                // A password may precede it, which must not be recorded.
                "a request has a user before its host".into()
            } else {
                format!("a request is for another host, {:?}", named.chars().take(100).collect::<String>())
            };
            Err(BadRequest { status: Status::Misdirected, why })
        }
    }
}

/// The length of a head including its final empty line, once that has arrived.
pub(crate) fn end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// A response's head.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead<'a> {
    version: &'a str,
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    pub(crate) fields: Vec<(&'a str, &'a str)>,
}

impl<'a> ResponseHead<'a> {
    /// Parses a head without its final empty line.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the host's answer is not text")?;
        if text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            return Err("the host's answer has incomplete line ends".into());
        }
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let (version, rest) = line
            .split_once(' ')
            .filter(|(version, _)| matches!(*version, "HTTP/1.1" | "HTTP/1.0"))
            .ok_or("the host's answer is not HTTP/1")?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status =
            code.parse().ok().filter(|_| code.len() == 3).ok_or("the host's answer has no status")?;
        let fields = lines.map(field).collect::<Result<Vec<_>, _>>();
        Ok(Self { version, status, reason, fields: fields.map_err(|_| "the host's answer has a bad field")? })
    }

    /// The values of a field.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        values(&self.fields, name)
    }

    /// The body of the answer to a request with this method (RFC 9112, 6.3); nothing if it ends with the connection.
    pub(crate) fn body(&self, method: &str) -> Result<Option<Body>, String> {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Ok(Some(Body::Length(0)));
        }
        framing(self.version, &self.fields).map_err(|flaw| format!("the host's answer {flaw}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_lengths_are_plain_numbers() {
        let body =
            |text: &str, method| ResponseHead::parse(text.as_bytes()).and_then(|head| head.body(method));
        let (some, length) = ("HTTP/1.1 200 OK\r\nContent-Length: 5", Some(Body::Length(5)));
        assert_eq!(body(some, "GET"), Ok(length));
        assert_eq!(body(some, "HEAD"), Ok(Some(Body::Length(0))));
        assert_eq!(body("HTTP/1.1 304 \r\nContent-Length: 5", "GET"), Ok(Some(Body::Length(0))));
        assert_eq!(body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", "GET"), Ok(Some(Body::Chunked)));
        assert_eq!(body("HTTP/1.0 200", "GET"), Ok(None));
        for bad in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
            "HTTP/2 200 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 200 OK\nA: b",
            "SSH-2.0-x",
        ] {
            assert!(body(bad, "GET").is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_compared_with_their_ports() {
        let host: HostName = "a.example".parse().unwrap();
        for (named, port, tls, is) in [
            ("a.example", 443, true, true),
            ("A.example:443", 443, true, true),
            ("a.example", 80, false, true),
            ("a.example", 8443, true, false),
            ("a.example:8443", 8443, true, true),
            ("a.example:80", 443, true, false),
            ("a.example:443:443", 443, true, false),
            ("", 443, true, false),
        ] {
            assert_eq!(check_host(named, &host, port, tls).is_ok(), is, "{named} {port}");
        }
    }
}
