//! One connection of a browser, or of another HTTP client, to a forwarded port. Each request is checked, and each
//! answer guarded. A WebSocket is passed on unchanged once both ends have agreed on it.

use crate::body::Body;
use crate::head::MAX_HEAD;
use crate::page_body::Bytes;
use crate::page_head::{self, Head};
use crate::page_policy::{Refused, Site};

/// The policy of our own pages. They have the origin of the guest's page, which could put a script into one in a frame:
/// in a sandbox the origin is opaque, so nobody can (HTML, "sandboxed origin browsing context flag").
const REFUSAL_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; sandbox";

/// Fields that give the length of a body.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Both directions of a connection. Output waits in [`Exchange::to_guest`] and [`Exchange::to_client`], which the
/// caller empties before it adds more input.
#[derive(Debug)]
pub(crate) struct Exchange {
    site: Site,
    /// Received from the client, and not parsed yet.
    client: Vec<u8>,
    /// Received from the guest, and not parsed yet.
    guest: Vec<u8>,
    pub(crate) to_guest: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    state: State,
    /// A part of an answer was passed on: an error page would mix with it.
    has_answered: bool,
}

#[derive(Debug)]
enum State {
    /// Waiting for the next request.
    Idle,
    /// A request is in progress, with its answer.
    Busy { request: Bytes, answer: Answer, asked: Asked },
    /// Both ends speak another protocol.
    Tunnel,
    /// Nothing more is passed on.
    Refused,
}

#[derive(Debug)]
enum Answer {
    Head,
    Body(Bytes),
}

/// The parts of a request that its answer depends on.
#[derive(Debug, Clone)]
struct Asked {
    host: String,
    /// GET or HEAD (RFC 9110, 9.2.1).
    is_safe: bool,
    is_head: bool,
    is_socket: bool,
}

impl Exchange {
    pub(crate) fn new(site: Site) -> Self {
        Self {
            site,
            client: Vec::new(),
            guest: Vec::new(),
            to_guest: Vec::new(),
            to_client: Vec::new(),
            state: State::Idle,
            has_answered: false,
        }
    }

    /// Whether more data of the client is accepted now.
    pub(crate) fn wants_client(&self) -> bool {
        self.to_guest.is_empty() && self.client.len() < MAX_HEAD && !self.is_refused()
    }

    /// Whether more data of the guest is accepted now.
    pub(crate) fn wants_guest(&self) -> bool {
        self.to_client.is_empty() && self.guest.len() < MAX_HEAD && !self.is_refused()
    }

