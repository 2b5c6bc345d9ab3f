//! The host's end of a connection: a socket to the world, or the way to a thread that looks into the connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::set_socket_linger;

/// The host's end.
#[derive(Debug)]
pub(crate) enum End {
    /// A connection of the host.
    World(TcpStream),
    /// A thread of [`opened`](crate::opened), and the connection that it has, so that its end reaches the thread at once.
    Thread(UnixStream, Option<TcpStream>),
}

impl End {
    /// Nothing more comes from the guest.
    pub(crate) fn finish(&self) {
        let _ = match self {
            Self::World(stream) => stream.shutdown(Shutdown::Write),
            Self::Thread(stream, _) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Closes it with RST (socket(7), `SO_LINGER`): its peer must not take what came for all.
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
