use super::*;
use proptest::prelude::*;

fn records() -> Vec<Record> {
    let path = |text: &str| text.as_bytes().to_vec();
    vec![
        Record::Folder { path: path("a"), mode: 0o755 },
        Record::Stat {
            path: path("a/b"),
            mode: 0o644,
            stamp: Stamp { size: u64::MAX, changed: 1, inode: 2 },
        },
        Record::Link { path: b"l\xff".to_vec(), target: path("a/b") },
        Record::Other { path: path("pipe") },
        Record::Remove { path: path("gone") },
        Record::Failed { path: path("x"), why: "Permission denied".into() },
    ]
}

fn stream(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    for record in records {
        writer.record(record).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

fn read(bytes: &[u8], limits: Limits) -> io::Result<Vec<Record>> {
    let mut reader = Reader::new(bytes, limits)?;
    std::iter::from_fn(|| reader.next().transpose()).collect()
}

fn refused(bytes: &[u8], limits: Limits) -> String {
    read(bytes, limits).unwrap_err().to_string()
}

#[test]
fn records_round_trip() {
    assert_eq!(read(&stream(&records()), Limits::NONE).unwrap(), records());
}

#[test]
fn contents_round_trip_and_can_be_skipped() {
    let content = vec![7; 3 * PIECE + 5];
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes).unwrap();
    for name in [b"a", b"b"] {
        writer.record(&Record::File { path: name.to_vec(), mode: 0o600 }).unwrap();
        writer.piece(&content).unwrap();
        writer.piece(b"").unwrap();
        writer.end_content().unwrap();
    }
    writer.finish().unwrap();
    let mut reader = Reader::new(bytes.as_slice(), Limits::NONE).unwrap();
    reader.next().unwrap().unwrap();
    assert_eq!(reader.next().unwrap().unwrap(), Record::File { path: b"b".to_vec(), mode: 0o600 });
    let (mut all, mut piece) = (Vec::new(), Vec::new());
    while reader.piece(&mut piece).unwrap() {
        all.extend_from_slice(&piece);
    }
    assert!(all == content && reader.next().unwrap().is_none());
    let few = Limits { content: content.len() as u64 + 1, ..Limits::NONE };
    assert!(refused(&bytes, few).contains("more than"));
}

#[test]
fn excess_data_and_wrong_paths_from_a_sender_are_refused() {
    let many = stream(&vec![Record::Other { path: b"abc".to_vec() }; 5]);
    assert!(refused(&many, Limits { records: 4, ..Limits::NONE }).contains("more than 4 files"));
    assert!(refused(&many, Limits { names: 14, ..Limits::NONE }).contains("more than 14 bytes"));
    for path in [b"../a".as_slice(), b"/etc/passwd", b"a/../../b", b"a//b", b"", b"a\0b"] {
        let bytes = stream(&[Record::Folder { path: path.to_vec(), mode: 0 }]);
        assert!(refused(&bytes, Limits::NONE).contains("refused"), "{path:?}");
    }
    let mut short = stream(&records());
    let end = short.len() - 8;
    short[end] -= 1;
    assert_eq!(refused(&short, Limits::NONE), "records are missing");
    assert_eq!(refused(b"RAVETRE2", Limits::NONE), "it is not a stream of files");
}

proptest! {
    #[test]
    fn any_bytes_are_handled_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[&MAGIC, bytes.as_slice()].concat(), Limits { records: 9, names: 99, content: 99 });
    }

    #[test]
    fn a_truncated_stream_is_never_complete(cut in 0usize..200) {
        let bytes = stream(&records());
        let cut = cut % bytes.len();
        prop_assert!(read(&bytes[..cut], Limits::NONE).is_err());
    }
}
