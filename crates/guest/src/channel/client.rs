//! The host's end: one connection to the channel, many streams.
//!
//! A thread reads frames and passes each to its stream. The guest is not trusted: if it sends more than its credit, it
//! loses the stream, and frames of other sessions are dropped.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{Decoder, Frame, Kind, MAX_PAYLOAD, preamble};
use super::limits::WINDOW;
use super::message::{Ended, HAS_IDENTITY, Hello, Request, VERSION, Welcome, parse, to_json};

/// The longest wait for room in the guest's queue, after which its end counts as dead.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// How often somebody who waits is asked whether to wait longer.
const CHECK: Duration = Duration::from_millis(100);

/// A session with the guest.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    nonce: u64,
    writer: Mutex<UnixStream>,
    streams: Mutex<BTreeMap<u32, Entry>>,
    next: AtomicU32,
    ended: AtomicBool,
}

/// The largest number of frames that wait for a stream's reader: each byte of both windows may come in a frame of its own.
/// The windows do not count empty output and credit.
const MOST_WAITING: u32 = 2 * WINDOW + 64;

#[derive(Debug)]
struct Entry {
    to: Sender<Frame>,
    /// The number of bytes of output that the guest may still send.
    credit: u32,
    /// The number of frames that the stream's reader has not taken.
    waiting: Arc<AtomicU32>,
}

/// A guest that is held.
#[derive(Debug)]
pub struct Held<'a> {
    _writer: MutexGuard<'a, UnixStream>,
}

/// Why a guest is not held.
#[derive(Debug)]
pub enum HoldError {
    /// Its version cannot hold a running machine.
    Unknown,
    /// It refused, or did not answer.
    Io(io::Error),
}

impl From<io::Error> for HoldError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One request and its frames. Dropping it abandons the request.
#[derive(Debug)]
pub struct Stream {
    sender: StreamSender,
    frames: Receiver<Frame>,
    /// As in [`Entry`].
    waiting: Arc<AtomicU32>,
    has_ended: bool,
}

/// Sends frames of one stream.
#[derive(Debug, Clone)]
pub struct StreamSender {
    shared: Arc<Shared>,
    stream: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// Starts a session with this nonce, which must be new, and waits up to `limit` for the guest's answer. A guest
    /// that is still booting reads the messages once it serves, so after a timeout another connection may be tried.
    pub fn begin(mut socket: UnixStream, nonce: u64, limit: Duration) -> io::Result<(Self, Welcome)> {
        let deadline = Instant::now() + limit;
        socket.set_write_timeout(Some(limit))?;
        let mut first = preamble();
        Frame::new(Kind::Hello, 0, nonce, to_json(&Hello { version: VERSION })).write_to(&mut first);
        socket.write_all(&first)?;
        let mut decoder = Decoder::default();
        let welcome = read_welcome(&mut socket, &mut decoder, nonce, deadline)?;
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(Some(WRITE_LIMIT))?;
        let reader = socket.try_clone()?;
        let shared = Arc::new(Shared {
            nonce,
            writer: Mutex::new(socket),
            streams: Mutex::new(BTreeMap::new()),
            next: AtomicU32::new(1),
            ended: AtomicBool::new(false),
        });
        let for_reader = Arc::clone(&shared);
        thread::Builder::new().name("channel".into()).spawn(move || read(&for_reader, reader, decoder))?;
        Ok((Self { shared }, welcome))
    }

    /// Opens a stream with a request, as the JSON of [`super::message::Request`].
    pub fn open(&self, request: &[u8]) -> io::Result<Stream> {
        let stream = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (to, frames) = channel();
        let mut streams = lock(&self.shared.streams);
        if self.has_ended() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let waiting = Arc::new(AtomicU32::new(0));
        streams.insert(stream, Entry { to, credit: WINDOW, waiting: Arc::clone(&waiting) });
        drop(streams);
        let sender = StreamSender { shared: Arc::clone(&self.shared), stream };
        let opened = Stream { sender, frames, waiting, has_ended: false };
        let mut pieces = request.chunks(MAX_PAYLOAD).peekable();
        while let Some(piece) = pieces.next() {
            let kind = if pieces.peek().is_some() { Kind::RequestPart } else { Kind::Request };
            opened.sender.send(kind, piece)?;
        }
        Ok(opened)
    }

    /// Sends a request that runs no program, and waits up to `limit` for its end. Returns the answer's JSON, if there
    /// is one. A refusal of the guest is an error of kind `Other` with its message.
    pub fn ask(&self, request: &Request, limit: Duration) -> io::Result<Option<Vec<u8>>> {
        self.ask_while(request, limit, &mut || true)
    }

