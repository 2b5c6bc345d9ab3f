//! The host's end of a connection: a socket to the world, or to a thread that inspects the connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::set_socket_linger;

/// The host's end of a connection.
#[derive(Debug)]
pub(crate) enum End {
    /// A connection of the host.
    World(TcpStream),
    /// A thread of [`inspected`](crate::inspected), and that thread's connection, so that closing this end reaches the thread
    /// at once.
    Thread(UnixStream, Option<TcpStream>),
}

impl End {
    /// Signals that the guest sends no more.
    pub(crate) fn finish(&self) {
        let _ = match self {
            Self::World(stream) => stream.shutdown(Shutdown::Write),
            Self::Thread(stream, _) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Closes it with RST (socket(7), `SO_LINGER`), so that the peer does not take the received data for complete.
    pub(crate) fn reset(self) {
        if let Self::World(stream) | Self::Thread(_, Some(stream)) = &self {
            let _ = set_socket_linger(stream, Some(std::time::Duration::ZERO));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if let Self::Thread(stream, world) = self {
            let _ = stream.shutdown(Shutdown::Both);
            if let Some(world) = world {
                let _ = world.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::World(stream) => stream.read(bytes),
            Self::Thread(stream, _) => stream.read(bytes),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::World(stream) => stream.write(bytes),
            Self::Thread(stream, _) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::World(stream) => stream.as_fd(),
            Self::Thread(stream, _) => stream.as_fd(),
        }
    }
}
