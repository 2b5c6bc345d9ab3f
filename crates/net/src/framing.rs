//! QEMU's framing of Ethernet frames on a stream (`-netdev stream`): a length of four bytes in network order, then the
//! frame. A frame that is cut by the end of the connection is dropped with its decoder.

/// The longest frame that QEMU sends, in bytes (`NET_BUFSIZE`, include/net/net.h).
pub(crate) const MAX_FRAME: usize = 4096 + 65536;
/// Bytes of the length field.
pub(crate) const HEAD: usize = 4;

/// Turns bytes into frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// The offset of the next frame.
    at: usize,
}

/// The other end does not use this framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub(crate) struct BadLength(pub(crate) u32);

impl Decoder {
    /// Adds received bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete frame.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, BadLength> {
        let rest = &self.bytes[self.at..];
        let Some(head) = rest.first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head);
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        if size == 0 || size > MAX_FRAME {
            return Err(BadLength(length));
        }
        if rest.len() < HEAD + size {
            return Ok(None);
        }
        let start = self.at + HEAD;
        self.at = start + size;
        Ok(Some(&self.bytes[start..start + size]))
    }

    /// Bytes of an incomplete frame.
    pub(crate) fn kept(&self) -> usize {
        self.bytes.len() - self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_round_trip(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..20),
            size in 1usize..300,
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
                stream.extend(frame);
            }
            let (mut decoder, mut read) = (Decoder::default(), Vec::new());
            for piece in stream.chunks(size) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    read.push(frame.to_vec());
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert_eq!(decoder.kept(), 0);
        }
    }

    #[test]
    fn an_invalid_frame_length_ends_the_connection() {
        for length in [0, u32::try_from(MAX_FRAME).unwrap() + 1, u32::MAX] {
            let mut decoder = Decoder::default();
            decoder.push(&length.to_be_bytes());
            assert_eq!(decoder.next_frame(), Err(BadLength(length)));
        }
    }
}