    /// The same, only as long as `may_wait` returns true, which is called ten times per second.
    pub fn ask_while(
        &self,
        request: &Request,
        limit: Duration,
        may_wait: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + limit;
        let mut stream = self.open(&to_json(request))?;
        let mut answer = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !may_wait() {
                // A guest that never stops sending would otherwise be waited for.
                return Err(io::ErrorKind::TimedOut.into());
            }
            let frame = match stream.next_within(left.min(CHECK)) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                frame => frame?,
            };
            match frame.kind {
                Kind::Answer => answer = Some(frame.payload),
                Kind::Ended => {
                    let refused =
                        |ended: Ended| ended.error.map_or(Ok(answer), |why| Err(io::Error::other(why)));
                    return parse::<Ended>(&frame.payload)
                        .map_or(Err(io::ErrorKind::InvalidData.into()), refused);
                }
                _ => {}
            }
        }
    }

    /// Asks the guest to hold, and sends nothing else until the value is dropped. Everything that was sent before has
    /// been read, so nothing is in transit to the stopped machine. Waits only as long as `may_wait` returns true, which
    /// is called ten times per second.
    pub fn hold(&self, limit: Duration, may_wait: &mut dyn FnMut() -> bool) -> Result<Held<'_>, HoldError> {
        let deadline = Instant::now() + limit;
        let stream = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (to, frames) = channel();
        let mut streams = lock(&self.shared.streams);
        if self.has_ended() {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        streams.insert(stream, Entry { to, credit: 0, waiting: Arc::default() });
        drop(streams);
        let mut writer = lock(&self.shared.writer);
        let request = Frame::new(Kind::Request, stream, self.shared.nonce, to_json(&Request::Hold));
        writer.write_all(&request.to_bytes())?;
        let frame = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match frames.recv_timeout(left.min(CHECK)) {
                Ok(frame) => break Ok(frame),
                Err(RecvTimeoutError::Disconnected) => {
                    break Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() || !may_wait() => {
                    break Err(io::ErrorKind::TimedOut.into());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        lock(&self.shared.streams).remove(&stream);
        match parse::<Ended>(&frame?.payload) {
            Some(Ended { error: None, .. }) => Ok(Held { _writer: writer }),
            Some(Ended { error: Some(why), .. }) if why == HAS_IDENTITY => Err(HoldError::Unknown),
            Some(Ended { error: Some(why), .. }) => Err(io::Error::other(why).into()),
            None => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }

    /// Whether the connection has ended, and with it the session.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Ends the session; the guest kills what it started.
    pub fn close(&self) {
        // Set it before the thread notices, so that nobody opens a stream in between.
        self.shared.ended.store(true, Ordering::Release);
        let _ = lock(&self.shared.writer).shutdown(Shutdown::Both);
    }
}

fn read_welcome(
    socket: &mut UnixStream,
    decoder: &mut Decoder,
    nonce: u64,
    deadline: Instant,
) -> io::Result<Welcome> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(frame) = decoder.next() {
            if frame.nonce == nonce
                && frame.kind == Kind::Welcome
                && let Some(welcome) = parse(&frame.payload)
            {
                return Ok(welcome);
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Distributes frames until the connection ends; then every stream ends.
fn read(shared: &Shared, mut socket: UnixStream, mut decoder: Decoder) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        while let Some(frame) = decoder.next() {
            if frame.nonce == shared.nonce {
                hand_out(shared, frame);
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let mut streams = lock(&shared.streams);
    shared.ended.store(true, Ordering::Release);
    // The receivers notice it.
    streams.clear();
}

fn hand_out(shared: &Shared, mut frame: Frame) {
    let mut streams = lock(&shared.streams);
    let Some(entry) = streams.get_mut(&frame.stream) else { return };
    let length = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
    let cost = match frame.kind {
        Kind::Stdout | Kind::Stderr | Kind::Answer => length,
        Kind::InputCredit if length == 4 => 0,
        Kind::Ended => 0,
        // A guest sends no other.
        _ => return,
    };
    if frame.kind != Kind::Ended {
        let waiting = entry.waiting.fetch_add(1, Ordering::Relaxed);
        if let Some(left) = entry.credit.checked_sub(cost).filter(|_| waiting < MOST_WAITING) {
            entry.credit = left;
        } else {
            let ended = Ended::failed("the guest sent more than it had credit for");
            frame = Frame { kind: Kind::Ended, payload: to_json(&ended), ..frame };
        }
    }
    let (stream, is_last) = (frame.stream, frame.kind == Kind::Ended);
    let is_closed = entry.to.send(frame).is_err();
    if is_last || is_closed {
        streams.remove(&stream);
    }
}

impl Stream {
    /// Notes that a frame was taken.
    fn took(&mut self, frame: &Frame) {
        if frame.kind == Kind::Ended {
            self.has_ended = true;
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The next frame of the guest; nothing once the connection has ended. The last one is [`Kind::Ended`].
    #[expect(clippy::should_implement_trait, reason = "as the decoder's")]
    pub fn next(&mut self) -> Option<Frame> {
        let Ok(frame) = self.frames.recv() else {
            self.has_ended = true;
            return None;
        };
        self.took(&frame);
        Some(frame)
    }

    /// The same with a timeout.
    pub fn next_within(&mut self, limit: Duration) -> io::Result<Frame> {
        match self.frames.recv_timeout(limit) {
            Ok(frame) => {
                self.took(&frame);
                Ok(frame)
            }
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => {
                self.has_ended = true;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }

    /// A sender for frames of this stream, for any thread.
    pub fn sender(&self) -> StreamSender {
        self.sender.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        lock(&self.sender.shared.streams).remove(&self.sender.stream);
        if !self.has_ended {
            let _ = self.sender.send(Kind::Abandon, &[]);
        }
    }
}

impl StreamSender {
    /// Sends a frame. A [`Kind::OutputCredit`] lets the guest send more.
    pub fn send(&self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let frame = Frame::new(kind, self.stream, self.shared.nonce, payload);
        if kind == Kind::OutputCredit
            && let Some(entry) = lock(&self.shared.streams).get_mut(&self.stream)
        {
            // Never more than a window, whatever a client sends.
            entry.credit = entry.credit.saturating_add(frame.number().unwrap_or_default()).min(WINDOW);
        }
        let bytes = frame.to_bytes();
        let mut writer = lock(&self.shared.writer);
        let written = writer.write_all(&bytes);
        if written.is_err() {
            // Half a frame may have been sent, so nothing after it on this connection could be read.
            let _ = writer.shutdown(Shutdown::Both);
        }
        drop(writer);
        if kind == Kind::Abandon {
            // End the wait of anybody who still waits for its frames.
            lock(&self.shared.streams).remove(&self.stream);
        }
        written
    }
}
