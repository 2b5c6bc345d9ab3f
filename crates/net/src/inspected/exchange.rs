//! Requests and answers of one inspected connection, in order: each is checked, and passed on as it arrives.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::copy::{Broken, copy, copy_masked};
use super::pages::page;
use super::side::{Guest, HeadLimit, Host, ReadHead, Side, Stream};
use crate::access::Access;
use crate::body::{Body, Progress};
use crate::head::{BadRequest, Head, MAX_HEAD, ResponseHead, Status};
use crate::mask::Mask;
use crate::name::HostName;
use crate::rule::Rule;
use crate::secret::{Filled, OfHost};
use crate::witness::{Seen, SharedWitness};

/// How long a connection may be idle between requests.
const IDLE: Duration = Duration::from_secs(300);
/// The limits of a request's head.
pub(crate) const REQUEST: HeadLimit = HeadLimit { bytes: MAX_HEAD, time: Duration::from_secs(60) };
/// The limits of an answer's head: hosts may take long to answer.
pub(crate) const ANSWER: HeadLimit = HeadLimit { bytes: 64 * 1024, time: Duration::from_secs(600) };
/// How long either side may pause within a body, or accept no data.
pub(crate) const SILENCE: Duration = Duration::from_secs(300);

/// The destination of an inspected connection.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: HostName,
    pub(crate) port: u16,
    pub(crate) access: Access,
    /// The user's secrets for the host, if it has any.
    pub(crate) secrets: Option<OfHost>,
}

/// The refusal of a request.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) why: String,
    /// The rule that would allow it.
    pub(super) allow: Option<Rule>,
    page: Vec<u8>,
}

pub(super) struct Exchange<'a> {
    pub(super) guest: Side<Guest>,
    pub(super) host: Side<Host>,
    pub(super) target: &'a Target,
    pub(super) witness: &'a SharedWitness,
}

/// A request whose head was checked.
struct Request {
    /// The head as it is passed on.
    head: Vec<u8>,
    method: String,
    body: Body,
    /// Whether the client waits for `100 Continue` (RFC 9110, 10.1.1).
    expects: bool,
    /// Whether another request may follow.
    keep_alive: bool,
}

/// How an exchange ended.
enum Ended {
    /// Another request may follow.
    KeepAlive,
    /// Both sides are done.
    Over,
    /// A side closed the connection early: the other must not take the received data for complete.
    Broken,
    /// The body of the request was refused before its end.
    Refused(Refused),
}

