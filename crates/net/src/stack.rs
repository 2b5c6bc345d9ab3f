//! One TCP connection of the guest, ended here. Each has a stack of its own, so that a packet costs the same however many there
//! are, and any destination is accepted.

use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetProtocol, HardwareAddress, IpAddress, IpCidr};

use crate::lan::{GUEST, MTU};
use crate::outgoing::Outgoing;

/// How often a silent guest is asked whether it is still there, and how long it may stay silent: a guest that was rebooted
/// does not know its connections.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const SILENT: Duration = Duration::from_secs(300);

/// The connection.
pub(crate) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Stack {
    /// One that waits for the guest's first segment to this address and port. Nothing for an address that is none.
    pub(crate) fn listening(to: Ipv4Addr, port: u16, buffer: usize, seed: u64, now: Instant) -> Option<Self> {
        let mut stack = Self::new(to, buffer, seed, now);
        stack.socket().listen((IpAddress::Ipv4(to), port)).ok()?;
        Some(stack)
    }

    /// One that connects to a port of the guest.
    pub(crate) fn connecting(
        from: (Ipv4Addr, u16),
        port: u16,
        buffer: usize,
        seed: u64,
        now: Instant,
    ) -> Option<Self> {
        let mut stack = Self::new(from.0, buffer, seed, now);
        let (socket, context) =
            (stack.sockets.get_mut::<Socket<'_>>(stack.handle), stack.interface.context());
        socket.connect(context, (IpAddress::Ipv4(GUEST), port), (IpAddress::Ipv4(from.0), from.1)).ok()?;
        Some(stack)
    }

    fn new(own: Ipv4Addr, buffer: usize, seed: u64, now: Instant) -> Self {
        let mut interface = interface(seed, now);
        // Prefix 0: the guest is on the same network, so no route is looked for.
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(own.into(), 0));
        });
        let mut socket = Socket::new(SocketBuffer::new(vec![0; buffer]), SocketBuffer::new(vec![0; buffer]));
        socket.set_nagle_enabled(false);
        socket.set_keep_alive(Some(KEEP_ALIVE));
        socket.set_timeout(Some(SILENT));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self { interface, sockets, handle }
    }

    /// The guest's end as a socket.
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Takes a packet of the guest.
    pub(crate) fn take(&mut self, packet: &[u8], out: &mut Outgoing, now: Instant) {
        self.interface.poll_ingress_single(now, &mut Port::with(packet, out), &mut self.sockets);
    }

    /// Sends what is to be sent. Whether there is more than the way to the guest takes now.
    pub(crate) fn send(&mut self, out: &mut Outgoing, now: Instant) -> bool {
        let mut port = Port { packet: None, out, is_starved: false };
        while self.interface.poll_egress(now, &mut port, &mut self.sockets) == PollResult::SocketStateChanged
        {
        }
        port.is_starved
    }

    /// When it wants to send something by itself.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

/// Answers segments that belong to no connection: with RST (RFC 9293, 3.5.2).
pub(crate) struct Refuser {
    interface: Interface,
    nothing: SocketSet<'static>,
}

impl Refuser {
    pub(crate) fn new(now: Instant) -> Self {
        let mut interface = interface(0, now);
        interface.set_any_ip(true);
        Self { interface, nothing: SocketSet::new(Vec::new()) }
    }

    pub(crate) fn refuse(&mut self, packet: &[u8], out: &mut Outgoing, now: Instant) {
        self.interface.poll_ingress_single(now, &mut Port::with(packet, out), &mut self.nothing);
    }
}

fn interface(seed: u64, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    Interface::new(config, &mut Port { packet: None, out: &mut Outgoing::default(), is_starved: false }, now)
}

/// The way between a stack and the guest, for one call.
struct Port<'a> {
    packet: Option<&'a [u8]>,
    out: &'a mut Outgoing,
    is_starved: bool,
}

impl<'a> Port<'a> {
    fn with(packet: &'a [u8], out: &'a mut Outgoing) -> Self {
        Self { packet: Some(packet), out, is_starved: false }
    }
}

struct Receive<'a>(&'a [u8]);

impl RxToken for Receive<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

struct Transmit<'a>(&'a mut Outgoing);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.add(EthernetProtocol::Ipv4, length, fill)
    }
}

impl Device for Port<'_> {
    type RxToken<'b>
        = Receive<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Transmit<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Instant) -> Option<(Receive<'_>, Transmit<'_>)> {
        // A packet whose answer has no place is lost, as on any wire; the guest sends it again.
        if self.out.is_full() {
            return None;
        }
        Some((Receive(self.packet.take()?), Transmit(self.out)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        self.is_starved |= self.out.is_full();
        (!self.is_starved).then_some(Transmit(self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}
