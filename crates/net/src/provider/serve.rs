//! One connection of the guest to the model. Each request is checked against the provider's API and gets the user's
//! key; its answer is passed on as it arrives.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustls::StreamOwned;

use super::usage::Reader;
use crate::body::{Body, Progress};
use crate::dial::{self, DialError, DialRequest, Outbound};
use crate::head::{Head, ResponseHead};
use crate::inspected::copy::{Broken, copy, drain};
use crate::inspected::exchange::{ANSWER, REQUEST, SILENCE, has_token};
use crate::inspected::side::{Guest, Host, ReadHead, Side, Stream as _};
use crate::model::{Access, Held, Tokens, estimate};
use crate::policy::Destination;
use crate::shared::Shared;
use crate::witness::Kind;

/// The paths that are served.
const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// Fields of a request that are passed on; none of them can carry a credential.
const PASSED: [&str; 7] = [
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-length",
    "content-type",
    "transfer-encoding",
    "user-agent",
];
/// Fields of an answer that are not passed on: hop-by-hop, or for a browser.
const DROPPED: [&str; 6] =
    ["connection", "keep-alive", "alt-svc", "upgrade", "set-cookie", "strict-transport-security"];

/// The assumed size of a request that does not give its length, in bytes.
const CHUNKED: u64 = 1 << 20;

/// The timeout of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// An answer in place of the provider's: status, type of the API's error, and the reason.
struct Refusal(&'static str, &'static str, String);

/// A request whose head was checked.
struct Request<'a> {
    /// Its reserved tokens, if they are counted.
    held: Option<Held<'a>>,
    target: String,
    head: String,
    body: Body,
    expects: bool,
    keep_alive: bool,
}

pub(super) fn run(shared: &Shared, access: &Access, outbound: &Outbound, socket: UnixStream) {
    let mut guest = Side::new(Guest::Plain(socket));
    while let Ok(ReadHead::Head(head)) = guest.read_head(REQUEST) {
        match parse_request(access, &head).and_then(|request| answer(access, outbound, &mut guest, request)) {
            Ok(true) => {}
            Ok(false) => return,
            Err(refusal) => {
                let Refusal(_, _, why) = &refusal;
                shared.journal().deny(Kind::Http, "the model", why, None);
                let _ = guest.write(&page(&refusal));
                guest.stream.linger();
                return;
            }
        }
    }
}

fn bad(why: impl Into<String>) -> Refusal {
    Refusal("400 Bad Request", "invalid_request_error", why.into())
}

fn unavailable(why: impl Into<String>) -> Refusal {
    Refusal("502 Bad Gateway", "api_error", why.into())
}

fn parse_request<'a>(access: &'a Access, bytes: &[u8]) -> Result<Request<'a>, Refusal> {
    let head = Head::parse(&bytes[..bytes.len() - 4]).map_err(|error| bad(error.why))?;
    let body = head.framing().map_err(|error| bad(error.why))?;
    let path = head.target.split('?').next().unwrap_or_default();
    if head.method != "POST" || !matches!(path, MESSAGES | COUNT) {
        return Err(Refusal(
            "404 Not Found",
            "not_found_error",
            format!("only POST {MESSAGES} and {COUNT} are served"),
        ));
    }
    let bearer = head.values("authorization").filter_map(|value| value.strip_prefix("Bearer "));
    let mut shown = head.values("x-api-key").chain(bearer);
    if !shown.any(|token| is_same(token, &access.model.token)) {
        let why = "the token is not this sandbox's".to_owned();
        return Err(Refusal("401 Unauthorized", "authentication_error", why));
    }
    let forbidden = |why| Refusal("403 Forbidden", "permission_error", why);
    let bytes = if let Body::Length(length) = body { length } else { CHUNKED };
    let reserved =
        (path == MESSAGES).then(|| access.begin(estimate(bytes)).map_err(forbidden)).transpose()?;
    let mut text = String::new();
    for (name, value) in &head.fields {
        if PASSED.iter().any(|passed| passed.eq_ignore_ascii_case(name)) {
            text.extend([name, ": ", value, "\r\n"]);
        }
    }
    let expects = head.values("expect").any(|value| value.eq_ignore_ascii_case("100-continue"));
    let keep_alive = head.version == "HTTP/1.1" && !has_token(head.values("connection"), "close");
    Ok(Request { held: reserved, target: head.target.to_owned(), head: text, body, expects, keep_alive })
}

/// Compares in constant time.
fn is_same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
    one.len() == other.len() && differs == 0
}

