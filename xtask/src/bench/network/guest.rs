//! A guest without QEMU: frames on a stream, and a TCP/IP stack that sends and receives them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant as Clock};

use anyhow::{Context as _, bail};
use rave_net::lan::{GATEWAY, GUEST, GUEST_MAC};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::IpCidr;

/// How long to wait for any data.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest wait before the stack's timers are checked.
const STEP: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
/// Bytes read at once.
const READ: usize = 256 * 1024;
/// Bytes of frames that are buffered before they are written to the stream.
const WRITE: usize = 64 * 1024;

/// The card: frames, each after its length (QEMU's `-netdev stream`).
struct Card {
    stream: UnixStream,
    incoming: Vec<u8>,
    at: usize,
    outgoing: Vec<u8>,
}

pub(super) struct Guest {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    began: Clock,
    next_port: u16,
}

impl Guest {
    /// Waits for the network to connect.
    pub(super) fn accept(listener: &UnixListener) -> anyhow::Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let mut card = Card { stream, incoming: Vec::new(), at: 0, outgoing: Vec::new() };
        let mut interface = Interface::new(Config::new(GUEST_MAC.into()), &mut card, Instant::ZERO);
        // There is space for one address and one route.
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(GUEST.into(), 24));
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY).ok().context("no room for a route")?;
        let sockets = SocketSet::new(Vec::new());
        Ok(Self { card, interface, sockets, began: Clock::now(), next_port: 20_000 })
    }

    fn poll(&mut self) -> anyhow::Result<()> {
        let now = Instant::from_micros(i64::try_from(self.began.elapsed().as_micros())?);
        self.interface.poll(now, &mut self.card, &mut self.sockets);
        self.card.flush()
    }

    /// Polls until `found` finds something.
    fn until<T>(&mut self, mut found: impl FnMut(&mut Self) -> Option<T>) -> anyhow::Result<T> {
        let deadline = Clock::now() + PATIENCE;
        loop {
            self.poll()?;
            if let Some(found) = found(self) {
                return Ok(found);
            }
            if Clock::now() >= deadline {
                bail!("the network did not answer within {} s", PATIENCE.as_secs());
            }
            poll(&mut [PollFd::new(&self.card.stream, PollFlags::IN)], Some(&STEP))?;
        }
    }

    /// Starts a connection to a port of the host's loopback.
    pub(super) fn begin(&mut self, port: u16, buffer: usize) -> anyhow::Result<SocketHandle> {
        let bytes = || SocketBuffer::new(vec![0; buffer]);
        let mut socket = Socket::new(bytes(), bytes());
        socket.set_nagle_enabled(false);
        let handle = self.sockets.add(socket);
        self.next_port = self.next_port.checked_add(1).unwrap_or(20_000);
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        let begun = socket.connect(self.interface.context(), (GATEWAY, port), self.next_port);
        begun.ok().context("the guest could not begin a connection")?;
        Ok(handle)
    }

    /// Opens a connection and waits until it is established.
    pub(super) fn open(&mut self, port: u16, buffer: usize) -> anyhow::Result<SocketHandle> {
        let handle = self.begin(port, buffer)?;
        let is_open = self.until(|guest| match guest.socket(handle).state() {
            State::Established | State::CloseWait => Some(true),
            State::Closed => Some(false),
            _ => None,
        })?;
        if is_open { Ok(handle) } else { bail!("the connection to port {port} was refused") }
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Reads a number of bytes, or until `end` if that comes first; returns how many arrived.
    pub(super) fn read(
        &mut self,
        handle: SocketHandle,
        count: usize,
        end: Option<Clock>,
    ) -> anyhow::Result<usize> {
        let mut came = 0;
        self.until(|guest| {
            let socket = guest.socket(handle);
            while socket.can_recv() {
                came += socket.recv(|bytes| (bytes.len(), bytes.len())).unwrap_or(0);
            }
            (came >= count || end.is_some_and(|end| Clock::now() >= end) || !socket.may_recv()).then_some(())
        })?;
        Ok(came)
    }

    /// Sends a byte and waits for one.
    pub(super) fn round_trip(&mut self, handle: SocketHandle) -> anyhow::Result<Duration> {
        let began = Clock::now();
        self.socket(handle).send_slice(b"x").ok().context("the connection takes nothing")?;
        self.read(handle, 1, None)?;
        Ok(began.elapsed())
    }

    /// Makes `count` connections, `at_once` in parallel, and reads each to its end.
    pub(super) fn connect_all(&mut self, port: u16, count: usize, at_once: usize) -> anyhow::Result<()> {
        let (mut begun, mut open) = (0, Vec::new());
        while begun < count || !open.is_empty() {
            while begun < count && open.len() < at_once {
                open.push(self.begin(port, 4096)?);
                begun += 1;
            }
            let ended = self.until(|guest| {
                open.iter().position(|handle| {
                    let socket = guest.socket(*handle);
                    while socket.can_recv() {
                        // An error counts as the end.
                        let _ = socket.recv(|bytes| (bytes.len(), ()));
                    }
                    matches!(socket.state(), State::CloseWait | State::Closed)
                })
            })?;
            let handle = open.swap_remove(ended);
            self.socket(handle).abort();
            self.poll()?;
            self.sockets.remove(handle);
        }
        Ok(())
    }

    /// Aborts a connection.
    pub(super) fn drop_connection(&mut self, handle: SocketHandle) -> anyhow::Result<()> {
        self.socket(handle).abort();
        self.poll()?;
        self.sockets.remove(handle);
        Ok(())
    }
}

impl Card {
    fn flush(&mut self) -> anyhow::Result<()> {
        let mut rest = &self.outgoing[..];
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.stream, PollFlags::OUT)], Some(&STEP))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing.clear();
        Ok(())
    }

    /// The range of the next frame, once it is complete.
    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            let head = self.incoming[self.at..].first_chunk::<4>();
            if let Some(length) = head.map(|head| u32::from_be_bytes(*head) as usize)
                && self.incoming.len() >= self.at + 4 + length
            {
                let start = self.at + 4;
                self.at = start + length;
                return Some((start, length));
            }
            self.incoming.drain(..self.at);
            self.at = 0;
            let end = self.incoming.len();
            self.incoming.resize(end + READ, 0);
            let came = self.stream.read(&mut self.incoming[end..]).unwrap_or(0);
            self.incoming.truncate(end + came);
            if came == 0 {
                return None;
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
        let out = &mut self.0.outgoing;
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        let start = out.len();
        out.resize(start + length, 0);
        let result = fill(&mut out[start..]);
        if out.len() > WRITE {
            // The next poll sees the error.
            let _ = self.0.flush();
        }
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        let (start, length) = self.next()?;
        let frame = self.incoming[start..start + length].to_vec();
        Some((Rx(frame), Tx(self)))
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
