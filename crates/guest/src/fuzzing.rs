//! One function over arbitrary bytes for each parser of untrusted data, for tests and for the fuzz targets in `fuzz/`.
//! It panics if the parser does, or if its result is inconsistent.

#![expect(clippy::missing_panics_doc, reason = "panicking is their purpose")]

use crate::channel::frame::{Decoder, HEAD, MAX_PAYLOAD};
use crate::channel::identity::Receipt;
use crate::channel::message::{Ended, Hello, Request, Welcome, parse};
use crate::tree::path;
use crate::tree::unpack::path_of;
use crate::tree::wire::{Limits, MAGIC, Reader};

/// Feeds bytes to a parser.
pub type Feed = fn(&[u8]);

/// The parsers by name, which is also the name of the fuzz target.
pub const PARSERS: &[(&str, Feed)] = &[("channel_frames", channel_frames), ("tree_stream", tree_stream)];

/// Frames and the messages in them. Every frame must survive encoding and decoding again.
pub fn channel_frames(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    for piece in bytes.chunks(97) {
        decoder.push(piece);
        while let Some(frame) = decoder.next() {
            let mut second = Decoder::default();
            second.push(&frame.to_bytes());
            assert_eq!(second.next().as_ref(), Some(&frame));
            let _ = (frame.number(), frame.size());
            let _ = parse::<Hello>(&frame.payload);
            let _ = parse::<Welcome>(&frame.payload);
            let _ = parse::<Request>(&frame.payload);
            let _ = parse::<Ended>(&frame.payload);
            let _ = parse::<Receipt>(&frame.payload);
        }
        assert!(decoder.kept() < HEAD + MAX_PAYLOAD);
    }
}

/// A stream of files after its magic bytes. It may only name paths below its root, and must respect the limits.
pub fn tree_stream(bytes: &[u8]) {
    let limits = Limits { records: 50, names: 5000, content: 5000 };
    let bytes = [&MAGIC, bytes].concat();
    let Ok(mut reader) = Reader::new(bytes.as_slice(), limits) else { return };
    let (mut records, mut content, mut piece) = (0, 0, Vec::new());
    while let Ok(Some(record)) = reader.next() {
        records += 1;
        assert!(path::fault(path_of(&record)).is_none() && records <= limits.records);
        while let Ok(true) = reader.piece(&mut piece) {
            content += piece.len() as u64;
            assert!(!piece.is_empty() && content <= limits.content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::frame::{Frame, Kind, MAGIC as FRAME};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_file_stream_is_handled(
            bytes in proptest::collection::vec(prop_oneof![proptest::sample::select(b"DFSLOR!.\0\x01/".to_vec()), any::<u8>()], 0..300),
        ) {
            tree_stream(&bytes);
        }

        #[test]
        fn any_bytes_are_handled_within_one_frame_of_memory(
            bytes in proptest::collection::vec(prop_oneof![Just(FRAME), any::<u8>()], 0..400),
        ) {
            channel_frames(&bytes);
        }

        #[test]
        fn any_damage_to_a_message_is_handled(at in 0usize..60, byte in any::<u8>()) {
            let request = br#"{"exec":{"command":["a"],"env":[["A","b"]],"timeout_ms":1}}"#;
            let mut bytes = Frame::new(Kind::Request, 1, 2, request.to_vec()).to_bytes();
            let length = bytes.len();
            bytes[at % length] = byte;
            channel_frames(&bytes);
        }
    }
}
