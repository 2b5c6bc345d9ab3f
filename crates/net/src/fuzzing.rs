//! One function over arbitrary bytes for each parser of the guest's data, for tests and for the fuzz targets in
//! `fuzz/`. It panics if the parser does, or if its result is inconsistent.

#![expect(clippy::missing_panics_doc, reason = "panicking is their purpose")]

use crate::access::Access;
use crate::body::{Progress, Step};
use crate::credential;
use crate::dns::{self, Answer, Message};
use crate::framing::{Decoder, HEAD, MAX_FRAME};
use crate::head::MAX_HEAD;
use crate::head::{self, Head, ResponseHead};
use crate::hello::{self, Hello};
use crate::http::{Next, Requests};
use crate::incoming::{self, Incoming};
use crate::inspected::exchange::forwarded;
use crate::mask::Mask;
use crate::page_policy::Site;
use crate::pages::Exchange;
use crate::provider::usage::Reader;
use crate::secret::{Secret, Secrets};
use crate::{dhcp, outgoing::Outgoing, replies, stack::Refuser};

/// Feeds bytes to a parser.
pub type Feed = fn(&[u8]);

/// The parsers by name, which is also the name of the fuzz target.
pub const PARSERS: &[(&str, Feed)] = &[
    ("net_frames", net_frames),
    ("net_dhcp", net_dhcp),
    ("net_dns", net_dns),
    ("net_hello", net_hello),
    ("net_http", net_http),
    ("net_pages", net_pages),
    ("net_request", net_request),
    ("net_answer", net_answer),
    ("net_usage", net_usage),
];

/// Frames in QEMU's framing, and the replies to them.
pub fn net_frames(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    let now = smoltcp::time::Instant::ZERO;
    let (mut out, mut refuser) = (Outgoing::default(), Refuser::new(now));
    for piece in bytes.chunks(97) {
        decoder.push(piece);
        while let Ok(Some(frame)) = decoder.next_frame() {
            match incoming::parse(frame) {
                Incoming::Tcp(segment) => refuser.refuse(segment.packet, &mut out, now),
                Incoming::Arp { target } => replies::arp(&mut out, target),
                Incoming::Dhcp(message) => net_dhcp(message),
                Incoming::Dns { message, .. } => net_dns(message),
                Incoming::Echo { to, id, number, data } => replies::echo(&mut out, to, id, number, data),
                Incoming::Unreachable { header, payload, .. } => {
                    replies::unreachable(&mut out, header, payload);
                }
                Incoming::Unreachable6 { header, payload } => {
                    replies::unreachable6(&mut out, header, payload);
                }
                Incoming::Nothing => {}
            }
        }
        assert!(decoder.kept() <= HEAD + MAX_FRAME + 97);
    }
}

/// A DHCP message.
pub fn net_dhcp(bytes: &[u8]) {
    if let Some(answer) = dhcp::answer(bytes) {
        assert!(answer.len() < 576, "every client takes so much");
    }
}

/// A DNS message.
pub fn net_dns(bytes: &[u8]) {
    if let Some(Message::Question(question)) = dns::parse(bytes) {
        let _ = question.wants_address();
        for answer in [
            Answer::Empty,
            Answer::Denied("no rule"),
            Answer::Failed("x"),
            Answer::Address([198, 18, 0, 1].into()),
        ] {
            assert!(question.answer(answer).len() <= 1232);
        }
    }
}

/// The beginning of a TLS connection. A prefix must give the same result as the whole.
pub fn net_hello(bytes: &[u8]) {
    let whole = hello::parse(bytes);
    for end in (0..bytes.len()).step_by(13) {
        match hello::parse(&bytes[..end]) {
            Hello::Incomplete => {}
            Hello::For(name) => assert_eq!(whole, Hello::For(name)),
            Hello::Bad(_) => assert!(matches!(whole, Hello::Bad(_))),
        }
    }
}

/// The requests of a connection. The split into pieces must not change how much is passed on.
pub fn net_http(bytes: &[u8]) {
    let passed = |size: usize| {
        let Ok(host) = "a.example".parse() else { return 0 };
        let mut requests = Requests::to(host, 80, Access::Full, vec!["x-own".into()]);
        let (mut passed, mut end) = (0, 0);
        loop {
            match requests.next(&bytes[passed..end]) {
                Next::Pass(count) => {
                    assert!(count > 0 && passed + count <= end);
                    passed += count;
                }
                Next::Wait if end == bytes.len() => return passed,
                Next::Wait => end = bytes.len().min(end + size),
                Next::Refuse(_) => return passed,
            }
        }
    };
    assert_eq!(passed(usize::MAX >> 1), passed(5));
}

