//! The two sides of an inspected connection: read-ahead, heads, and time limits.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::head;

/// Bytes per read.
const READ: usize = 16 * 1024;

/// The guest's side.
pub(crate) enum Guest {
    /// A connection whose TLS ends here.
    Tls(Box<StreamOwned<ServerConnection, UnixStream>>),
    /// A connection without TLS, to the supervisor itself.
    Plain(UnixStream),
}

/// The host's side.
pub(crate) struct Host(pub(crate) Box<StreamOwned<ClientConnection, TcpStream>>);

/// The operations of both sides.
pub(crate) trait Stream: Read + Write {
    /// Sets the timeout of reads and writes.
    fn limit(&self, limit: Duration) -> io::Result<()>;
    /// Signals the end of our data.
    fn end(&mut self);
    /// The socket, for polling.
    fn socket(&self) -> BorrowedFd<'_>;
    /// Whether there is decrypted data that was not read.
    fn has_more(&self) -> bool;
}

/// How long the guest may take to close after the last data was sent.
const LINGER: Duration = Duration::from_secs(5);

impl Guest {
    /// Closes our side, and reads what still arrives: a reset could discard the last answer (RFC 9112, 9.6).
    pub(crate) fn linger(&mut self) {
        let socket = match self {
            Self::Tls(tls) => &mut tls.sock,
            Self::Plain(socket) => socket,
        };
        let deadline = Instant::now() + LINGER;
        let _ = socket.shutdown(Shutdown::Write).and_then(|()| socket.set_read_timeout(Some(LINGER)));
        let mut bytes = [0; READ];
        while Instant::now() < deadline && matches!(socket.read(&mut bytes), Ok(1..)) {}
    }
}

impl Stream for Guest {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        let socket = match self {
            Self::Tls(tls) => &tls.sock,
            Self::Plain(socket) => socket,
        };
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(limit))
    }

    fn end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    }

    fn socket(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tls(tls) => tls.sock.as_fd(),
            Self::Plain(socket) => socket.as_fd(),
        }
    }

    fn has_more(&self) -> bool {
        matches!(self, Self::Tls(tls) if !tls.conn.wants_read())
    }
}

impl Stream for Host {
    fn limit(&self, limit: Duration) -> io::Result<()> {
        self.0.sock.set_read_timeout(Some(limit))?;
        self.0.sock.set_write_timeout(Some(limit))
    }

    fn end(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }

    fn socket(&self) -> BorrowedFd<'_> {
        self.0.sock.as_fd()
    }

    fn has_more(&self) -> bool {
        !self.0.conn.wants_read()
    }
}

impl Host {
    /// Reads data that arrived without a request. Returns whether the connection is still usable: TLS messages are
    /// fine, content is not.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let tls = &mut *self.0;
        match tls.conn.read_tls(&mut tls.sock) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        tls.conn
            .process_new_packets()
            .is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed())
    }
}

impl Read for Guest {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tls(tls) => tls.read(bytes),
            Self::Plain(socket) => socket.read(bytes),
        }
    }
}

impl Write for Guest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tls(tls) => tls.write(bytes),
            Self::Plain(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(tls) => tls.flush(),
            Self::Plain(_) => Ok(()),
        }
    }
}

impl Read for Host {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Host {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A stream with read-ahead.
pub(crate) struct Side<S> {
    pub(crate) stream: S,
    ahead: Vec<u8>,
}

/// The limits of a head: its size, and the time to receive it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadLimit {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// The result of reading a head.
pub(crate) enum ReadHead {
    /// A head with its final empty line.
    Head(Vec<u8>),
    /// The end of the stream.
    End,
    /// The head is too long.
    TooLong,
}

impl<S: Stream> Side<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// Whether data can be read without waiting for the socket.
    pub(crate) fn has_more(&self) -> bool {
        !self.ahead.is_empty() || self.stream.has_more()
    }

    /// Data that was read ahead.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Removes data from the read-ahead.
    pub(crate) fn take(&mut self, count: usize) {
        self.ahead.drain(..count);
    }

    /// Reads more. Returns the number of bytes; zero at the end.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let start = self.ahead.len();
        self.ahead.resize(start + READ, 0);
        let result = loop {
            match self.stream.read(&mut self.ahead[start..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.ahead.truncate(start + *result.as_ref().unwrap_or(&0));
        result
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads a head.
    pub(crate) fn read_head(&mut self, limit: HeadLimit) -> io::Result<ReadHead> {
        let deadline = Instant::now() + limit.time;
        loop {
            let window = &self.ahead[..self.ahead.len().min(limit.bytes)];
            if let Some(end) = head::end(window) {
                let head = window[..end].to_vec();
                self.take(end);
                return Ok(ReadHead::Head(head));
            }
            if self.ahead.len() >= limit.bytes {
                return Ok(ReadHead::TooLong);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.limit(left.max(Duration::from_millis(1)))?;
            if self.fill()? == 0 {
                return Ok(ReadHead::End);
            }
        }
    }
}
