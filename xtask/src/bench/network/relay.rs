//! The baseline of the network: servers on loopback, and a relay that only copies bytes.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts a server that handles each connection with `with`; returns its port. It runs until the process exits.
fn serve(with: impl Fn(TcpStream) + Clone + Send + 'static) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let with = with.clone();
            thread::spawn(move || with(stream));
        }
    });
    Ok(port)
}

/// A server that sends endlessly.
pub(super) fn source() -> io::Result<u16> {
    let piece = vec![b'x'; 64 * 1024];
    serve(move |mut stream| while stream.write_all(&piece).is_ok() {})
}

/// A server that sends a word and closes.
pub(super) fn greeter() -> io::Result<u16> {
    serve(|mut stream| drop(stream.write_all(b"hello")))
}

/// A server that echoes its input.
pub(super) fn echo() -> io::Result<u16> {
    serve(|mut stream| {
        let mut buffer = [0; 4096];
        let _ = stream.set_nodelay(true);
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

/// A relay to another port: two threads for each connection.
pub(super) fn relay(to: u16) -> io::Result<u16> {
    serve(move |mut client| {
        let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else { return };
        let (_, _) = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(mut client2), Ok(mut server2)) = (client.try_clone(), server.try_clone()) else { return };
        thread::spawn(move || {
            let _ = io::copy(&mut client2, &mut server2);
            let _ = server2.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    })
}
