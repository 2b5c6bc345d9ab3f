//! Connections of the guest that the host serves, over the standard streams of one program of the channel: messages
//! with a connection number, each of which has one answer.

use std::io::{self, Write};

/// The longest message in bytes: that of an SSH agent (OpenSSH's `AGENT_MAX_LEN`).
pub const LONGEST: u32 = 256 * 1024;
/// The largest number of connections at the same time.
pub const MOST: usize = 16;

/// The subcommand of `rave-guest`.
pub const SUBCOMMAND: &str = "ssh-agent";
/// The path of its socket, and the value of `SSH_AUTH_SOCK`.
pub const SOCKET: &str = "/run/rave/ssh-agent.sock";

/// A message of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relayed {
    /// The connection's number.
    pub connection: u32,
    /// The message; empty once the connection has ended.
    pub message: Vec<u8>,
}

impl Relayed {
    /// Writes it: number, length, message; numbers are big-endian with four bytes.
    pub fn write_to(&self, to: &mut impl Write) -> io::Result<()> {
        let length = u32::try_from(self.message.len()).unwrap_or(u32::MAX);
        let head = [self.connection.to_be_bytes(), length.to_be_bytes()].concat();
        to.write_all(&[&head, &self.message[..]].concat())?;
        to.flush()
    }
}

/// Parses messages from a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder(Vec<u8>);

impl Decoder {
    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// The next complete message; an error if it is too long.
    pub fn next_message(&mut self) -> io::Result<Option<Relayed>> {
        let Some((connection, rest)) = self.0.split_first_chunk::<4>() else { return Ok(None) };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let (connection, length) = (u32::from_be_bytes(*connection), u32::from_be_bytes(*length));
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(message) = rest.get(..length as usize).map(<[u8]>::to_vec) else { return Ok(None) };
        self.0.drain(..8 + message.len());
        Ok(Some(Relayed { connection, message }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_reassembled_and_long_ones_refused() {
        let all = [(1, "one"), (7, ""), (u32::MAX, "two")]
            .map(|(connection, text)| Relayed { connection, message: text.into() });
        let mut bytes = Vec::new();
        for one in &all {
            one.write_to(&mut bytes).unwrap();
        }
        for size in [1, 5, 100] {
            let (mut decoder, mut found) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(one) = decoder.next_message().unwrap() {
                    found.push(one);
                }
            }
            assert_eq!(found, all);
        }
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 1, 0, 4, 0, 1]);
        assert!(decoder.next_message().is_err());
    }
}
