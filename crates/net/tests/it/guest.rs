//! A guest: QEMU's end of the socket, with a TCP/IP stack.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant as Clock};

use rave_net::lan::{GATEWAY, GUEST, GUEST_MAC, RESOLVER};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpCidr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket,
    UdpRepr,
};

/// The longest wait for anything that is not refused.
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const GATEWAY_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// The network card: frames on a stream.
struct Card {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// Frames that the stack does not take.
    seen: VecDeque<Vec<u8>>,
}

pub(crate) struct Guest {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    began: Clock,
    next_port: u16,
}

/// The result of connecting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open(SocketHandle),
    Refused,
    Silent,
}

impl Guest {
    /// Waits for the network to connect.
    pub(crate) fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut card = Card { stream, bytes: Vec::new(), seen: VecDeque::new() };
        let mut interface = Interface::new(Config::new(GUEST_MAC.into()), &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(GUEST.into(), 24)).unwrap());
        interface.routes_mut().add_default_ipv4_route(GATEWAY).unwrap();
        let began = Clock::now();
        Self { card, interface, sockets: SocketSet::new(Vec::new()), began, next_port: 40_000 }
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.card.send(frame);
    }

    /// The stream itself.
    pub(crate) fn raw(&mut self) -> &mut UnixStream {
        &mut self.card.stream
    }

    pub(crate) fn poll(&mut self) {
        let now = Instant::from_micros(i64::try_from(self.began.elapsed().as_micros()).unwrap());
        self.interface.poll(now, &mut self.card, &mut self.sockets);
    }

    /// Polls until `found` returns something.
    pub(crate) fn until<T>(
        &mut self,
        limit: Duration,
        mut found: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let deadline = Clock::now() + limit;
        loop {
            self.poll();
            if let Some(found) = found(self) {
                return Some(found);
            }
            if Clock::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// The next frame outside of TCP connections that `wanted` accepts.
    pub(crate) fn frame<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&[u8]) -> Option<T>,
    ) -> Option<T> {
        self.until(limit, |guest| guest.card.seen.pop_front().and_then(|frame| wanted(&frame)))
    }

    pub(crate) fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn add_socket(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; 64 * 1024]);
        self.sockets.add(Socket::new(buffer(), buffer()))
    }

    pub(crate) fn listen(&mut self, port: u16) -> SocketHandle {
        let handle = self.add_socket();
        self.socket(handle).listen(port).unwrap();
        handle
    }

    /// Starts to connect.
    pub(crate) fn begin(&mut self, to: Ipv4Addr, port: u16) -> SocketHandle {
        let handle = self.add_socket();
        self.next_port += 1;
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        socket.connect(self.interface.context(), (to, port), self.next_port).unwrap();
        handle
    }

    /// Connects, and waits for the result.
    pub(crate) fn connect(&mut self, to: Ipv4Addr, port: u16) -> Outcome {
        let handle = self.begin(to, port);
        let found = self.until(PATIENCE, |guest| match guest.socket(handle).state() {
            State::Established | State::CloseWait => Some(Outcome::Open(handle)),
            State::Closed => Some(Outcome::Refused),
            _ => None,
        });
        found.unwrap_or(Outcome::Silent)
    }

    pub(crate) fn open(&mut self, to: Ipv4Addr, port: u16) -> SocketHandle {
        match self.connect(to, port) {
            Outcome::Open(handle) => handle,
            other => panic!("{to}:{port}: {other:?}"),
        }
    }

    pub(crate) fn write(&mut self, handle: SocketHandle, bytes: &[u8]) {
        let mut rest = bytes;
        self.until(PATIENCE, |guest| {
            let socket = guest.socket(handle);
            let count = if socket.can_send() { socket.send_slice(rest).unwrap() } else { 0 };
            rest = &rest[count..];
            (rest.is_empty() || !socket.may_send()).then_some(())
        })
        .expect("the connection accepts bytes");
        self.poll();
    }

    /// Reads until the other end closes.
    pub(crate) fn read_all(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut all = Vec::new();
        self.until(PATIENCE, |guest| {
            let socket = guest.socket(handle);
            while socket.can_recv() {
                socket
                    .recv(|bytes| {
                        all.extend_from_slice(bytes);
                        (bytes.len(), ())
                    })
                    .unwrap();
            }
            (!socket.may_recv()).then_some(())
        })
        .expect("the connection ends");
        all
    }

    pub(crate) fn close(&mut self, handle: SocketHandle) {
        self.socket(handle).close();
        self.poll();
    }

    /// Resolves a name: the code of the answer, and the address.
    pub(crate) fn lookup(&mut self, name: &str) -> (u8, Option<Ipv4Addr>) {
        self.ask(name, 1)
    }

    /// Asks for a record of this type (RFC 1035, 3.2.2).
    pub(crate) fn ask(&mut self, name: &str, kind: u8) -> (u8, Option<Ipv4Addr>) {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, kind, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        self.send(&udp(GUEST, RESOLVER, (5353, 53), &message));
        let answer = self.frame(PATIENCE, |frame| {
            let (from, port, payload) = read_udp(frame)?;
            (from == RESOLVER && port == 53).then(|| payload.to_vec())
        });
        let answer = answer.expect("an answer");
        let address = (answer[7] == 1).then(|| {
            let start = answer.windows(6).position(|bytes| bytes == [0, 0, 0, 1, 0, 4]).unwrap() + 6;
            Ipv4Addr::from(*answer[start..].first_chunk::<4>().unwrap())
        });
        (answer[3] & 0xf, address)
    }

    pub(crate) fn address(&mut self, name: &str) -> Ipv4Addr {
        self.lookup(name).1.unwrap_or_else(|| panic!("{name} has no address"))
    }
}

