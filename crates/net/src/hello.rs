//! Parses the TLS `ClientHello` at the beginning of a connection (RFC 8446, 4.1.2), split over any number of records.
//! Only the server's name is read; the connection stays encrypted.

use crate::name::HostName;

/// The longest hello in bytes, including record headers. Those with post-quantum keys have about 2 KiB.
pub(crate) const MAX: usize = 12 * 1024;

/// The result of parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hello {
    /// An incomplete hello.
    Incomplete,
    /// A hello for this server.
    For(HostName),
    /// Something that must not be passed on, with the reason.
    Bad(&'static str),
}

/// Content types and the first handshake message (RFC 8446, B.1, B.3).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The longest record (RFC 8446, 5.1).
const RECORD: usize = 1 << 14;
/// Extensions: `server_name` (RFC 6066, 3), `encrypted_client_hello` (RFC 9849), and its predecessor in a draft.
const SERVER_NAME: u16 = 0;
const ENCRYPTED_HELLO: u16 = 0xfe0d;
const ENCRYPTED_NAME: u16 = 0xffce;
const HOST_NAME: u8 = 0;

/// Parses the beginning of a connection.
pub(crate) fn parse(bytes: &[u8]) -> Hello {
    let message = match handshake(bytes) {
        Ok(Some(message)) => message,
        Ok(None) if bytes.len() >= MAX => return Hello::Bad("its TLS hello is too long"),
        Ok(None) => return Hello::Incomplete,
        Err(why) => return Hello::Bad(why),
    };
    match server_name(&message) {
        Ok(name) => Hello::For(name),
        Err(why) => Hello::Bad(why),
    }
}

/// The body of the first handshake message, once it is complete.
fn handshake(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    const NOT_TLS: &str = "it is not TLS";
    let mut message = Vec::new();
    loop {
        if let Some([kind, high, middle, low]) = message.first_chunk() {
            if *kind != CLIENT_HELLO {
                return Err("it does not begin with a TLS hello");
            }
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            if length > MAX {
                return Err("its TLS hello is too long");
            }
            if message.len() >= 4 + length {
                return Ok(Some(message[4..4 + length].to_vec()));
            }
        }
        // Refuse anything but TLS at its first wrong byte.
        match bytes.first() {
            None => return Ok(None),
            Some(&HANDSHAKE) => {}
            Some(_) => return Err(NOT_TLS),
        }
        if bytes.get(1).is_some_and(|major| *major != 3) {
            return Err(NOT_TLS);
        }
        let Some([_, _, _, high, low]) = bytes.first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if length == 0 || length > RECORD {
            return Err("its first TLS record has a wrong length");
        }
        let rest = &bytes[5..];
        let piece = &rest[..length.min(rest.len())];
        message.extend_from_slice(piece);
        bytes = &rest[piece.len()..];
    }
}

/// Reads bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn uint16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector with a one-byte length.
    fn short(&mut self) -> Option<Reader<'a>> {
        let length = self.byte()?;
        self.take(length.into()).map(Reader)
    }

    /// A vector with a two-byte length.
    fn long(&mut self) -> Option<Reader<'a>> {
        let length = self.uint16()?;
        self.take(length.into()).map(Reader)
    }
}

const DAMAGED: &str = "its TLS hello is damaged";

fn server_name(message: &[u8]) -> Result<HostName, &'static str> {
    let extensions = extensions(message).ok_or(DAMAGED)?;
    let mut name = None;
    let mut rest = extensions;
    while !rest.0.is_empty() {
        let kind = rest.uint16().ok_or(DAMAGED)?;
        let body = rest.long().ok_or(DAMAGED)?;
        match kind {
            ENCRYPTED_HELLO | ENCRYPTED_NAME => return Err("its TLS hello hides the server's name (ECH)"),
            SERVER_NAME if name.is_some() => return Err("its TLS hello names two servers"),
            SERVER_NAME => name = Some(host_name(body)?),
            _ => {}
        }
    }
    name.ok_or("its TLS hello names no server (SNI)")
}

/// The extensions, after version, random, session ID, cipher suites and compression methods. Nothing follows them.
fn extensions(message: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader(message);
    reader.take(2 + 32)?;
    reader.short()?;
    reader.long()?;
    reader.short()?;
    if reader.0.is_empty() {
        return Some(reader);
    }
    let extensions = reader.long()?;
    reader.0.is_empty().then_some(extensions)
}