/// Passes on a request and its answer. Returns whether another request may follow.
fn answer(
    access: &Access,
    outbound: &Outbound,
    guest: &mut Side<Guest>,
    request: Request<'_>,
) -> Result<bool, Refusal> {
    let model = &access.model;
    let mut host = reach(access, outbound).map_err(|error| unreachable(&error))?;
    let Request { mut held, target, head, body, expects, keep_alive } = request;
    let authority = model.origin.to_string();
    let authority = authority.trim_start_matches("https://");
    let (prefix, key) = (&model.prefix, model.key.field());
    // Without compression, so that usage can be read.
    let head = format!(
        "POST {prefix}{target} HTTP/1.1\r\nhost: {authority}\r\n{head}accept-encoding: identity\r\nconnection: close\r\n{key}\r\n"
    );
    host.write(head.as_bytes()).map_err(|error| unreachable(&error))?;
    limit(guest, &host)?;
    if expects && guest.write(b"HTTP/1.1 100 Continue\r\n\r\n").is_err() {
        return Ok(false);
    }
    let mut sent = 0;
    let is_whole = match copy(guest, &mut host, &mut Progress::strict(body), |bytes| sent += bytes.len()) {
        Ok(()) => true,
        Err(Broken::To) => false,
        // The provider does not process an incomplete request.
        Err(Broken::From) => return Ok(false),
        Err(Broken::Malformed(why)) => return Err(bad(why)),
    };
    if let Some(held) = &mut held {
        held.at_least(estimate(sent as u64));
    }
    let mut answered = Answered::default();
    let result = pass(&mut host, guest, keep_alive && is_whole, &mut answered);
    if let Some(held) = held
        && answered.costs(is_whole)
    {
        held.settle(answered.reported);
    }
    result
}

/// What an answer tells about its tokens.
#[derive(Default)]
struct Answered {
    status: Option<u16>,
    reported: Option<(Option<String>, Tokens)>,
}

impl Answered {
    /// Whether the provider has worked for it. An answer that broke off is assumed to cost tokens.
    fn costs(&self, is_whole: bool) -> bool {
        self.reported.is_some() || self.status.map_or(is_whole, |status| status < 300)
    }
}

/// Passes on an answer. Returns whether another request may follow. It is read to its end even if the guest accepts no
/// more of it, because its tokens were used.
fn pass(
    host: &mut Side<Host>,
    guest: &mut Side<Guest>,
    keep_alive: bool,
    answered: &mut Answered,
) -> Result<bool, Refusal> {
    let bytes = loop {
        match host.read_head(ANSWER).map_err(|error| unreachable(&error))? {
            ReadHead::Head(bytes) if bytes.starts_with(b"HTTP/1.1 1") => {}
            ReadHead::Head(bytes) => break bytes,
            ReadHead::End | ReadHead::TooLong => return Err(unavailable("the provider gave no answer")),
        }
    };
    let head = ResponseHead::parse(&bytes[..bytes.len() - 4]).map_err(unavailable)?;
    answered.status = Some(head.status);
    let body = head.body("POST").map_err(unavailable)?;
    limit(guest, host)?;
    let keep_alive = keep_alive && body.is_some();
    let is_stream = head.values("content-type").any(|kind| kind.starts_with("text/event-stream"));
    let mut reader = Reader::new(is_stream);
    let mut body = Progress::lenient(body.unwrap_or(Body::Length(u64::MAX)));
    let passed = match guest.write(&answer_head(&head, keep_alive)) {
        Ok(()) => copy(host, guest, &mut body, |bytes| reader.take(bytes)),
        Err(_) => Err(Broken::To),
    };
    let keep_alive = passed.is_ok() && keep_alive;
    if let Err(Broken::To) = passed {
        let _ = drain(host, &mut body, |bytes| reader.take(bytes));
    }
    // Count a truncated stream too: the reported tokens were used.
    let (name, tokens) = reader.finish();
    answered.reported = (tokens != Tokens::default()).then_some((name, tokens));
    Ok(keep_alive)
}

fn unreachable(error: &io::Error) -> Refusal {
    unavailable(format!("the provider cannot be reached: {error}"))
}

/// Limits how long either side may pause.
fn limit(guest: &Side<Guest>, host: &Side<Host>) -> Result<(), Refusal> {
    guest.stream.limit(SILENCE).and_then(|()| host.stream.limit(SILENCE)).map_err(|error| unreachable(&error))
}

/// Connects to the provider.
fn reach(access: &Access, outbound: &Outbound) -> io::Result<Side<Host>> {
    let origin = &access.model.origin;
    let dial = DialRequest {
        id: 0,
        to: Destination::Name(origin.host.clone()),
        port: origin.port,
        private: origin.private,
        is_named: true,
        denied: Vec::new(),
    };
    let failed = |error| match error {
        DialError::Proxy(why) => io::Error::other(why),
        _ => io::Error::other(format!("no connection to {origin}")),
    };
    let mut socket: TcpStream = dial::connect(&dial, outbound).map_err(failed)?;
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(HANDSHAKE))?;
    socket.set_write_timeout(Some(HANDSHAKE))?;
    let mut tls = access.upstream.client(&origin.host)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    Ok(Side::new(Host(Box::new(StreamOwned::new(tls, socket)))))
}

fn answer_head(head: &ResponseHead<'_>, keep_alive: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", head.status, head.reason);
    for (name, value) in &head.fields {
        if !DROPPED.iter().any(|dropped| dropped.eq_ignore_ascii_case(name)) {
            text.extend([name, ": ", value, "\r\n"]);
        }
    }
    text.push_str(if keep_alive { "\r\n" } else { "connection: close\r\n\r\n" });
    text.into_bytes()
}

/// An error in the API's format.
fn page(Refusal(status, kind, why): &Refusal) -> Vec<u8> {
    let message = format!("{why} (from the sandbox's supervisor, not from the provider)");
    let text =
        serde_json::json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string();
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
    .into_bytes()
}