impl Exchange<'_> {
    /// Runs until a side closes the connection or a request is refused. The caller then sends the refusal with
    /// [`Exchange::refuse`].
    pub(super) fn run(&mut self) -> Result<(), Refused> {
        loop {
            if !self.wait_for_request() {
                break;
            }
            let head = match self.guest.read_head(REQUEST) {
                Ok(ReadHead::Head(head)) => head,
                Ok(ReadHead::End) | Err(_) => return Ok(()),
                Ok(ReadHead::TooLong) => {
                    return Err(refused(Status::Bad, "the head of a request is too long".into(), None));
                }
            };
            let request = self.parse_request(&head)?;
            match self.pass(&request) {
                Ok(Ended::KeepAlive) => {}
                Ok(Ended::Over) => break,
                Ok(Ended::Broken) | Err(_) => return Ok(()),
                Ok(Ended::Refused(refused)) => return Err(refused),
            }
        }
        self.guest.stream.end();
        self.host.stream.end();
        Ok(())
    }

    /// Waits for the next request; false if the host closed the connection first, or none arrives.
    fn wait_for_request(&mut self) -> bool {
        let limit = Timespec { tv_sec: IDLE.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
        while !self.guest.has_more() {
            let (guest, host) = (self.guest.stream.socket(), self.host.stream.socket());
            let mut both = [
                PollFd::from_borrowed_fd(guest, PollFlags::IN),
                PollFd::from_borrowed_fd(host, PollFlags::IN),
            ];
            match poll(&mut both, Some(&limit)) {
                Err(rustix::io::Errno::INTR) => continue,
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            let (guest, host) = (!both[0].revents().is_empty(), !both[1].revents().is_empty());
            if host && !self.host.stream.is_quiet() {
                return false;
            }
            if guest {
                break;
            }
        }
        true
    }

    fn parse_request(&self, bytes: &[u8]) -> Result<Request, Refused> {
        let Target { host, port, access, secrets } = self.target;
        let bad = |bad: BadRequest| refused(bad.status, bad.why, None);
        let head = Head::parse(&bytes[..bytes.len() - 4]).map_err(bad)?;
        let (target, body) = head.check(host, *port, true).map_err(bad)?;
        if let Some(why) = access.refuses(&head, target, body) {
            let allow =
                if let Access::Read(group) = access { Some(Rule::of_group(*group, true)) } else { None };
            return Err(refused(Status::Forbidden, why, allow));
        }
        let closes = head.version == "HTTP/1.0" || has_token(head.values("connection"), "close");
        let expects = head.values("expect").any(|value| value.eq_ignore_ascii_case("100-continue"));
        let method = head.method.to_owned();
        let head = match secrets {
            Some(secrets) => {
                let filled = secrets.fill(&head).map_err(|why| refused(Status::Forbidden, why, None))?;
                self.report_secrets(&filled);
                let fields = filled.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                forwarded(&Head { fields, ..head }, target)
            }
            None => forwarded(&head, target),
        };
        Ok(Request { head, method, body, expects, keep_alive: !closes })
    }

    /// Reports which secrets are used.
    fn report_secrets(&self, filled: &Filled<'_>) {
        for name in &filled.used {
            let to = format!("{}:{}", self.target.host, self.target.port);
            self.witness.0.see(Seen::Secret { name: name.clone(), to });
        }
    }

    /// Sends a refusal to the guest, and closes its side.
    pub(super) fn refuse(&mut self, refusal: &Refused) {
        let _ = self.guest.stream.limit(SILENCE);
        let _ = self.guest.write(&refusal.page);
        self.guest.stream.end();
        self.guest.stream.linger();
    }

    /// Passes on a request and its answer.
    fn pass(&mut self, request: &Request) -> io::Result<Ended> {
        self.guest.stream.limit(SILENCE)?;
        self.host.stream.limit(SILENCE)?;
        self.host.write(&request.head)?;
        if request.expects && request.body != Body::Length(0) {
            self.guest.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Progress::strict(request.body);
        // A host may answer before it has received the whole body, and then accept no more of it.
        let is_whole = match copy(&mut self.guest, &mut self.host, &mut body, |_| {}) {
            Ok(()) => true,
            Err(Broken::To) => false,
            Err(Broken::From) => return Ok(Ended::Broken),
            Err(Broken::Malformed(why)) => return Ok(Ended::Refused(refused(Status::Bad, why, None))),
        };
        self.answer(request, is_whole)
    }

    fn answer(&mut self, request: &Request, is_whole: bool) -> io::Result<Ended> {
        let secrets = self.target.secrets.as_ref().map(OfHost::values);
        let mut mask = secrets.as_ref().map(|secrets| Mask::of(secrets.iter().map(String::as_str)));
        loop {
            let ReadHead::Head(bytes) = self.host.read_head(ANSWER)? else { return Ok(Ended::Broken) };
            let parsed = ResponseHead::parse(&bytes[..bytes.len() - 4])
                .and_then(|head| head.body(&request.method).map(|body| (head, body)));
            let (head, body) = match parsed {
                Ok(parsed) if parsed.0.status != 101 => parsed,
                Ok(_) => return self.bad_answer("the host switches protocols"),
                Err(why) => return self.bad_answer(&why),
            };
            let keep_alive = request.keep_alive
                && is_whole
                && body.is_some()
                && !has_token(head.values("connection"), "close")
                && bytes.starts_with(b"HTTP/1.1");
            let is_last = head.status >= 200;
            self.guest.stream.limit(SILENCE)?;
            self.host.stream.limit(SILENCE)?;
            self.guest.write(&answered(&head, keep_alive || !is_last, mask.as_ref()))?;
            if !is_last {
                continue;
            }
            let Some(body) = body else { return Ok(self.rest(mask)) };
            let (from, to) = (&mut self.host, &mut self.guest);
            let copied = match &mut mask {
                Some(mask) => copy_masked(from, to, body, mask),
                None => copy(from, to, &mut Progress::lenient(body), |_| {}),
            };
            return Ok(match copied {
                Ok(()) if keep_alive => Ended::KeepAlive,
                Ok(()) => Ended::Over,
                Err(_) => Ended::Broken,
            });
        }
    }

    fn bad_answer(&mut self, why: &str) -> io::Result<Ended> {
        self.guest.write(&page("502 Bad Gateway", why))?;
        Ok(Ended::Over)
    }

    /// Passes on a body that ends with the connection.
    fn rest(&mut self, mask: Option<Mask>) -> Ended {
        let mut mask = mask.unwrap_or_else(|| Mask::of([].into_iter()));
        loop {
            let count = self.host.ahead().len();
            if count > 0 {
                if self.guest.write(&mask.take(self.host.ahead())).is_err() {
                    return Ended::Broken;
                }
                self.host.take(count);
            }
            match self.host.fill() {
                // Without TLS's closing alert, the end is an error (RFC 8446, 6.1).
                Ok(0) if self.guest.write(&mask.finish()).is_err() => return Ended::Broken,
                Ok(0) => return Ended::Over,
                Ok(_) => {}
                Err(_) => return Ended::Broken,
            }
        }
    }
}

/// Hop-by-hop fields (RFC 9110, 7.6.1), and those that are answered here.
const HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade", "expect"];
/// Fields of an answer that would lead past us, to another protocol or port (RFC 7838).
const AWAY: [&str; 4] = ["connection", "keep-alive", "alt-svc", "upgrade"];
/// Fields of an answer that are dropped where secrets are masked: they carry a credential, or announce trailers.
const OF_MASKED: [&str; 3] = ["set-cookie", "set-cookie2", "trailer"];

/// A request's head as it is passed on.
pub(crate) fn forwarded(head: &Head<'_>, target: &str) -> Vec<u8> {
    let mut text = format!("{} {target} {}\r\n", head.method, head.version);
    for (name, value) in &head.fields {
        if !HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name)) {
            text.extend([name, ": ", value, "\r\n"]);
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// An answer's head as it is passed on.
fn answered(head: &ResponseHead<'_>, keep_alive: bool, mask: Option<&Mask>) -> Vec<u8> {
    let shown = |text: &str| mask.map_or_else(|| text.to_owned(), |mask| mask.text(text));
    let mut text = format!("HTTP/1.1 {} {}\r\n", head.status, shown(head.reason));
    for (name, value) in &head.fields {
        let is_one = |of: &[&str]| of.iter().any(|one| one.eq_ignore_ascii_case(name));
        if !is_one(&AWAY) && (mask.is_none() || !is_one(&OF_MASKED)) {
            text.extend([&shown(name), ": ", &shown(value), "\r\n"]);
        }
    }
    text.push_str(if keep_alive { "\r\n" } else { "Connection: close\r\n\r\n" });
    text.into_bytes()
}

/// Whether one of a field's values, which are lists, contains a token.
pub(crate) fn has_token<'a>(mut values: impl Iterator<Item = &'a str>, token: &str) -> bool {
    values.any(|value| value.split(',').any(|one| one.trim().eq_ignore_ascii_case(token)))
}

fn refused(status: Status, why: String, allow: Option<Rule>) -> Refused {
    let line = match status {
        Status::Bad => "400 Bad Request",
        Status::Forbidden => "403 Forbidden",
        Status::Misdirected => "421 Misdirected Request",
    };
    let page = page(line, &why);
    Refused { why, allow, page }
}
