//! The requests of a connection to port 80 (RFC 9112): each must be for the allowed host, and each is bounded as strictly as
//! any server could read it, so that none hides behind another.

use crate::name::HostName;

/// The longest head, bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The longest line of a chunk's size, bytes.
const MAX_CHUNK_LINE: usize = 64;

/// What is done with the next bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many are passed on.
    Pass(usize),
    /// More must come first.
    Wait,
    /// Nothing more is passed on, and why.
    Refuse(String),
}

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Requests {
    host: HostName,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Head,
    /// So many bytes of a body, or of a chunk.
    Body {
        left: u64,
        is_chunk: bool,
    },
    /// The line of a chunk's size.
    ChunkSize,
    /// The end of a line: of a chunk, or of the last one, after which fields could stand.
    LineEnd {
        is_last: bool,
    },
}

impl Requests {
    /// Of a connection to this host.
    pub(crate) fn to(host: HostName) -> Self {
        Self { host, state: State::Head }
    }

    /// Looks at the bytes that have come and were not passed on yet.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Next {
        if bytes.is_empty() {
            return Next::Wait;
        }
        let result = match self.state {
            State::Head => self.head(bytes),
            State::Body { left, is_chunk } => Ok(self.body(bytes, left, is_chunk)),
            State::ChunkSize => self.chunk_size(bytes),
            State::LineEnd { is_last } => self.line_end(bytes, is_last),
        };
        result.unwrap_or_else(Next::Refuse)
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Next, String> {
        let window = &bytes[..bytes.len().min(MAX_HEAD)];
        // A client of another protocol is refused at its first byte.
        if !window[0].is_ascii_uppercase() {
            return Err("it is not HTTP".into());
        }
        let Some(end) = find(window, b"\r\n\r\n") else {
            return if bytes.len() >= MAX_HEAD {
                Err("the head of a request is too long".into())
            } else {
                Ok(Next::Wait)
            };
        };
        let body = Head::parse(&window[..end])?.check(&self.host)?;
        self.state = match body {
            Body::Length(0) => State::Head,
            Body::Length(left) => State::Body { left, is_chunk: false },
            Body::Chunked => State::ChunkSize,
        };
        Ok(Next::Pass(end + 4))
    }

    fn body(&mut self, bytes: &[u8], left: u64, is_chunk: bool) -> Next {
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - count as u64;
        self.state = match (left, is_chunk) {
            (0, true) => State::LineEnd { is_last: false },
            (0, false) => State::Head,
            _ => State::Body { left, is_chunk },
        };
        Next::Pass(count)
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<Next, String> {
        let window = &bytes[..bytes.len().min(MAX_CHUNK_LINE)];
        let Some(end) = find(window, b"\r\n") else {
            return if window.len() == MAX_CHUNK_LINE {
                Err("a chunk's size is too long".into())
            } else {
                Ok(Next::Wait)
            };
        };
        // Extensions are read differently by different servers, and nobody sends them.
        let digits = std::str::from_utf8(&window[..end]).unwrap_or_default();
        let is_size = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size =
            u64::from_str_radix(digits, 16).ok().filter(|_| is_size).ok_or("a chunk has no plain size")?;
        self.state = match size {
            0 => State::LineEnd { is_last: true },
            left => State::Body { left, is_chunk: true },
        };
        Ok(Next::Pass(end + 2))
    }

    fn line_end(&mut self, bytes: &[u8], is_last: bool) -> Result<Next, String> {
        if !b"\r\n".starts_with(&bytes[..bytes.len().min(2)]) {
            return Err(
                if is_last { "a request has fields after its body" } else { "a chunk has no end" }.into()
            );
        }
        if bytes.len() < 2 {
            return Ok(Next::Wait);
        }
        self.state = if is_last { State::Head } else { State::ChunkSize };
        Ok(Next::Pass(2))
    }
}

enum Body {
    Length(u64),
    Chunked,
}

/// A request's head.
struct Head<'a> {
    method: &'a str,
    target: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let strange = |byte: &u8| !matches!(byte, b'\t' | b'\r' | b'\n' | 0x20..=0x7e | 0x80..);
        if bytes.iter().any(strange) || !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
            return Err("a request has control characters".into());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "a request is no text")?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (method, target, version, words.next())
        else {
            return Err("it is not an HTTP/1 request".into());
        };
        let fields: Result<Vec<_>, String> = lines.map(field).collect();
        if text.replace("\r\n", "").contains(['\r', '\n']) {
            return Err("a line of a request ends in half".into());
        }
        Ok(Self { method, target, fields: fields? })
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_owned();
        self.fields
            .iter()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(&name))
            .map(|(_, value)| *value)
    }

    /// The only value of a field that may be there once.
    fn only(&self, name: &str) -> Result<Option<&'a str>, String> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(format!("a request has two {name} fields")),
        }
    }

    fn check(&self, host: &HostName) -> Result<Body, String> {
        if self.method == "CONNECT" || self.values("upgrade").next().is_some() {
            return Err("a request asks for another protocol".into());
        }
        let named = self.only("host")?.ok_or("a request names no host")?;
        check_host(named, host)?;
        // The absolute form names the host once more (RFC 9112, 3.2.2).
        if let Some(rest) = self.target.strip_prefix("http://") {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            check_host(&rest[..end], host)?;
        } else if !self.target.starts_with('/') && self.target != "*" {
            return Err("a request has no plain target".into());
        }
        self.body()
    }

    fn body(&self) -> Result<Body, String> {
        match (self.only("transfer-encoding")?, self.only("content-length")?) {
            (None, None) => Ok(Body::Length(0)),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked),
            (None, Some(length))
                if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                length.parse().map(Body::Length).map_err(|_| "a request's length is too large".into())
            }
            (Some(_), Some(_)) => Err("a request has a length and is chunked".into()),
            _ => Err("a request's length is not plain".into()),
        }
    }
}

