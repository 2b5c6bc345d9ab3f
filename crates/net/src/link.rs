//! The thread of a sandbox's network: connects to QEMU, and moves data until it is stopped.

use std::io::{self, ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use smoltcp::time::Instant;

use crate::dial::Outbound;
use crate::forward::{self, Forward};
use crate::framing::Decoder;
use crate::poller::Poller;
use crate::shared::Shared;
use crate::switch::{FIRST_FLOW, Switch, is_passing};

/// The interval between attempts to connect to QEMU's socket.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest wait for events.
const LONGEST: Duration = Duration::from_secs(60);
/// Bytes per read, and reads before flows are served.
const READ: usize = 64 * 1024;
const READS: usize = 4;
/// The most connections accepted at once from one port.
const ACCEPTS: usize = 16;
/// How long a port of the host is not polled when no connection can be accepted, because file descriptors are used up.
const REST: Duration = Duration::from_millis(200);

/// Numbers at the poller: QEMU, the wake, the forwards, flows.
const QEMU: u64 = 0;
const WAKE: u64 = 1;
const FORWARDS: u64 = 2;

pub(crate) struct Link {
    shared: Arc<Shared>,
    socket: Utf8PathBuf,
    forwards: Vec<Forward>,
    poller: Poller,
    switch: Switch,
    began: std::time::Instant,
    buffer: Vec<u8>,
    rests_until: Option<Instant>,
}

/// The connection to QEMU.
struct Wire {
    stream: UnixStream,
    decoder: Decoder,
    waits_to_write: bool,
}

impl Link {
    pub(crate) fn new(
        shared: Arc<Shared>,
        socket: Utf8PathBuf,
        forwards: Vec<Forward>,
        outbound: Outbound,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.change(&shared.wake, WAKE, (false, false), (true, false))?;
        for forward in &forwards {
            forward.listener.set_nonblocking(true)?;
        }
        let began = std::time::Instant::now();
        let seed = seed()?;
        let switch = Switch::new(Arc::clone(&shared), outbound, seed, Instant::ZERO);
        let buffer = vec![0; READ];
        Ok(Self { shared, socket, forwards, poller, switch, began, buffer, rests_until: None })
    }

    /// Runs until the owner stops it.
    pub(crate) fn run(mut self) {
        while !self.shared.is_over() {
            // Without a machine nothing accepts connections here: a connection to a forwarded port waits in the kernel.
            let Ok(stream) = UnixStream::connect(&self.socket) else {
                self.save_journal(false);
                std::thread::sleep(PAUSE);
                continue;
            };
            // Either QEMU closed it, or a system call failed: reconnect in both cases.
            let _ = self.attend(stream);
            self.shared.attached(false);
            self.switch.clear(self.now());
            self.listen(false);
            if !self.shared.is_over() {
                std::thread::sleep(PAUSE);
            }
        }
        self.save_journal(true);
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Serves one connection to QEMU until it ends.
    fn attend(&mut self, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.poller.change(&stream, QEMU, (false, false), (true, false))?;
        self.listen(true);
        let mut wire = Wire { stream, decoder: Decoder::default(), waits_to_write: false };
        self.shared.attached(true);
        let mut ready = Vec::new();
        loop {
            let limit = self.limit();
            self.poller.wait(limit, &mut ready)?;
            if self.shared.is_over() {
                return Ok(());
            }
            let now = self.now();
            self.switch.follow_record(now);
            for number in &ready {
                match *number {
                    QEMU => self.read(&mut wire, now)?,
                    WAKE => {
                        self.shared.wake.clear();
                        self.switch.take_policy(now);
                        self.switch.take_dialed(now);
                        self.listen(self.rests_until.is_none());
                    }
                    flow if flow >= FIRST_FLOW => self.switch.touch(flow - FIRST_FLOW),
                    forward => self.accept(usize::try_from(forward - FORWARDS).unwrap_or(usize::MAX), now),
                }
            }
            if self.rests_until.is_some_and(|until| now >= until) {
                self.rests_until = None;
                self.listen(true);
            }
            self.switch.serve(&self.poller, now);
            self.write(&mut wire)?;
        }
    }

    fn limit(&mut self) -> Duration {
        let now = self.now();
        let due = [self.switch.next_due(), self.rests_until].into_iter().flatten().min();
        let due = due.map_or(LONGEST, |due| if due > now { (due - now).into() } else { Duration::ZERO });
        let due = due.min(LONGEST);
        self.save_journal(false).map_or(due, |save| due.min(save))
    }

    fn save_journal(&self, at_once: bool) -> Option<Duration> {
        self.shared.journal().save(std::time::Instant::now(), at_once)
    }

    fn read(&mut self, wire: &mut Wire, now: Instant) -> io::Result<()> {
        for _ in 0..READS {
            match wire.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => wire.decoder.push(&self.buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            loop {
                match wire.decoder.next_frame() {
                    Ok(Some(frame)) => self.switch.frame(frame, now),
                    Ok(None) => break,
                    Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, wire: &mut Wire) -> io::Result<()> {
        self.switch.out.write(&mut wire.stream)?;
        let waits = !self.switch.out.is_empty();
        if waits != wire.waits_to_write {
            self.poller.change(&wire.stream, QEMU, (true, wire.waits_to_write), (true, waits))?;
            wire.waits_to_write = waits;
        }
        Ok(())
    }

    /// Starts or stops waiting for connections to the open forwarded ports.
    fn listen(&self, wanted: bool) {
        for (number, forward) in (FORWARDS..).zip(&self.forwards) {
            // A closed socket is always ready, so it is not polled. An error means that nothing had to be changed.
            let wanted = wanted && forward::is_open(&forward.listener);
            let _ = self.poller.change(&forward.listener, number, (!wanted, false), (wanted, false));
        }
    }

    fn accept(&mut self, index: usize, now: Instant) {
        let Some(forward) = self.forwards.get(index) else { return };
        if !forward::is_open(&forward.listener) {
            return self.listen(self.rests_until.is_none());
        }
        for _ in 0..ACCEPTS {
            match forward.listener.accept() {
                Ok((stream, _)) => self.switch.accept(stream, forward.guest, forward.site(), now),
                Err(error) if is_passing(error.kind()) => return,
                Err(_) => {
                    self.listen(false);
                    self.rests_until = Some(now + REST.into());
                    return;
                }
            }
        }
    }
}

/// A random number, so that links differ.
fn seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
