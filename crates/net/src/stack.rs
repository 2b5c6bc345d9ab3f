//! One TCP connection of the guest, which ends here. Each has its own stack, so that the cost of a packet does not grow
//! with their number, and every destination is accepted.

use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetProtocol, HardwareAddress, IpAddress, IpCidr};

use crate::lan::{GUEST, MTU};
use crate::outgoing::Outgoing;

/// The interval of keep-alive packets, and how long the guest may leave them unanswered: a rebooted guest does not know
/// its old connections.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const SILENT: Duration = Duration::from_secs(300);

/// The guest's end of a connection.
pub(crate) struct Stack {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Stack {
    /// Waits for the guest's first segment to this address and port. Returns nothing if the address is invalid.
    pub(crate) fn listening(to: Ipv4Addr, port: u16, buffer: usize, seed: u64, now: Instant) -> Option<Self> {
        let mut stack = Self::new(to, buffer, seed, now);
        stack.socket().listen((IpAddress::Ipv4(to), port)).ok()?;
        Some(stack)
    }

    /// Connects to a port of the guest.
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
        // Prefix 0: the guest is on the same network, so no route is needed.
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

    /// The socket of the guest's end.
    pub(crate) fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Takes a packet of the guest.
    pub(crate) fn take(&mut self, packet: &[u8], out: &mut Outgoing, now: Instant) {
        self.interface.poll_ingress_single(now, &mut Port::with(packet, out), &mut self.sockets);
    }

    /// Sends what is due. Returns whether the queue to the guest has no room for the rest.
    pub(crate) fn send(&mut self, out: &mut Outgoing, now: Instant) -> bool {
        let mut port = Port { packet: None, out, is_starved: false };
        while self.interface.poll_egress(now, &mut port, &mut self.sockets) == PollResult::SocketStateChanged
        {
        }
        port.is_starved
    }

    /// When it needs to send something by itself.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

/// Answers segments that belong to no connection with RST (RFC 9293, 3.5.2).
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

/// Connects a stack with the guest during one call.
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
        // Without room for its answer the packet is lost, as on any link; the guest sends it again.
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
