//! A flow whose bytes are requests to a page of the guest: an [`Exchange`] connects its two ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use smoltcp::socket::tcp::Socket;

use crate::end::End;
use crate::page_policy::Site;
use crate::pages::Exchange;
use crate::policy::Mode;
use crate::shared::Shared;
use crate::witness::{Kind, Trace};

/// Bytes that are moved at once.
const PIECE: usize = 16 * 1024;

/// The two ends of a flow, and their state.
pub(super) struct Ends<'a> {
    pub(super) guest: &'a mut Socket<'static>,
    /// Nothing once it is closed.
    pub(super) host: &'a mut Option<End>,
    pub(super) trace: &'a mut Trace,
    pub(super) host_ended: &'a mut bool,
    /// The host's end accepts no data now.
    pub(super) is_stuck: &'a mut bool,
}

/// What connects the two ends.
pub(crate) struct Pages {
    exchange: Exchange,
    /// The guest's port.
    port: u16,
    shared: Arc<Shared>,
    /// The end of the answer was signalled to the client.
    is_end_signalled: bool,
}

impl Pages {
    pub(crate) fn new(site: Site, port: u16, shared: Arc<Shared>) -> Self {
        Self { exchange: Exchange::new(site), port, shared, is_end_signalled: false }
    }

    /// Whether pages may only connect to their own origin.
    fn is_closed(&self) -> bool {
        let policy = self.shared.policy();
        matches!(policy.mode, Mode::Restricted | Mode::Offline) && !policy.open_pages
    }

    pub(super) fn is_refused(&self) -> bool {
        self.exchange.is_refused()
    }

    pub(super) fn waits_to_write(&self) -> bool {
        !self.exchange.to_client.is_empty()
    }

    pub(super) fn wants_client(&self) -> bool {
        self.is_refused() || self.exchange.wants_client()
    }

    /// Moves as much as possible. Returns whether anything was moved. A refusal is recorded before its answer is sent:
    /// a client that has the answer finds it in the log.
    pub(super) fn pass(&mut self, ends: Ends<'_>) -> std::io::Result<bool> {
        let Ends { guest: socket, host: host_end, trace, host_ended, is_stuck } = ends;
        let Some(host) = host_end else { return Ok(false) };
        let is_closed = self.is_closed();
        let exchange = &mut self.exchange;
        let mut moved = false;
        if socket.can_send() && !exchange.to_guest.is_empty() {
            let count = socket.send_slice(&exchange.to_guest).unwrap_or_default();
            exchange.to_guest.drain(..count);
            trace.received += count as u64;
            moved |= count > 0;
        }
        if !exchange.to_client.is_empty() {
            match host.write(&exchange.to_client) {
                Ok(count) => {
                    exchange.to_client.drain(..count);
                    trace.sent += count as u64;
                    moved |= count > 0;
                }
                Err(error) if is_passing(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        *is_stuck = !exchange.to_client.is_empty();
        if exchange.is_refused() {
            if exchange.to_client.is_empty() && !self.is_end_signalled {
                self.is_end_signalled = true;
                host.finish();
            }
            // Read what still arrives, so that the client gets the answer rather than a reset.
            return match host.read(&mut [0; PIECE]) {
                Ok(0) => {
                    *host_end = None;
                    Ok(false)
                }
                Ok(_) => Ok(true),
                Err(error) if is_passing(error.kind()) => Ok(moved),
                Err(error) => Err(error),
            };
        }
        let mut refused = None;
        if !*host_ended && socket.may_send() && exchange.wants_client() {
            let mut bytes = [0; PIECE];
            match host.read(&mut bytes) {
                Ok(0) => *host_ended = true,
                Ok(count) => {
                    moved = true;
                    refused = exchange.take_client(&bytes[..count], is_closed);
                }
                Err(error) if is_passing(error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        if *host_ended && exchange.to_guest.is_empty() && socket.may_send() {
            socket.close();
        }
        if refused.is_none() && socket.can_recv() && exchange.wants_guest() {
            let bytes = socket.recv(|bytes| {
                let count = bytes.len().min(PIECE);
                (count, bytes[..count].to_vec())
            });
            moved = true;
            refused = exchange.take_guest(&bytes.unwrap_or_default(), is_closed);
        }
        if let Some(why) = refused {
            self.shared.journal().deny(Kind::Page, &format!("port {}", self.port), &why, None);
        }
        Ok(moved)
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
