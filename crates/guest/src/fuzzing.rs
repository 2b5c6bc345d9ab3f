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
    use rave_testing::parsers::{Sample, feed_any, feed_mutated, save_seeds};

    use super::*;
    use crate::channel::frame::{Frame, Kind, MAGIC as FRAME};
    use crate::tree::wire::{Record, Writer};
    use proptest::prelude::*;

    const MESSAGES: [(Kind, &str); 4] = [
        (Kind::Hello, r#"{"version":1}"#),
        (Kind::Welcome, r#"{"version":1,"program":"1.0","boot_id":"x","at_barrier":true}"#),
        (Kind::Request, r#"{"exec":{"command":["a"],"env":[["A","b"]],"timeout_ms":1}}"#),
        (Kind::Stdin, "input"),
    ];

    fn frames() -> Vec<u8> {
        let frame = |(kind, text): (Kind, &str)| Frame::new(kind, 1, 2, text.as_bytes()).to_bytes();
        MESSAGES.into_iter().flat_map(frame).collect()
    }

    /// A file, a link and a removal, without the magic bytes that the target adds.
    fn tree() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes).unwrap();
        writer.record(&Record::Folder { path: b"a".to_vec(), mode: 0o755 }).unwrap();
        writer.record(&Record::File { path: b"a/b".to_vec(), mode: 0o644 }).unwrap();
        writer.piece(b"content").unwrap();
        writer.end_content().unwrap();
        writer.record(&Record::Link { path: b"l".to_vec(), target: b"a/b".to_vec() }).unwrap();
        writer.record(&Record::Remove { path: b"gone".to_vec() }).unwrap();
        writer.finish().unwrap();
        bytes.split_off(MAGIC.len())
    }

    fn samples() -> Vec<Sample> {
        vec![("channel_frames", frames()), ("tree_stream", tree())]
    }

    #[test]
    fn each_sample_is_accepted() {
        let mut decoder = Decoder::default();
        decoder.push(&frames());
        let kinds: Vec<_> = std::iter::from_fn(|| decoder.next()).map(|frame| frame.kind).collect();
        assert_eq!(kinds, MESSAGES.map(|(kind, _)| kind));
        assert!(parse::<Hello>(MESSAGES[0].1.as_bytes()).is_some());
        assert!(parse::<Welcome>(MESSAGES[1].1.as_bytes()).is_some());
        assert!(parse::<Request>(MESSAGES[2].1.as_bytes()).is_some());
        let stream = [&MAGIC, tree().as_slice()].concat();
        let mut reader = Reader::new(stream.as_slice(), Limits::NONE).unwrap();
        assert_eq!(std::iter::from_fn(|| reader.next().transpose()).map(Result::unwrap).count(), 4);
        save_seeds(&samples());
    }

    #[test]
    fn mutated_samples_are_handled() {
        feed_mutated(PARSERS, &samples());
    }

    #[test]
    fn any_bytes_are_handled() {
        feed_any(PARSERS);
    }

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
    }
}
