//! One connection: the guest's end in its own TCP stack, the host's end a socket. Only the stack's buffers hold data.

mod pages;

use std::io::{ErrorKind, Read as _, Write as _};

use smoltcp::socket::tcp::State;
use smoltcp::time::{Duration, Instant};

use crate::end::End;
use crate::gate::{Gate, Passage};
use crate::outgoing::Outgoing;
use crate::stack::Stack;
use crate::witness::{Kind, Trace};
use pages::Ends;
pub(crate) use pages::Pages;

/// How long a guest may take to send what is checked first, and to close after a refusal.
const PATIENCE: Duration = Duration::from_secs(15);
/// The shortest time until a flow is served again at its own request.
const SOONEST: Duration = Duration::from_millis(1);
/// Rounds of copying per call, so that one flow does not hold up the others.
const ROUNDS: usize = 4;
/// Copies of a page's bytes per call: more than the stack's buffer holds.
const PAGE_MOVES: usize = 16;
/// How long a client may take to read a refusal.
const LINGER: Duration = Duration::from_secs(2);

/// A connection with both ends open.
#[expect(clippy::struct_excessive_bools, reason = "the two ends begin and end independently")]
pub(crate) struct Flow {
    stack: Stack,
    /// Nothing once the host's side is closed.
    host: Option<End>,
    gate: Gate,
    trace: Trace,
    /// For connections that carry requests to a page of the guest.
    pages: Option<Box<Pages>>,
    /// The guest's end has been established.
    was_open: bool,
    host_ended: bool,
    /// The guest sends no more, but received data may still be queued.
    guest_finished: bool,
    /// The host's end was closed for writing.
    guest_ended: bool,
    /// The host's socket accepts no data now.
    is_stuck: bool,
    deadline: Option<Instant>,
}

/// What a flow needs next.
#[expect(clippy::struct_excessive_bools, reason = "each is needed or not")]
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The flow is over.
    pub(crate) is_done: bool,
    /// Call it when the host's socket is readable.
    pub(crate) host_reads: bool,
    /// Call it when the host's socket is writable.
    pub(crate) host_writes: bool,
    /// Call it when there is room in the queue to the guest.
    pub(crate) is_starved: bool,
    /// Call it at this time.
    pub(crate) due: Option<Instant>,
    /// It was refused during this call: what was checked, and the reason.
    pub(crate) refused: Option<(Kind, String)>,
}

impl Flow {
    pub(crate) fn new(stack: Stack, host: End, gate: Gate, trace: Trace, now: Instant) -> Self {
        let deadline = Some(now + PATIENCE);
        Self {
            stack,
            host: Some(host),
            gate,
            trace,
            pages: None,
            was_open: false,
            host_ended: false,
            guest_finished: false,
            guest_ended: false,
            is_stuck: false,
            deadline,
        }
    }

    /// Makes the host's end a client of the guest's pages.
    pub(crate) fn with(self, pages: Option<Pages>) -> Self {
        Self { pages: pages.map(Box::new), ..self }
    }

    /// The host's end.
    pub(crate) fn host(&self) -> Option<&End> {
        self.host.as_ref()
    }

    /// Takes a packet of the guest; call [`Flow::serve`] after the last of several.
    pub(crate) fn take(&mut self, packet: &[u8], out: &mut Outgoing, now: Instant) {
        self.stack.take(packet, out, now);
    }

    /// Resets both sides at once.
    pub(crate) fn reset(&mut self, out: &mut Outgoing, now: Instant) {
        self.stack.socket().abort();
        self.stack.send(out, now);
        self.reset_host();
    }

    /// Copies as much as possible and sends what is due.
    pub(crate) fn serve(&mut self, out: &mut Outgoing, now: Instant) -> Needs {
        let mut needs = Needs::default();
        self.is_stuck = false;
        let mut has_more = false;
        for _ in 0..ROUNDS {
            if self.pages.is_some() {
                has_more = self.feed_pages(now);
                needs.is_starved = self.stack.send(out, now);
                if !has_more || needs.is_starved {
                    break;
                }
                continue;
            }
            let mut moved = match self.feed_host() {
                Ok(moved) => moved,
                Err(why) => {
                    let kind = self.gate.kind();
                    self.refuse(&why);
                    needs.refused = Some((kind, why));
                    self.deadline = Some(now + PATIENCE);
                    break;
                }
            };
            moved |= self.feed_guest();
            needs.is_starved = self.stack.send(out, now);
            if !moved || needs.is_starved {
                break;
            }
        }
        self.end_sides();
        self.watch_deadline(now);
        needs.is_starved |= self.stack.send(out, now);
        self.fill(&mut needs, now);
        if has_more {
            needs.due = Some(now + SOONEST);
        }
        needs
    }

