//! Ports of the host that lead to services of the guest.

use std::io;
use std::net::TcpListener;

use rustix::net::{Shutdown, listen, shutdown, sockopt};

use crate::page_policy::Site;

/// Connections that wait to be accepted, as many as the standard library lets.
const BACKLOG: i32 = 128;

/// A socket that listens, and the guest's port that its connections go to.
#[derive(Debug)]
pub struct Forward {
    /// Whoever connects to it reaches the guest.
    pub listener: TcpListener,
    /// The port in the guest.
    pub guest: u16,
    /// The sandbox's name where the port is one of pages: then nothing but HTTP goes there, and what a browser asks is looked at.
    pub pages: Option<String>,
}

impl Forward {
    /// Where its pages are, if it has some.
    pub(crate) fn site(&self) -> Option<Site> {
        let port = self.listener.local_addr().ok()?.port();
        Some(Site { sandbox: self.pages.clone()?, port })
    }
}

/// The same port, at which connections are refused; it stays taken. Linux gives back a port that it has chosen itself once nobody
/// listens any more, so the port is asked for by its number.
pub fn closed(listener: TcpListener) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    let listener = TcpListener::bind(address)?;
    close(&listener)?;
    Ok(listener)
}

/// Refuses connections from now on, and those that were not accepted yet. The port stays taken.
pub(crate) fn close(listener: &TcpListener) -> io::Result<()> {
    if !is_open(listener) {
        return Ok(());
    }
    // Others can bind a port that nobody listens on where both ends have this option (socket(7)).
    sockopt::set_socket_reuseaddr(listener, false)?;
    // On Linux this ends the listening alone: the socket keeps its port.
    Ok(shutdown(listener, Shutdown::Both)?)
}

/// Lets connections in.
pub(crate) fn open(listener: &TcpListener) -> io::Result<()> {
    if is_open(listener) {
        return Ok(());
    }
    // Connections of an earlier machine that are in `TIME_WAIT` are no obstacle.
    sockopt::set_socket_reuseaddr(listener, true)?;
    Ok(listen(listener, BACKLOG)?)
}

/// Whether connections are let in.
pub(crate) fn is_open(listener: &TcpListener) -> bool {
    sockopt::socket_acceptconn(listener).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_closed_port_refuses_and_is_nobody_elses() {
        let listener = closed(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let other = || TcpListener::bind(address).map(drop).map_err(|error| error.kind());
        for _ in 0..3 {
            close(&listener).unwrap();
            close(&listener).unwrap();
            assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert_eq!(other(), Err(ErrorKind::AddrInUse));
            open(&listener).unwrap();
            open(&listener).unwrap();
            let client = TcpStream::connect(address).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
            assert_eq!(other(), Err(ErrorKind::AddrInUse));
        }
    }
}
