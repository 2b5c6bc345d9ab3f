//! Handles the guest's packets: answers them here, passes them on as the policy allows, or refuses them.

mod allowed;
mod resolve;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

use smoltcp::time::Instant;

use crate::denials;
use crate::dial::{DialRequest, Dialed, Dialer, Outbound};
use crate::end::End;
use crate::flow::{Flow, Pages};
use crate::flows::{Entry, Flows, Key, State};
use crate::gate::Gate;
use crate::incoming::{self, Incoming, Segment, Unreachable};
use crate::inspected::{self, Target};
use crate::lan::{GATEWAY, MODEL};
use crate::outgoing::Outgoing;
use crate::page_policy::Site;
use crate::policy::{Destination, Grant, Policy, Refusal};
use crate::poller::Poller;
use crate::pool::Pool;
use crate::shared::Shared;
use crate::stack::{Refuser, Stack};
use crate::witness::{Kind, Trace};
use crate::{dhcp, provider, replies};

use allowed::{Allowed, allowed};
use resolve::resolve;

/// The first number of a flow at the poller.
pub(crate) const FIRST_FLOW: u64 = 1 << 32;
/// The first source port of connections to the guest (RFC 6335, 6: dynamic ports).
const FIRST_PORT: u16 = 49152;

pub(crate) struct Switch {
    shared: Arc<Shared>,
    policy: Arc<Policy>,
    dialer: Dialer,
    pub(crate) out: Outgoing,
    flows: Flows,
    pool: Pool,
    refuser: Refuser,
    outbound: Outbound,
    /// Flows to serve once all received data was taken.
    dirty: Vec<u64>,
    starved: Vec<u64>,
    next_port: u16,
    seed: u64,
    /// The record cannot be written: nothing passes in either direction.
    is_halted: bool,
}

impl Switch {
    pub(crate) fn new(shared: Arc<Shared>, outbound: Outbound, seed: u64, now: Instant) -> Self {
        let dialer = Dialer::new(shared.wake.clone(), outbound.clone());
        let policy = shared.policy();
        Self {
            shared,
            policy,
            dialer,
            out: Outgoing::default(),
            flows: Flows::default(),
            pool: Pool::new(std::time::Instant::now()),
            refuser: Refuser::new(now),
            outbound,
            dirty: Vec::new(),
            starved: Vec::new(),
            next_port: FIRST_PORT,
            seed,
            is_halted: false,
        }
    }

    /// Takes a frame of the guest.
    pub(crate) fn frame(&mut self, frame: &[u8], now: Instant) {
        match incoming::parse(frame) {
            Incoming::Tcp(segment) => self.segment(segment, now),
            _ if self.out.is_full() => {}
            Incoming::Arp { target } => replies::arp(&mut self.out, target),
            Incoming::Echo { to, id, number, data } => replies::echo(&mut self.out, to, id, number, data),
            Incoming::Dhcp(message) => {
                if let Some(answer) = dhcp::answer(message) {
                    replies::dhcp(&mut self.out, &answer);
                }
            }
            Incoming::Dns { port, message } => {
                if let Some(answer) =
                    resolve(message, &self.policy, &mut self.pool, &self.shared, self.is_halted)
                {
                    replies::dns(&mut self.out, port, &answer);
                }
            }
            Incoming::Unreachable { header, payload, what } => {
                if let Unreachable::Udp(port) = what {
                    self.deny_datagram(header.dst_addr, port);
                }
                replies::unreachable(&mut self.out, header, payload);
            }
            Incoming::Unreachable6 { header, payload } => {
                replies::unreachable6(&mut self.out, header, payload);
            }
            Incoming::Nothing => {}
        }
    }

    fn deny_datagram(&mut self, to: Ipv4Addr, port: u16) {
        let name = self.pool.name(to, std::time::Instant::now());
        let to = name.map_or_else(|| to.to_string(), |name| name.to_string());
        self.shared.journal().deny(Kind::Udp, &format!("{to}:{port}"), "no UDP leaves a sandbox", None);
    }

    fn segment(&mut self, segment: Segment<'_>, now: Instant) {
        let key: Key = (segment.to, segment.port, segment.from_port);
        if let Some(id) = self.flows.find(key) {
            if let Some(Entry { state: State::Live(flow), .. }) = self.flows.get(id) {
                flow.take(segment.packet, &mut self.out, now);
                self.touch(id);
            }
            // If the host is still connecting, it is a retransmission of the first segment.
        } else if segment.is_first {
            self.begin(segment, key, now);
        } else {
            self.refuser.refuse(segment.packet, &mut self.out, now);
        }
    }