    /// Bytes in all buffers.
    pub(crate) fn waiting(&self) -> usize {
        self.client.len() + self.guest.len() + self.to_client.len() + self.to_guest.len()
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Takes bytes of the client. Returns the reason of a refusal, whose answer is in [`Exchange::to_client`].
    pub(crate) fn take_client(&mut self, bytes: &[u8], is_closed: bool) -> Option<String> {
        self.client.extend(bytes);
        self.step(is_closed)
    }

    /// Takes bytes of the guest.
    pub(crate) fn take_guest(&mut self, bytes: &[u8], is_closed: bool) -> Option<String> {
        self.guest.extend(bytes);
        self.step(is_closed)
    }

    /// Parses as much as possible. `is_closed`: pages may not connect to others.
    fn step(&mut self, is_closed: bool) -> Option<String> {
        match self.advance(is_closed) {
            Ok(()) => None,
            Err((status, why)) => {
                // After complete answers, never in the middle of one.
                if !self.has_answered {
                    self.to_client.extend(page(status, &why));
                }
                (self.client, self.guest, self.to_guest) = Default::default();
                self.state = State::Refused;
                Some(why)
            }
        }
    }

    fn advance(&mut self, is_closed: bool) -> Result<(), Refused> {
        loop {
            match &mut self.state {
                State::Refused => {
                    self.client.clear();
                    self.guest.clear();
                    return Ok(());
                }
                State::Tunnel => {
                    self.to_guest.append(&mut self.client);
                    self.to_client.append(&mut self.guest);
                    return Ok(());
                }
                State::Idle => {
                    if !self.guest.is_empty() {
                        return Err(bad_guest("it sends an answer without a request"));
                    }
                    if !self.next_request(is_closed)? {
                        return Ok(());
                    }
                }
                State::Busy { request, answer, asked } => {
                    request.pass(&mut self.client, &mut self.to_guest).map_err(bad_client)?;
                    if let Answer::Body(bytes) = answer {
                        bytes.pass(&mut self.guest, &mut self.to_client).map_err(bad_guest)?;
                        if (*bytes, *request) != (Bytes::Over, Bytes::Over) {
                            return Ok(());
                        }
                        self.state = State::Idle;
                        self.has_answered = false;
                        continue;
                    }
                    let Some(head) = page_head::take(&mut self.guest).map_err(bad_guest)? else {
                        return Ok(());
                    };
                    let asked = asked.clone();
                    self.answer(head, &asked, is_closed)?;
                }
            }
        }
    }

    /// Takes a request's head, if it is complete. Empty lines before it are allowed (RFC 9112, 2.2).
    fn next_request(&mut self, is_closed: bool) -> Result<bool, Refused> {
        while self.client.starts_with(b"\r\n") {
            self.client.drain(..2);
        }
        if self.client == b"\r" {
            return Ok(false);
        }
        let Some(head) = page_head::take(&mut self.client).map_err(bad_client)? else { return Ok(false) };
        let is_socket = self.site.check(&head, is_closed)?;
        let body = head.length().map_err(bad_client)?.unwrap_or(Body::Length(0));
        if is_socket && body != Body::Length(0) {
            return Err(bad_client("a request for a WebSocket has a body"));
        }
        head.render(&mut self.to_guest);
        let host = head.values("host").next().unwrap_or_default().to_ascii_lowercase();
        let is_head = head.first.starts_with("HEAD ");
        let is_safe = is_head || head.first.starts_with("GET ");
        let asked = Asked { host, is_safe, is_head, is_socket };
        self.state = State::Busy { request: Bytes::of(Some(body)), answer: Answer::Head, asked };
        Ok(true)
    }

    /// Takes an answer's head.
    fn answer(&mut self, mut head: Head, asked: &Asked, is_closed: bool) -> Result<(), Refused> {
        let status = status(&head.first).ok_or_else(|| bad_guest("it does not answer with HTTP/1"))?;
        let length = head.length().map_err(bad_guest)?;
        // The browser would repeat the request there with its body, and not every one asks `form-action` about that.
        let repeats = matches!(status, 307 | 308) && !asked.is_safe;
        if is_closed && repeats && !Site::is_own(head.only("location").map_err(bad_guest)?, &asked.host) {
            return Err(bad_guest("it redirects what the page sends to another site"));
        }
        Site::guard(&mut head, &asked.host, is_closed);
        if status == 101 {
            let to_socket = head.only("upgrade").map_err(bad_guest)?;
            if !asked.is_socket || !to_socket.is_some_and(|to| to.eq_ignore_ascii_case("websocket")) {
                return Err(bad_guest("it switches to a protocol that was not requested"));
            }
            self.state = State::Tunnel;
        } else {
            let is_bare = status < 200 || matches!(status, 204 | 205 | 304);
            if is_bare {
                // Browsers expect no body (RFC 9110, 15.2 to 15.4): they would read it as the next answer, which nobody
                // has guarded.
                let frames_body = |name: &str| FRAMING.iter().any(|one| name.eq_ignore_ascii_case(one));
                head.fields.retain(|(name, _)| !frames_body(name));
            }
            if status == 205 {
                // Some clients expect a body unless its length is given as zero.
                head.fields.push(("Content-Length".to_owned(), "0".to_owned()));
            }
            let body = if asked.is_head || is_bare { Some(Body::Length(0)) } else { length };
            if let State::Busy { answer, .. } = &mut self.state
                && status >= 200
            {
                *answer = Answer::Body(Bytes::of(body));
            }
        }
        self.has_answered = status == 101 || status >= 200;
        head.render(&mut self.to_client);
        Ok(())
    }
}

fn bad_client(why: impl Into<String>) -> Refused {
    ("400 Bad Request", why.into())
}

fn bad_guest(why: impl Into<String>) -> Refused {
    ("502 Bad Gateway", format!("the service in the sandbox: {}", why.into()))
}

/// The status in a line such as `HTTP/1.1 200 OK` (RFC 9112, 4).
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let (digits, after) = rest.split_at_checked(3)?;
    let is_code =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (after.is_empty() || after.starts_with(' '));
    digits.parse().ok().filter(|code| is_code && (100..600).contains(code))
}

/// The page for a refused request. It only contains printable ASCII: the reason may quote the request.
fn page(status: &str, why: &str) -> Vec<u8> {
    let why: String = why.chars().filter(|c| matches!(c, ' '..='~')).collect();
    let text = format!(
        "RAVE refused this request to a sandbox: {why}.\nThe host's command `net NAME log` lists what was refused.\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Security-Policy: {REFUSAL_POLICY}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
