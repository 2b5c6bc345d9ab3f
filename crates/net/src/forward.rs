//! Ports of the host that lead to services of the guest.

use std::io;
use std::net::TcpListener;

use rustix::net::{Shutdown, listen, shutdown, sockopt};

use crate::page_policy::Site;

/// The backlog of listen(2), the same as the standard library's.
const BACKLOG: i32 = 128;

/// A listening socket, and the guest's port that its connections lead to.
#[derive(Debug)]
pub struct Forward {
    /// The socket; whoever connects to it reaches the guest.
    pub listener: TcpListener,
    /// The port in the guest.
    pub guest: u16,
    /// The sandbox's name if the port serves pages: then it only takes HTTP, and requests of browsers are checked.
    pub pages: Option<String>,
}

impl Forward {
    /// The site of its pages, if it serves any.
    pub(crate) fn site(&self) -> Option<Site> {
        let port = self.listener.local_addr().ok()?.port();
        Some(Site { sandbox: self.pages.clone()?, port })
    }
}

/// The same port, still reserved, but refusing connections. Linux releases a port that it has chosen itself once
/// nothing listens on it, so the port is bound again by number.
pub fn closed(listener: TcpListener) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    let listener = TcpListener::bind(address)?;
    close(&listener)?;
    Ok(listener)
}

/// Refuses new connections and those that were not accepted yet. The port stays reserved.
pub(crate) fn close(listener: &TcpListener) -> io::Result<()> {
    if !is_open(listener) {
        return Ok(());
    }
    // If both sockets have this option, another one can bind a port that nothing listens on (socket(7)).
    sockopt::set_socket_reuseaddr(listener, false)?;
    // On Linux this only ends the listening: the socket keeps its port.
    Ok(shutdown(listener, Shutdown::Both)?)
}

/// Accepts connections.
pub(crate) fn open(listener: &TcpListener) -> io::Result<()> {
    if is_open(listener) {
        return Ok(());
    }
    // Connections of an earlier machine in `TIME_WAIT` must not prevent this.
    sockopt::set_socket_reuseaddr(listener, true)?;
    Ok(listen(listener, BACKLOG)?)
}

/// Whether connections are accepted.
pub(crate) fn is_open(listener: &TcpListener) -> bool {
    sockopt::socket_acceptconn(listener).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_closed_port_refuses_connections_and_stays_reserved() {
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
