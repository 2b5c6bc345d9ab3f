//! Relays what each end sends, decrypted in between.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::Connection;

struct End {
    tls: Connection,
    socket: TcpStream,
    is_over: bool,
}

/// Runs until one end has finished, or both have been silent for this long.
pub(super) fn both_ways(
    a: (Connection, TcpStream),
    b: (Connection, TcpStream),
    silence: Duration,
) -> io::Result<()> {
    let end = |(mut tls, socket): (Connection, TcpStream)| -> io::Result<End> {
        socket.set_nonblocking(true)?;
        tls.set_buffer_limit(None);
        Ok(End { tls, socket, is_over: false })
    };
    let (mut a, mut b) = (end(a)?, end(b)?);
    while !(a.is_over || b.is_over) {
        wait(&a, &b, silence)?;
        pass(&mut a, &mut b)?;
        pass(&mut b, &mut a)?;
    }
    for end in [&mut a, &mut b] {
        end.tls.send_close_notify();
        end.socket.set_nonblocking(false)?;
        while end.tls.wants_write() {
            end.tls.write_tls(&mut end.socket)?;
        }
    }
    Ok(())
}

/// Does not read more for an end that has not yet received what it was sent.
fn wait(a: &End, b: &End, silence: Duration) -> io::Result<()> {
    let flags = |end: &End, other: &End| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::OUT, end.tls.wants_write());
        flags.set(PollFlags::IN, !other.tls.wants_write() || end.tls.is_handshaking());
        flags
    };
    let mut both = [PollFd::new(&a.socket, flags(a, b)), PollFd::new(&b.socket, flags(b, a))];
    let limit = Timespec { tv_sec: i64::try_from(silence.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    match poll(&mut both, Some(&limit))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}

fn pass(from: &mut End, to: &mut End) -> io::Result<()> {
    if !to.tls.wants_write() || from.tls.is_handshaking() {
        match from.tls.read_tls(&mut from.socket) {
            Ok(0) => from.is_over = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    // Also data that arrived along with the handshake.
    let state = from.tls.process_new_packets().map_err(io::Error::other)?;
    from.is_over |= state.peer_has_closed();
    let mut plaintext = vec![0; state.plaintext_bytes_to_read()];
    from.tls.reader().read_exact(&mut plaintext)?;
    to.tls.writer().write_all(&plaintext)?;
    for end in [from, to] {
        while end.tls.wants_write() {
            match end.tls.write_tls(&mut end.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