    /// Opens a connection to the model, which the supervisor serves itself.
    fn begin_model(&mut self, segment: Segment<'_>, key: Key, now: Instant) {
        let refusal = match (&self.shared.model, self.policy.model()) {
            (None, _) => Refusal { rule: "the user's configuration has no model".into(), allow: None },
            (Some(_), Err(refusal)) => refusal,
            (Some(access), Ok(())) if !self.flows.is_full(true) => {
                let end = provider::start(&self.shared, access, &self.outbound).ok().flatten();
                let stack = Stack::listening(key.0, key.1, self.flows.buffer(), self.seed(), now);
                if let (Some(end), Some(stack)) = (end, stack) {
                    let trace = self.trace(true, "the model".into(), "model".into());
                    let mut flow = Flow::new(stack, end, Gate::Open, trace, now);
                    flow.take(segment.packet, &mut self.out, now);
                    let to = Destination::Address(key.0.into());
                    let id = self.flows.add(key, State::Live(Box::new(flow)), Some(to));
                    self.touch(id);
                    return;
                }
                Refusal { rule: "too many connections at once".into(), allow: None }
            }
            (Some(_), Ok(())) => Refusal { rule: "too many connections at once".into(), allow: None },
        };
        self.shared.journal().deny(Kind::Connection, "the model", &refusal.rule, refusal.allow.as_ref());
        self.refuser.refuse(segment.packet, &mut self.out, now);
    }

    /// Opens a connection of the guest.
    fn begin(&mut self, segment: Segment<'_>, key: Key, now: Instant) {
        if (key.0, key.1) == MODEL && !self.is_halted {
            return self.begin_model(segment, key, now);
        }
        // Without reading the host's addresses: a guest may try as often as it likes.
        if self.flows.is_full(true) {
            let to = format!("{}:{}", segment.to, segment.port);
            self.shared.journal().deny(Kind::Connection, &to, "too many connections at once", None);
            self.refuser.refuse(segment.packet, &mut self.out, now);
            return;
        }
        let allowed = if self.is_halted {
            None
        } else {
            allowed(segment.to, segment.port, &self.policy, &mut self.pool, &self.shared)
        };
        let Some(Allowed { to, grant, gate, inspected }) = allowed else {
            self.refuser.refuse(segment.packet, &mut self.out, now);
            return;
        };
        let state = State::Dialing { first: segment.packet.to_vec(), gate, rule: grant.rule, inspected };
        let id = self.flows.add(key, state, Some(to.clone()));
        let (private, is_named) = (grant.private, grant.is_named);
        let (port, denied) = (segment.port, self.policy.denied_addresses(segment.port));
        if !self.dialer.dial(DialRequest { id, to, port, private, is_named, denied }) {
            // The guest's retransmission tries again.
            self.flows.remove(id);
        }
    }

    /// Takes the results of connecting.
    pub(crate) fn take_dialed(&mut self, now: Instant) {
        for Dialed { id, result } in self.dialer.done() {
            // If the guest or a changed rule has ended it meanwhile, drop the socket.
            let Some(Entry {
                key, state: State::Dialing { first, gate, rule, inspected }, to: Some(to), ..
            }) = self.flows.remove(id)
            else {
                continue;
            };
            match result {
                Ok(host) => {
                    let Some(host) = self.end(host, inspected, &to) else {
                        self.refuser.refuse(&first, &mut self.out, now);
                        continue;
                    };
                    let buffer = self.flows.buffer();
                    let Some(stack) = Stack::listening(key.0, key.1, buffer, self.seed(), now) else {
                        continue;
                    };
                    let trace = self.trace(true, format!("{to}:{}", key.1), rule);
                    let mut flow = Flow::new(stack, host, gate, trace, now);
                    flow.take(&first, &mut self.out, now);
                    let id = self.flows.add(key, State::Live(Box::new(flow)), Some(to));
                    self.touch(id);
                }
                Err(error) => {
                    denials::failed(&self.shared, &to, key.1, error);
                    self.refuser.refuse(&first, &mut self.out, now);
                }
            }
        }
    }

    /// The host's end of a connection; nothing if its TLS cannot be inspected, which is recorded.
    fn end(&self, host: TcpStream, inspected: Option<Target>, to: &Destination) -> Option<End> {
        let Some(target) = inspected else { return Some(End::World(host)) };
        let port = target.port;
        let end = inspected::start(&self.shared, host, target).ok().flatten();
        if end.is_none() {
            let why = "too many connections with TLS that is inspected";
            self.shared.journal().deny(Kind::Connection, &format!("{to}:{port}"), why, None);
        }
        end
    }