    /// Copies the guest's data to the host. Returns whether any was copied, or the reason to refuse it.
    fn feed_host(&mut self) -> Result<bool, String> {
        let Some(host) = &mut self.host else { return Ok(false) };
        let socket = self.stack.socket();
        let mut moved = false;
        while socket.can_recv() {
            let passable = match self.gate.check_received(socket)? {
                Passage::Passable(count) => count,
                Passage::Wait => break,
            };
            let result = socket.recv(|bytes| {
                let bytes = &bytes[..bytes.len().min(passable)];
                match host.write(bytes) {
                    Ok(count) => (count, Ok(count)),
                    Err(error) => (0, Err(error.kind())),
                }
            });
            match result {
                Ok(Ok(count)) if count > 0 => {
                    self.gate.passed(count);
                    self.trace.sent += count as u64;
                    moved = true;
                }
                Ok(Err(ErrorKind::WouldBlock)) => {
                    self.is_stuck = true;
                    break;
                }
                Ok(Err(ErrorKind::Interrupted)) => {}
                _ => {
                    self.reset_guest();
                    return Ok(true);
                }
            }
        }
        Ok(moved)
    }

    /// Copies the host's data to the guest. Returns whether any was copied.
    fn feed_guest(&mut self) -> bool {
        let Some(host) = &mut self.host else { return false };
        if self.host_ended || !self.gate.lets_host_send() {
            return false;
        }
        let socket = self.stack.socket();
        let mut moved = false;
        while socket.can_send() {
            let result = socket.send(|bytes| match host.read(bytes) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error.kind())),
            });
            match result {
                Ok(Ok(0)) => {
                    self.host_ended = true;
                    socket.close();
                    return true;
                }
                Ok(Ok(count)) => {
                    self.trace.received += count as u64;
                    moved = true;
                }
                Ok(Err(ErrorKind::WouldBlock)) => break,
                Ok(Err(ErrorKind::Interrupted)) => {}
                _ => {
                    self.reset_guest();
                    return true;
                }
            }
        }
        moved
    }

    /// Copies as much as possible. Returns whether there may be more at once.
    fn feed_pages(&mut self, now: Instant) -> bool {
        for _ in 0..PAGE_MOVES {
            let was_refused = self.is_page_refused();
            let Ok(moved) = self.pass_pages() else {
                self.reset_guest();
                return false;
            };
            if self.is_page_refused() && !was_refused {
                self.stack.socket().abort();
                self.deadline = Some(now + LINGER);
                return true;
            }
            if !moved {
                return false;
            }
        }
        true
    }

    fn pass_pages(&mut self) -> std::io::Result<bool> {
        let Some(pages) = &mut self.pages else { return Ok(false) };
        pages.pass(Ends {
            guest: self.stack.socket(),
            host: &mut self.host,
            trace: &mut self.trace,
            host_ended: &mut self.host_ended,
            is_stuck: &mut self.is_stuck,
        })
    }

    /// Passes the end of one side on to the other.
    fn end_sides(&mut self) {
        if self.is_page_refused() {
            return;
        }
        let socket = self.stack.socket();
        let state = socket.state();
        self.was_open |=
            !matches!(state, State::Listen | State::SynSent | State::SynReceived | State::Closed);
        self.guest_finished |=
            matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait);
        let is_drained =
            socket.recv_queue() == 0 && !self.pages.as_ref().is_some_and(|pages| pages.waits_to_write());
        if state == State::Closed && !(self.guest_finished && self.host_ended) {
            self.reset_host();
        } else if self.guest_finished && is_drained && !self.guest_ended {
            self.guest_ended = true;
            if let Some(host) = &self.host {
                host.finish();
            }
        }
    }

    /// Resets a connection that takes too long to be established, to be checked, or to close after a refusal.
    fn watch_deadline(&mut self, now: Instant) {
        if self.was_open && self.gate.is_settled() && !self.is_page_refused() {
            self.deadline = None;
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = None;
            self.reset_guest();
        }
    }

    fn fill(&mut self, needs: &mut Needs, now: Instant) {
        let socket = self.stack.socket();
        let state = socket.state();
        let is_over = matches!(state, State::Closed | State::TimeWait);
        needs.is_done = is_over && !needs.is_starved && (self.host.is_none() || socket.recv_queue() == 0);
        let (reads, is_done) = match &self.pages {
            Some(pages) if pages.is_refused() => (true, is_over && self.host.is_none()),
            Some(pages) => {
                let reads = !self.host_ended && socket.may_send() && pages.wants_client();
                (reads, needs.is_done && !(pages.waits_to_write() && self.host.is_some()))
            }
            None => (!self.host_ended && self.gate.lets_host_send() && socket.can_send(), needs.is_done),
        };
        needs.is_done = is_done;
        needs.host_reads = self.host.is_some() && reads;
        needs.host_writes = self.host.is_some() && self.is_stuck;
        // A stack that waits for room in the queue to the guest is not called before there is some.
        let stack_due = if needs.is_starved { None } else { self.stack.due(now) };
        needs.due = [stack_due, self.deadline].into_iter().flatten().min().map(|due| due.max(now + SOONEST));
    }

    fn is_page_refused(&self) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages.is_refused())
    }

    /// Sends the refusal to the guest, then closes both sides.
    fn refuse(&mut self, why: &str) {
        let answer = self.gate.refuse(why);
        let socket = self.stack.socket();
        if let Some(answer) = answer {
            let _ = socket.send_slice(&answer);
            socket.close();
        } else {
            socket.abort();
        }
        self.reset_host();
    }

    fn reset_guest(&mut self) {
        self.stack.socket().abort();
        self.reset_host();
    }

    /// Closes the host's end with RST.
    fn reset_host(&mut self) {
        if let Some(host) = self.host.take() {
            host.reset();
        }
    }
}
