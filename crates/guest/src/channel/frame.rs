//! Frames: a head of 16 bytes, then at most [`MAX_PAYLOAD`] bytes.
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | [`MAGIC`] |
//! | 1 | 1 | [`Kind`] |
//! | 2 | 2 | length of the payload |
//! | 4 | 4 | stream |
//! | 8 | 8 | the session's nonce |
//!
//! Numbers are little-endian. Zeros are allowed between frames, so that a session that starts with [`preamble`] is read
//! from its first frame on, whatever an earlier one left incomplete.

/// The first byte of a frame.
pub const MAGIC: u8 = 0xA5;
/// Bytes of a head.
pub const HEAD: usize = 16;
/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 16 * 1024;

/// The kind of a frame, with its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Host: starts a session. JSON of [`super::message::Hello`].
    Hello = 1,
    /// Guest: the answer. JSON of [`super::message::Welcome`].
    Welcome = 2,
    /// Host: a part of a request; more parts follow.
    RequestPart = 3,
    /// Host: the last part of a request. Together they are the JSON of [`super::message::Request`].
    Request = 4,
    /// Host: bytes for the program's standard input.
    Stdin = 5,
    /// Host: the end of the program's standard input.
    StdinEnd = 6,
    /// Guest: bytes of the program's standard output.
    Stdout = 7,
    /// Guest: bytes of the program's standard error.
    Stderr = 8,
    /// Host: this many more bytes of output may be sent. A number of four bytes.
    OutputCredit = 9,
    /// Guest: this many more bytes of input may be sent. A number of four bytes; the first is 0 and means that the
    /// program was started.
    InputCredit = 10,
    /// Host: sends a signal to the program. The signal's number, four bytes.
    Signal = 11,
    /// Host: the terminal's new size: rows, columns, two bytes each.
    Resize = 12,
    /// Guest: the program has ended; the last frame of a stream. JSON of [`super::message::Ended`].
    Ended = 13,
    /// Host: abandons the program, which is killed.
    Abandon = 14,
    /// Guest: the answer to a request that runs no program. JSON; [`Kind::Ended`] follows.
    Answer = 15,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Hello,
        Self::Welcome,
        Self::RequestPart,
        Self::Request,
        Self::Stdin,
        Self::StdinEnd,
        Self::Stdout,
        Self::Stderr,
        Self::OutputCredit,
        Self::InputCredit,
        Self::Signal,
        Self::Resize,
        Self::Ended,
        Self::Abandon,
        Self::Answer,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: Kind,
    /// The stream of the session; 0 for the session itself.
    pub stream: u32,
    /// The session.
    pub nonce: u64,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Creates a frame; a longer payload is truncated.
    pub fn new(kind: Kind, stream: u32, nonce: u64, payload: impl Into<Vec<u8>>) -> Self {
        let mut payload = payload.into();
        payload.truncate(MAX_PAYLOAD);
        Self { kind, stream, nonce, payload }
    }

    /// Appends its bytes.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // It fits: the payload has at most `MAX_PAYLOAD` bytes.
        let length = u16::try_from(self.payload.len()).unwrap_or(u16::MAX);
        out.extend([MAGIC, self.kind as u8]);
        out.extend(length.to_le_bytes());
        out.extend(self.stream.to_le_bytes());
        out.extend(self.nonce.to_le_bytes());
        out.extend(&self.payload);
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.payload.len());
        self.write_to(&mut bytes);
        bytes
    }

    /// The number in a payload of four bytes.
    pub fn number(&self) -> Option<u32> {
        Some(u32::from_le_bytes(self.payload.as_slice().try_into().ok()?))
    }

    /// Rows and columns of a [`Kind::Resize`].
    pub fn size(&self) -> Option<(u16, u16)> {
        let bytes: [u8; 4] = self.payload.as_slice().try_into().ok()?;
        Some((u16::from_le_bytes([bytes[0], bytes[1]]), u16::from_le_bytes([bytes[2], bytes[3]])))
    }
}