    /// Takes a connection to a port of the guest.
    pub(crate) fn accept(&mut self, host: TcpStream, guest_port: u16, site: Option<Site>, now: Instant) {
        let ready = host.set_nonblocking(true).and_then(|()| host.set_nodelay(true));
        if ready.is_err() || self.is_halted || self.flows.is_full(false) {
            return;
        }
        let free = (FIRST_PORT..=u16::MAX).find_map(|_| {
            let key = (GATEWAY, self.next_port, guest_port);
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
            self.flows.find(key).is_none().then_some(key)
        });
        let Some(key) = free else { return };
        let buffer = self.flows.buffer();
        let stack = Stack::connecting((key.0, key.1), guest_port, buffer, self.seed(), now);
        let Some(stack) = stack else { return };
        let trace = self.trace(false, format!("port {guest_port}"), "a forwarded port".into());
        let pages = site.map(|site| Pages::new(site, guest_port, Arc::clone(&self.shared)));
        let flow = Flow::new(stack, End::World(host), Gate::Open, trace, now).with(pages);
        let id = self.flows.add(key, State::Live(Box::new(flow)), None);
        self.touch(id);
    }

    fn trace(&self, from_guest: bool, to: String, rule: String) -> Trace {
        Trace::open(self.shared.witness.clone(), from_guest, to, rule)
    }

    /// Halts while the record cannot be written, and continues once it can.
    pub(crate) fn follow_record(&mut self, now: Instant) {
        let is_halted = !self.shared.witness.0.can_record();
        if is_halted && !self.is_halted {
            for id in self.flows.ids() {
                self.close(id, now);
            }
        }
        self.is_halted = is_halted;
    }

    fn seed(&mut self) -> u64 {
        // An odd step visits every number (Knuth's golden ratio).
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.seed
    }

    pub(crate) fn touch(&mut self, id: u64) {
        if self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
    }

    /// Serves every flow that has received data or is due.
    pub(crate) fn serve(&mut self, poller: &Poller, now: Instant) {
        if self.out.is_low() {
            self.dirty.append(&mut self.starved);
        }
        while let Some(id) = self.flows.take_due(now) {
            self.dirty.push(id);
        }
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for id in std::mem::take(&mut self.dirty) {
            self.serve_one(id, poller, now);
        }
    }

    fn serve_one(&mut self, id: u64, poller: &Poller, now: Instant) {
        let Some(Entry { key, state: State::Live(flow), to, asked, .. }) = self.flows.get(id) else { return };
        let mut needs = flow.serve(&mut self.out, now);
        if let (Some((kind, why)), Some(to)) = (&needs.refused, to) {
            self.shared.journal().deny(*kind, &format!("{to}:{}", key.1), why, None);
        }
        let wanted = (needs.host_reads, needs.host_writes);
        if let Some(host) = flow.host()
            && poller.change(host, FIRST_FLOW + id, *asked, wanted).is_err()
        {
            flow.reset(&mut self.out, now);
            needs.is_done = true;
        }
        *asked = wanted;
        if needs.is_done {
            self.flows.remove(id);
            return;
        }
        self.flows.set_due(id, needs.due);
        if needs.is_starved {
            self.starved.push(id);
        }
    }

    /// When the next flow is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.flows.next_due()
    }

    /// Applies a changed policy, and closes what it no longer allows.
    pub(crate) fn take_policy(&mut self, now: Instant) {
        let policy = self.shared.policy();
        if Arc::ptr_eq(&policy, &self.policy) {
            return;
        }
        let before = std::mem::replace(&mut self.policy, policy);
        for id in self.flows.ids() {
            let Some(Entry { key, to: Some(to), .. }) = self.flows.get(id) else { continue };
            let (to, port) = (to.clone(), key.1);
            if (key.0, key.1) == MODEL {
                if self.policy.model().is_err() {
                    self.close(id, now);
                }
                continue;
            }
            let (rule, allow) = match self.policy.connect(&to, port) {
                Err(Refusal { rule, allow }) => (rule, allow),
                Ok(grant) => {
                    // If the checks or the allowed addresses have changed, the client must connect again.
                    let about = |policy: &Policy, grant: &Grant| {
                        (grant.check, grant.access, grant.private, policy.denied_addresses(port))
                    };
                    let is_same = |was: Grant| about(&before, &was) == about(&self.policy, &grant);
                    if before.connect(&to, port).is_ok_and(is_same) {
                        continue;
                    }
                    self.close(id, now);
                    continue;
                }
            };
            self.shared.journal().deny(Kind::Connection, &format!("{to}:{port}"), &rule, allow.as_ref());
            self.close(id, now);
        }
    }

    fn close(&mut self, id: u64, now: Instant) {
        match self.flows.remove(id).map(|entry| entry.state) {
            Some(State::Live(mut flow)) => flow.reset(&mut self.out, now),
            Some(State::Dialing { first, .. }) => self.refuser.refuse(&first, &mut self.out, now),
            None => {}
        }
    }

    /// Closes everything: the guest or its machine was replaced.
    pub(crate) fn clear(&mut self, now: Instant) {
        for id in self.flows.ids() {
            self.close(id, now);
        }
        self.dirty.clear();
        self.starved.clear();
        self.out.clear();
    }
}

/// Whether accepting may continue after this error of accept(2).
pub(crate) fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted)
}