/// An Ethernet frame of the guest.
pub(crate) fn ethernet(from: EthernetAddress, protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(from);
    frame.set_dst_addr(GATEWAY_MAC);
    frame.set_ethertype(protocol);
    frame.payload_mut().copy_from_slice(payload);
    bytes
}

/// An IPv4 packet.
pub(crate) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    bytes.extend(payload);
    bytes
}

/// A frame with a UDP datagram.
pub(crate) fn udp(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
    let mut datagram = vec![0; header.header_len() + payload.len()];
    header.emit(
        &mut UdpPacket::new_unchecked(&mut datagram),
        &from.into(),
        &to.into(),
        payload.len(),
        |bytes| bytes.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    ethernet(GUEST_MAC, EthernetProtocol::Ipv4, &ipv4(from, to, IpProtocol::Udp, &datagram))
}

/// The IPv4 packet in a frame: source, protocol, payload.
pub(crate) fn read_ipv4(frame: &[u8]) -> Option<(Ipv4Addr, IpProtocol, &[u8])> {
    let packet = Ipv4Packet::new_checked(&frame[14..]).ok()?;
    let length = usize::from(packet.total_len());
    Some((
        packet.src_addr(),
        packet.next_header(),
        &frame[14 + usize::from(packet.header_len())..14 + length],
    ))
}

fn read_udp(frame: &[u8]) -> Option<(Ipv4Addr, u16, &[u8])> {
    let (from, protocol, payload) = read_ipv4(frame)?;
    (protocol == IpProtocol::Udp).then(|| (from, u16::from_be_bytes([payload[0], payload[1]]), &payload[8..]))
}

impl Card {
    fn send(&mut self, frame: &[u8]) {
        let mut bytes = u32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(frame);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.fill(),
                // The other end has closed, which the tests check elsewhere.
                Err(_) => return,
            }
        }
    }

    fn fill(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            self.bytes.extend(&buffer[..count]);
        }
    }

    /// The next frame for the stack; others are kept in `seen`.
    fn next(&mut self) -> Option<Vec<u8>> {
        self.fill();
        loop {
            let length = u32::from_be_bytes(*self.bytes.first_chunk::<4>()?) as usize;
            if self.bytes.len() < 4 + length {
                return None;
            }
            let frame = self.bytes[4..4 + length].to_vec();
            self.bytes.drain(..4 + length);
            let is_tcp = read_ipv4(&frame).is_some_and(|(_, protocol, _)| protocol == IpProtocol::Tcp);
            let is_arp = frame[12..14] == [8, 6];
            if is_tcp {
                return Some(frame);
            }
            self.seen.push_back(frame.clone());
            if is_arp {
                return Some(frame);
            }
        }
    }
}

struct Rx(Vec<u8>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Tx<'a>(&'a mut Card);

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.send(&frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.next()?), Tx(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}