/// Zeros before the first frame of a session, which complete any unfinished frame before it.
pub fn preamble() -> Vec<u8> {
    vec![0; HEAD + MAX_PAYLOAD]
}

/// Finds frames in a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    /// The number of bytes that were consumed.
    done: usize,
}

impl Decoder {
    /// Adds received bytes. The caller takes all frames before it reads more, so that at most one frame is kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame. Anything else is skipped.
    #[expect(clippy::should_implement_trait, reason = "there may be more after a None")]
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let rest = &self.bytes[self.done..];
            let Some(start) = rest.iter().position(|&byte| byte == MAGIC) else {
                self.done = self.bytes.len();
                return None;
            };
            self.done += start;
            let rest = &rest[start..];
            let head: [u8; HEAD] = rest.get(..HEAD)?.try_into().ok()?;
            let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
            if length > MAX_PAYLOAD {
                self.done += 1;
                continue;
            }
            let payload = rest.get(HEAD..HEAD + length)?.to_vec();
            self.done += HEAD + length;
            // A complete frame of a later version, which is not for us.
            let Some(kind) = Kind::of(head[1]) else { continue };
            let stream = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let mut nonce = [0; 8];
            nonce.copy_from_slice(&head[8..]);
            return Some(Frame { kind, stream, nonce: u64::from_le_bytes(nonce), payload });
        }
    }

    /// The number of bytes that are kept.
    pub fn kept(&self) -> usize {
        self.bytes.len() - self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: usize, stream: u32, payload: Vec<u8>) -> Frame {
        Frame::new(Kind::ALL[kind % Kind::ALL.len()], stream, 0x0123_4567_89AB_CDEF, payload)
    }

    fn all(decoder: &mut Decoder) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next()).collect()
    }

    #[test]
    fn frame_bytes_match_the_documented_table() {
        let bytes = Frame::new(Kind::Stdout, 7, 1, b"hi".to_vec()).to_bytes();
        assert_eq!(bytes, [0xA5, 7, 2, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'h', b'i']);
    }

    #[test]
    fn frames_of_later_versions_are_skipped() {
        let mut bytes = Frame::new(Kind::Stdout, 7, 1, vec![MAGIC; 40]).to_bytes();
        bytes[1] = 200;
        bytes.extend(Frame::new(Kind::Stderr, 8, 1, b"x".to_vec()).to_bytes());
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert_eq!(all(&mut decoder), [Frame::new(Kind::Stderr, 8, 1, b"x".to_vec())]);
    }

    proptest! {
        #[test]
        fn frames_round_trip_in_pieces_of_any_size(
            frames in proptest::collection::vec((0usize..15, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
            piece in 1usize..64,
        ) {
            let frames: Vec<Frame> = frames.into_iter().map(|(kind, stream, payload)| frame(kind, stream, payload)).collect();
            let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            for part in bytes.chunks(piece) {
                decoder.push(part);
                read.extend(all(&mut decoder));
            }
            prop_assert_eq!(read, frames);
            prop_assert_eq!(decoder.kept(), 0);
        }

        /// The purpose of the preamble: nothing before it can swallow a frame of the session.
        #[test]
        fn a_session_starts_at_its_first_frame_after_any_noise(
            garbage in proptest::collection::vec(prop_oneof![Just(MAGIC), any::<u8>()], 0..400),
            payload in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            let sent = [frame(0, 0, payload), frame(6, 3, b"after".to_vec())];
            let mut decoder = Decoder::default();
            decoder.push(&garbage);
            all(&mut decoder);
            decoder.push(&preamble());
            all(&mut decoder);
            for frame in &sent {
                decoder.push(&frame.to_bytes());
            }
            let read = all(&mut decoder);
            prop_assert!(read.ends_with(&sent), "{:?}", read);
        }
    }
}
