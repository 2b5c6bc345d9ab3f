//! The client against a scripted peer. The real QEMU is tested in `tests/it`.

use super::*;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;
use std::thread;

const LIMIT: Duration = Duration::from_secs(5);
const GREETING: &[u8] = b"{\"QMP\": {}}\n";

/// A socket whose peer greets, then answers each line with the result of `answer`.
pub(crate) fn peer(
    mut answer: impl FnMut(&str) -> Vec<Vec<u8>> + Send + 'static,
) -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let socket = Utf8PathBuf::from_path_buf(folder.path().join("qmp")).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(GREETING).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            for piece in answer(&line) {
                if stream.write_all(&piece).is_err() {
                    return;
                }
            }
        }
    });
    (folder, socket)
}

/// The number of a command.
fn id(line: &str) -> u64 {
    serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()
}

pub(crate) fn ok(line: &str) -> Vec<u8> {
    format!("{{\"return\": {{}}, \"id\": {}}}\n", id(line)).into_bytes()
}

#[test]
fn events_and_split_lines_are_separated_from_answers() {
    let (_folder, socket) = peer(|line| {
        let whole =
            [b"noise\n{\"event\": \"RESET\"}\n".to_vec(), ok(line), b"{\"event\": \"STOP\"}\n".to_vec()]
                .concat();
        whole.chunks(3).map(<[u8]>::to_vec).collect()
    });
    let mut client = Client::connect(&socket, LIMIT).unwrap();
    assert_eq!(client.execute("query-status", Value::Null, LIMIT).unwrap(), serde_json::json!({}));
    let mut names: Vec<String> = Vec::new();
    let deadline = Instant::now() + LIMIT;
    while names.len() < 4 && Instant::now() < deadline {
        names.extend(client.events().into_iter().map(|event| event.name));
    }
    assert_eq!(names, ["RESET", "STOP", "RESET", "STOP"]);
}

#[test]
fn a_refused_command_has_a_reason() {
    let (_folder, socket) = peer(|line| {
        if line.contains("qmp_capabilities") {
            vec![ok(line)]
        } else {
            vec![
                format!("{{\"error\": {{\"desc\": \"no such command\"}}, \"id\": {}}}\n", id(line))
                    .into_bytes(),
            ]
        }
    });
    let mut client = Client::connect(&socket, LIMIT).unwrap();
    let error = client.execute("fly", Value::Null, LIMIT).unwrap_err();
    assert!(error.to_string().contains("fly: no such command") && !error.is_transient(), "{error}");
}

#[test]
fn silence_ends_at_the_deadline_and_a_late_answer_is_discarded() {
    let mut asked = 0;
    let (_folder, socket) = peer(move |line| {
        asked += 1;
        match asked {
            2 => Vec::new(),
            3 => vec![b"{\"return\": \"late\", \"id\": 1}\n".to_vec(), ok(line)],
            _ => vec![ok(line)],
        }
    });
    let mut client = Client::connect(&socket, LIMIT).unwrap();
    let error = client.execute("slow", Value::Null, Duration::from_millis(50)).unwrap_err();
    assert!(error.to_string().contains("slow: no answer in time") && error.is_transient(), "{error}");
    assert_eq!(client.execute("next", Value::Null, LIMIT).unwrap(), serde_json::json!({}));
}

#[test]
fn a_disconnected_peer_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let socket = Utf8PathBuf::from_path_buf(folder.path().join("qmp")).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || drop(listener.accept()));
    let error = Client::connect(&socket, LIMIT).unwrap_err();
    assert!(error.to_string().contains("closed the connection") && error.is_transient(), "{error}");
}

#[test]
fn a_flood_of_events_ends_reading_and_the_wait_for_an_answer() {
    const FLOOD: &[u8] = b"{\"event\": \"RTC_CHANGE\"}\n";
    let (_folder, socket) =
        peer(
            |line| {
                if line.contains("qmp_capabilities") { vec![ok(line)] } else { vec![FLOOD.repeat(1 << 20)] }
            },
        );
    let mut client = Client::connect(&socket, LIMIT).unwrap();
    let error = client.execute("query-status", Value::Null, Duration::from_secs(60)).unwrap_err();
    assert!(error.to_string().contains("events without end"), "{error}");
    let kept = client.events().len();
    assert!((MOST_EVENTS..MOST_EVENTS + 4096).contains(&kept), "nothing more is read: {kept}");
}

#[test]
fn events_are_read_in_portions() {
    const FLOOD: &[u8] = b"{\"event\": \"RTC_CHANGE\"}\n";
    let (_folder, socket) = peer(|line| vec![[ok(line), FLOOD.repeat(1 << 20)].concat()]);
    let mut client = Client::connect(&socket, LIMIT).unwrap();
    let most = (READS as usize + 2) * 4096 / FLOOD.len();
    for _ in 0..3 {
        assert!(client.events().len() <= most);
    }
}