fn field(line: &str) -> Result<(&str, &str), String> {
    let (name, value) = line.split_once(':').ok_or("a line of a request is no field")?;
    // A token (RFC 9110, 5.6.2): no space before the colon, and no line that goes on with one.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a field of a request has no plain name".into());
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

fn check_host(named: &str, host: &HostName) -> Result<(), String> {
    let bare = named.strip_suffix(":80").unwrap_or(named);
    match bare.parse::<HostName>() {
        Ok(other) if other == *host => Ok(()),
        _ => Err(format!("a request is for another host, {:?}", named.chars().take(100).collect::<String>())),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests() -> Requests {
        Requests::to("a.example".parse().unwrap())
    }

    /// Feeds bytes in pieces; how many were passed on, and why it ended.
    fn feed(bytes: &[u8], size: usize) -> (usize, Option<String>) {
        let mut requests = requests();
        let mut passed = 0;
        for end in (size..bytes.len() + size).step_by(size) {
            let end = end.min(bytes.len());
            loop {
                match requests.next(&bytes[passed..end]) {
                    Next::Pass(count) => passed += count,
                    Next::Wait => break,
                    Next::Refuse(why) => return (passed, Some(why)),
                }
            }
        }
        (passed, None)
    }

    #[test]
    fn requests_for_the_host_are_passed_on_in_any_pieces() {
        let bytes = b"GET / HTTP/1.1\r\nHost: A.example:80\r\n\r\nPOST /x HTTP/1.1\r\nhost: a.example\r\nContent-Length: 5\r\n\r\nhello\
            PUT /y HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nGET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
        for size in [1, 7, 1000] {
            assert_eq!(feed(bytes, size), (bytes.len(), None), "{size}");
        }
    }

    #[test]
    fn each_request_is_checked_not_only_the_first() {
        let first = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nok";
        let both = [&first[..], b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"].concat();
        let (passed, why) = feed(&both, 5);
        assert_eq!(passed, first.len());
        assert!(why.unwrap().contains("b.example"));
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for (head, why) in [
            ("GET / HTTP/1.1\r\nHost: b.example", "another host"),
            ("GET / HTTP/1.1\r\nAccept: x", "names no host"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example", "two host"),
            ("GET / HTTP/1.1\r\nHost : a.example", "no plain name"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\n x: y", "no plain name"),
            ("GET http://b.example/ HTTP/1.1\r\nHost: a.example", "another host"),
            ("GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example", "another host"),
            ("GET b.example HTTP/1.1\r\nHost: a.example", "no plain target"),
            ("CONNECT b.example:443 HTTP/1.1\r\nHost: a.example", "another protocol"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c", "another protocol"),
            ("PRI * HTTP/2.0", "HTTP/1"),
            (
                "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                "and is chunked",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nContent-Length: 2",
                "two content-length",
            ),
            ("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: +1", "not plain"),
            ("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked", "not plain"),
            ("GET / HTTP/1.1\nHost: b.example\r\nHost: a.example", "HTTP/1"),
            ("GET / HTTP/1.1\r\nX: y\nHost: b.example\r\nHost: a.example", "half"),
            ("GET / HTTP/1.1\r\nX: y\0\r\nHost: a.example", "control"),
        ] {
            let (passed, said) = feed(format!("{head}\r\n\r\n").as_bytes(), 1000);
            assert_eq!(passed, 0, "{head}");
            assert!(said.as_ref().is_some_and(|said| said.contains(why)), "{head}: {said:?}");
        }
        assert!(feed(b"\x16\x03", 1).1.unwrap().contains("not HTTP"));
        assert!(feed(&vec![b'A'; MAX_HEAD + 1], 1000).1.unwrap().contains("too long"));
    }

    #[test]
    fn chunks_are_plain() {
        let head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in [
            "1;x=y\r\n",
            "0x1\r\n",
            "-1\r\n",
            "\r\n",
            "fffffffff\r\n",
            "1\r\nabc",
            "0\r\nHost: b.example\r\n\r\n",
        ] {
            let (_, why) = feed(format!("{head}{body}").as_bytes(), 1000);
            assert!(why.is_some(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let head = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
            feed(&bytes, 3);
            feed(&[&head[..], &bytes].concat(), 11);
        }
    }
}
