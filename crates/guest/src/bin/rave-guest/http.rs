//! A minimal HTTP client: one GET on this machine, with HTTP/1.0 so that the answer ends with the connection.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The status code of `http://127.0.0.1:PORT/PATH`.
pub(crate) fn get(port: u16, path: &str, limit: Duration) -> io::Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: rave-guest\r\n\r\n")?;
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    while !head.contains(&b'\n') && head.len() < 1024 {
        match stream.read(&mut buffer)? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    status(&head).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

/// Parses `HTTP/1.1 200 OK`, RFC 9112 section 4.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|&byte| byte == b'\n').next()?).ok()?;
    let mut fields = line.split_whitespace();
    fields.next()?.starts_with("HTTP/").then(|| fields.next()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_parsed_and_noise_is_refused() {
        assert_eq!(status(b"HTTP/1.1 503 Service Unavailable\r\nA: b\r\n"), Some(503));
        assert_eq!(status(b"HTTP/1.1\r\n"), None);
        assert_eq!(status(b"SSH-2.0-OpenSSH_10.0\r\n"), None);
        assert_eq!(status(b"\xff\xfe"), None);
        assert_eq!(status(b""), None);
    }
}