/// Both ends of a connection to a page, in turn: the first byte of each piece selects the end. The amount of queued
/// data must stay bounded, and the split into pieces must not change the result.
pub fn net_pages(bytes: &[u8]) {
    let run = |size: usize| {
        let site = Site { sandbox: "box".to_owned(), port: 8080 };
        let mut exchange = Exchange::new(site);
        let (mut to_guest, mut to_client) = (Vec::new(), Vec::new());
        let mut give = |exchange: &mut Exchange, piece: &[u8], is_client: bool| {
            for piece in piece.chunks(size) {
                let _ = if is_client {
                    exchange.take_client(piece, true)
                } else {
                    exchange.take_guest(piece, true)
                };
                to_guest.append(&mut exchange.to_guest);
                to_client.append(&mut exchange.to_client);
                assert!(exchange.waiting() <= 2 * (MAX_HEAD + bytes.len()));
            }
        };
        for piece in bytes.split(|byte| *byte == 0xff) {
            let Some((who, rest)) = piece.split_first() else { continue };
            match who % 4 {
                0 => give(&mut exchange, rest, true),
                1 => give(&mut exchange, rest, false),
                // Input that neither end would produce by chance.
                2 => give(&mut exchange, b"GET / HTTP/1.1\r\nHost: box.localhost:8080\r\n\r\n", true),
                _ => give(&mut exchange, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            }
        }
        (to_guest, to_client)
    };
    let (whole, pieces) = (run(usize::MAX), run(3));
    // A refusal happens as soon as it is certain, so one more piece may have been passed on before it.
    assert!(whole.0.starts_with(&pieces.0) || pieces.0.starts_with(&whole.0));
}

/// A request of an inspected connection. What is passed on must parse as what was checked.
pub fn net_request(bytes: &[u8]) {
    let Ok(host) = "a.example".parse() else { return };
    let Ok(head) = Head::parse(bytes) else { return };
    let Ok((target, body)) = head.check(&host, 443, true) else { return };
    let passed = forwarded(&head, target);
    let end = head::end(&passed).filter(|end| *end == passed.len()).expect("a head ends where it ends");
    let again = Head::parse(&passed[..end - 4]).expect("what is passed on is plain");
    assert_eq!(again.method, head.method);
    assert_eq!(again.check(&host, 443, true), Ok((target, body)));
    // A secret must only appear where a placeholder was, and none of the guest's own credentials may remain.
    let secret = Secret {
        name: "s".into(),
        host: host.clone(),
        port: 443,
        header: "authorization".into(),
        placeholder: "placeholder".into(),
        source: std::sync::Arc::new(|| Ok("the-secret".into())),
    };
    let Some(Ok(filled)) = Secrets::new(vec![secret]).at(&host, 443).map(|secrets| secrets.fill(&head))
    else {
        return;
    };
    let own = filled.fields.iter().filter(|(name, _)| credential::is_one(name)).count();
    assert_eq!(own, filled.used.len());
    assert!(own == 0 || bytes.windows(11).any(|window| window == b"placeholder") || has_basic(bytes));
}

/// Whether a request may contain a placeholder in base64.
fn has_basic(bytes: &[u8]) -> bool {
    bytes.to_ascii_lowercase().windows(6).any(|window| window == b"basic ")
}

/// An answer and its body. The split into pieces must not change how much is passed on.
pub fn net_answer(bytes: &[u8]) {
    let Some(end) = head::end(bytes) else { return };
    let Ok(head) = ResponseHead::parse(&bytes[..end - 4]) else { return };
    let Ok(Some(body)) = head.body("GET") else { return };
    let passed = |size: usize| {
        let (mut progress, bytes) = (Progress::lenient(body), &bytes[end..]);
        let (mut passed, mut end) = (0, 0);
        loop {
            match progress.next(&bytes[passed..end]) {
                Ok(Step::Pass(count)) => passed += count,
                Ok(Step::Wait) if end < bytes.len() => end = bytes.len().min(end + size),
                _ => return (passed, progress.is_done()),
            }
        }
    };
    assert_eq!(passed(usize::MAX >> 1), passed(5));
    let masked = |size: usize| {
        let mut mask = Mask::of(["aba-ab"].into_iter());
        let mut shown: Vec<u8> = bytes[end..].chunks(size).flat_map(|piece| mask.take(piece)).collect();
        shown.extend(mask.finish());
        shown
    };
    let (whole, pieces) = (masked(usize::MAX >> 1), masked(3));
    assert!(whole == pieces && whole.len() == bytes.len() - end);
    assert!(!whole.windows(6).any(|window| window == b"aba-ab"));
}

/// An answer of a model, or a stream of events.
pub fn net_usage(bytes: &[u8]) {
    for is_stream in [false, true] {
        let read = |size: usize| {
            let mut reader = Reader::new(is_stream);
            bytes.chunks(size).for_each(|piece| reader.take(piece));
            reader.finish()
        };
        assert_eq!(read(usize::MAX), read(3));
    }
}

#[cfg(test)]
mod tests;
