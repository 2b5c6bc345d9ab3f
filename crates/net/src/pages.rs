//! One connection of a browser, or another HTTP client, to a forwarded port: request by request, each looked at, each answer guarded. A
//! WebSocket is passed on as it is once both ends have agreed on it.

use crate::body::Body;
use crate::head::MAX_HEAD;
use crate::page_body::Bytes;
use crate::page_head::{self, Head};
use crate::page_policy::{Refused, Site};

/// Fields that say how long a body is.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// The two ways of a connection. What came in is taken apart; what is to go out waits in [`Exchange::to_guest`] and
/// [`Exchange::to_client`], which the caller empties before it gives more.
#[derive(Debug)]
pub(crate) struct Exchange {
    site: Site,
    /// Came from the client, and is not taken yet.
    client: Vec<u8>,
    /// Came from the guest, and is not taken yet.
    guest: Vec<u8>,
    pub(crate) to_guest: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    state: State,
    /// Something of an answer was passed on: a page of ours would mix with it.
    has_answered: bool,
}

#[derive(Debug)]
enum State {
    /// The next request.
    Idle,
    /// A request is on its way, and its answer.
    Busy { request: Bytes, answer: Answer, asked: Asked },
    /// Both ends speak something else.
    Tunnel,
    /// Nothing is passed on any more.
    Refused,
}

#[derive(Debug)]
enum Answer {
    Head,
    Body(Bytes),
}

/// What must be known of a request for its answer.
#[derive(Debug, Clone)]
struct Asked {
    host: String,
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

    /// Whether more of the client is taken now.
    pub(crate) fn wants_client(&self) -> bool {
        self.to_guest.is_empty() && self.client.len() < MAX_HEAD && !self.is_refused()
    }

    /// Whether more of the guest is taken now.
    pub(crate) fn wants_guest(&self) -> bool {
        self.to_client.is_empty() && self.guest.len() < MAX_HEAD && !self.is_refused()
    }

    /// Bytes that are kept.
    pub(crate) fn waiting(&self) -> usize {
        self.client.len() + self.guest.len() + self.to_client.len() + self.to_guest.len()
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused)
    }

    /// Takes bytes of the client; why they are refused, which the client is told in [`Exchange::to_client`].
    pub(crate) fn take_client(&mut self, bytes: &[u8], is_closed: bool) -> Option<String> {
        self.client.extend(bytes);
        self.step(is_closed)
    }

    /// Takes bytes of the guest.
    pub(crate) fn take_guest(&mut self, bytes: &[u8], is_closed: bool) -> Option<String> {
        self.guest.extend(bytes);
        self.step(is_closed)
    }

    /// Goes as far as it can. Pages may not connect to others where `is_closed`.
    fn step(&mut self, is_closed: bool) -> Option<String> {
        match self.advance(is_closed) {
            Ok(()) => None,
            Err((status, why)) => {
                // After whole answers, and never into one.
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
                        return Err(bad_guest("it answers what nobody asked"));
                    }
                    if !self.next_request()? {
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

    /// Takes a request's head, where it has come. Empty lines before it are allowed (RFC 9112, 2.2).
    fn next_request(&mut self) -> Result<bool, Refused> {
        while self.client.starts_with(b"\r\n") {
            self.client.drain(..2);
        }
        if self.client == b"\r" {
            return Ok(false);
        }
        let Some(head) = page_head::take(&mut self.client).map_err(bad_client)? else { return Ok(false) };
        let is_socket = self.site.check(&head)?;
        let body = head.length().map_err(bad_client)?.unwrap_or(Body::Length(0));
        if is_socket && body != Body::Length(0) {
            return Err(bad_client("a request for a WebSocket has a body"));
        }
        head.render(&mut self.to_guest);
        let host = head.values("host").next().unwrap_or_default().to_ascii_lowercase();
        let asked = Asked { host, is_head: head.first.starts_with("HEAD "), is_socket };
        self.state = State::Busy { request: Bytes::of(Some(body)), answer: Answer::Head, asked };
        Ok(true)
    }

    /// Takes an answer's head.
    fn answer(&mut self, mut head: Head, asked: &Asked, is_closed: bool) -> Result<(), Refused> {
        let status = status(&head.first).ok_or_else(|| bad_guest("it does not answer with HTTP/1"))?;
        let length = head.length().map_err(bad_guest)?;
        Site::guard(&mut head, &asked.host, is_closed);
        if status == 101 {
            let to_socket = head.only("upgrade").map_err(bad_guest)?;
            if !asked.is_socket || !to_socket.is_some_and(|to| to.eq_ignore_ascii_case("websocket")) {
                return Err(bad_guest("it changes to a protocol that nobody asked for"));
            }
            self.state = State::Tunnel;
        } else {
            let is_bare = status < 200 || matches!(status, 204 | 205 | 304);
            if is_bare {
                // Browsers read none (RFC 9110, 15.2 to 15.4): what followed would be their next answer, which nobody has guarded.
                let says = |name: &str| FRAMING.iter().any(|one| name.eq_ignore_ascii_case(one));
                head.fields.retain(|(name, _)| !says(name));
            }
            if status == 205 {
                // Others read one where it is not said that there is none.
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

/// `HTTP/1.1 200 OK` (RFC 9112, 4).
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let (digits, after) = rest.split_at_checked(3)?;
    let is_code =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (after.is_empty() || after.starts_with(' '));
    digits.parse().ok().filter(|code| is_code && (100..600).contains(code))
}

/// The page of what is refused. It names no text of a page: that could be one.
fn page(status: &str, why: &str) -> Vec<u8> {
    let why: String = why.chars().filter(|c| matches!(c, ' '..='~')).collect();
    let text = format!(
        "RAVE refused this request to a sandbox: {why}.\nThe host's command `net NAME log` lists what was refused.\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests;