fn host_name(mut body: Reader<'_>) -> Result<HostName, &'static str> {
    let mut list = body.long().ok_or(DAMAGED)?;
    if list.byte() != Some(HOST_NAME) {
        return Err(DAMAGED);
    }
    let name = list.long().ok_or(DAMAGED)?;
    // A list with a second name would be ambiguous.
    if !list.0.is_empty() || !body.0.is_empty() {
        return Err(DAMAGED);
    }
    let text = std::str::from_utf8(name.0).map_err(|_| DAMAGED)?;
    text.parse().map_err(|_| "its TLS hello names no host")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(length: usize, data: &[u8]) -> Vec<u8> {
        let bytes = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&bytes[4 - length..], data].concat()
    }

    fn sni(name: &[u8]) -> (u16, Vec<u8>) {
        (SERVER_NAME, vector(2, &[&[HOST_NAME], vector(2, name).as_slice()].concat()))
    }

    fn message(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let list: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &vector(2, body)].concat())
            .collect();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[1; 32]),
            &vector(2, &[0x13, 1]),
            &vector(1, &[0]),
            &vector(2, &list),
        ];
        [&[CLIENT_HELLO][..], &vector(3, &body.concat())].concat()
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|piece| [&[HANDSHAKE, 3, 1][..], &vector(2, piece)].concat()).collect()
    }

    /// A hello for a server in records of this size.
    pub(crate) fn split(name: &str, size: usize) -> Vec<u8> {
        records(&message(&[sni(name.as_bytes())]), size)
    }

    /// A hello for a server in one record.
    pub(crate) fn hello(name: &str) -> Vec<u8> {
        records(&message(&[(43, vec![2, 3, 4]), sni(name.as_bytes()), (10, vec![0, 2, 0, 29])]), RECORD)
    }

    #[test]
    fn a_client_hello_split_over_records_and_segments_is_parsed() {
        for size in [1, 3, 50, RECORD] {
            let bytes = records(&message(&[sni(b"API.example.com")]), size);
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Hello::Incomplete, "{size} {end}");
            }
            assert_eq!(parse(&bytes), Hello::For("api.example.com".parse().unwrap()));
        }
    }

    #[test]
    fn a_client_hello_without_a_plain_name_is_refused() {
        let why = |extensions: &[(u16, Vec<u8>)]| match parse(&records(&message(extensions), RECORD)) {
            Hello::Bad(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(&[]).contains("no server"));
        assert!(why(&[sni(b"a.example"), (ENCRYPTED_HELLO, vec![0])]).contains("ECH"));
        assert!(why(&[(ENCRYPTED_HELLO, vec![0]), sni(b"a.example")]).contains("ECH"));
        assert!(why(&[sni(b"a.example"), sni(b"b.example")]).contains("two servers"));
        assert!(why(&[sni(b"a.example\0b")]).contains("no host"));
        assert!(why(&[sni(b"192.0.2.1")]).contains("no host"));
        let two =
            [&[HOST_NAME][..], &vector(2, b"a.example"), &[HOST_NAME], &vector(2, b"b.example")].concat();
        assert!(why(&[(SERVER_NAME, vector(2, &two))]).contains("damaged"));
    }

    #[test]
    fn non_tls_bytes_are_refused_immediately() {
        for bytes in [
            &b"G"[..],
            b"SSH-2.0",
            &[22, 2],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0xff, 0xff],
            &[22, 3, 1, 0, 4, 2, 0, 0, 0],
        ] {
            assert!(matches!(parse(bytes), Hello::Bad(_)), "{bytes:?}");
        }
        let endless = [&[HANDSHAKE, 3, 1, 0x40, 0, CLIENT_HELLO, 0, 0x30, 0x01][..], &[0; MAX]].concat();
        assert!(matches!(parse(&endless), Hello::Bad(why) if why.contains("too long")));
    }

    proptest! {
        #[test]
        fn any_damage_is_handled(at in 0usize..200, byte in any::<u8>(), end in 0usize..200) {
            let mut bytes = hello("a.example.com");
            let length = bytes.len();
            bytes[at % length] = byte;
            parse(&bytes[..end.min(length)]);
        }
    }
}
