//! The requests of a connection without TLS (RFC 9112). Each must be for the allowed host, and its end is determined as
//! strictly as any server does, so that no request can hide behind another.

use crate::access::Access;
use crate::body::{Progress, Step};
use crate::credential;
use crate::head::{self, Head, MAX_HEAD};
use crate::name::HostName;

/// What to do with the next bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Pass this many on.
    Pass(usize),
    /// Wait for more.
    Wait,
    /// Refuse, with the reason.
    Refuse(String),
}

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Requests {
    host: HostName,
    port: u16,
    access: Access,
    /// The fields of the host's secrets: without TLS neither they nor other credentials are sent.
    guarded: Vec<String>,
    /// Nothing before a head.
    body: Option<Progress>,
}

impl Requests {
    /// The requests of a connection to this host.
    pub(crate) fn to(host: HostName, port: u16, access: Access, guarded: Vec<String>) -> Self {
        Self { host, port, access, guarded, body: None }
    }

    /// Looks at the bytes that have arrived and were not passed on yet.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Next {
        self.try_next(bytes).unwrap_or_else(Next::Refuse)
    }

    fn try_next(&mut self, bytes: &[u8]) -> Result<Next, String> {
        if let Some(body) = &mut self.body {
            match body.next(bytes)? {
                Step::Pass(count) => return Ok(Next::Pass(count)),
                Step::Wait => return Ok(Next::Wait),
                Step::Done => self.body = None,
            }
        }
        if bytes.is_empty() { Ok(Next::Wait) } else { self.head(bytes) }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Next, String> {
        let window = &bytes[..bytes.len().min(MAX_HEAD)];
        // Refuse another protocol at its first byte.
        if !window[0].is_ascii_uppercase() {
            return Err("it is not HTTP".into());
        }
        let Some(end) = head::end(window) else {
            return if bytes.len() >= MAX_HEAD {
                Err("the head of a request is too long".into())
            } else {
                Ok(Next::Wait)
            };
        };
        let head = Head::parse(&window[..end - 4]).map_err(|bad| bad.why)?;
        let (target, body) = head.check(&self.host, self.port, false).map_err(|bad| bad.why)?;
        if let Some(why) = self.access.refuses(&head, target, body) {
            return Err(why);
        }
        let is_secrets = |name: &str| self.guarded.iter().any(|field| credential::is_same(name, field));
        let is_credential = |name: &str| credential::is_one(name) || is_secrets(name);
        if !self.guarded.is_empty() && head.fields.iter().any(|(name, _)| is_credential(name)) {
            return Err("its host has a secret of yours: credentials are not sent there without TLS".into());
        }
        self.body = Some(Progress::strict(body));
        Ok(Next::Pass(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requests() -> Requests {
        Requests::to("a.example".parse().unwrap(), 80, Access::Full, Vec::new())
    }

    /// Feeds bytes in pieces. Returns how many were passed on, and the reason of a refusal.
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
    fn at_a_host_with_a_secret_neither_its_field_nor_another_credential_is_sent_without_tls() {
        let next = |guarded: &[&str], field: &str| {
            let guarded = guarded.iter().map(ToString::to_string).collect();
            let request = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{field}: x\r\n\r\n");
            Requests::to("a.example".parse().unwrap(), 80, Access::Full, guarded).next(request.as_bytes())
        };
        for field in ["X-Acme", "x_acme", "Cookie"] {
            assert!(matches!(next(&["x-acme"], field), Next::Refuse(_)), "{field}");
            assert!(matches!(next(&[], field), Next::Pass(_)), "{field}");
        }
        assert!(matches!(next(&["x-acme"], "Accept"), Next::Pass(_)));
    }

    #[test]
    fn requests_for_the_host_are_forwarded_for_any_segmentation() {
        let bytes = b"GET / HTTP/1.1\r\nHost: A.example:80\r\n\r\nPOST /x HTTP/1.1\r\nhost: a.example\r\nContent-Length: 5\r\n\r\nhello\
            PUT /y HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nGET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
        for size in [1, 7, 1000] {
            assert_eq!(feed(bytes, size), (bytes.len(), None), "{size}");
        }
    }

    #[test]
    fn every_request_is_checked_not_only_the_first() {
        let first = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nok";
        let both = [&first[..], b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n"].concat();
        let (passed, why) = feed(&both, 5);
        assert_eq!(passed, first.len());
        assert!(why.unwrap().contains("b.example"));
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for (head, why) in [
            ("GET / HTTP/1.1\r\nHost: b.example", "another host"),
            ("GET / HTTP/1.1\r\nAccept: x", "names no host"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example", "two host"),
            ("GET / HTTP/1.1\r\nHost : a.example", "no plain name"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\n x: y", "no plain name"),
            ("GET http://b.example/ HTTP/1.1\r\nHost: a.example", "another host"),
            ("GET http://a.example@b.example/ HTTP/1.1\r\nHost: a.example", "a user before its host"),
            ("GET http://a.example?x HTTP/1.1\r\nHost: a.example", "no plain target"),
            ("GET b.example HTTP/1.1\r\nHost: a.example", "no plain target"),
            ("CONNECT b.example:443 HTTP/1.1\r\nHost: a.example", "another protocol"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: h2c", "another protocol"),
            ("PRI * HTTP/2.0", "HTTP/1"),
            ("GET /a#b HTTP/1.1\r\nHost: a.example", "no plain target"),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a.example", "no plain target"),
            ("G\u{c9}T / HTTP/1.1\r\nHost: a.example", "no plain target"),
            ("GET / HTTP/1.1\r\nHost: a.example\r\nH\u{f6}st: b", "no plain name"),
            ("POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked", "HTTP/1.0 and chunked"),
            ("POST / HTTP/1.1\r\nHost: a.example\r\nContent_Length: 5", "imitates another"),
            (
                "POST / HTTP/1.1\r\nHost: a.example\r\ntransfer-Encoding: chunked\r\nTRANSFER_ENCODING: x",
                "imitates another",
            ),
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
            ("GET / HTTP/1.1\r\nX: y\nHost: b.example\r\nHost: a.example", "line end"),
            ("GET / HTTP/1.1\r\nX: y\0\r\nHost: a.example", "control"),
        ] {
            let (passed, refusal) = feed(format!("{head}\r\n\r\n").as_bytes(), 1000);
            assert_eq!(passed, 0, "{head}");
            assert!(refusal.as_ref().is_some_and(|refusal| refusal.contains(why)), "{head}: {refusal:?}");
        }
        assert!(feed(b"\x16\x03", 1).1.unwrap().contains("not HTTP"));
        assert!(feed(&vec![b'A'; MAX_HEAD + 1], 1000).1.unwrap().contains("too long"));
    }

    #[test]
    fn chunk_sizes_are_plain_numbers() {
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
        fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let head = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
            feed(&bytes, 3);
            feed(&[&head[..], &bytes].concat(), 11);
        }
    }
}
