//! The channel when one end misbehaves or disconnects.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Instant;

use rave_guest::channel::WINDOW;
use rave_guest::channel::client::Client;
use rave_guest::channel::frame::{Decoder, Frame, Kind, preamble};
use rave_guest::channel::message::{Ended, Exec, Request, SESSION_OVER, parse, to_json};

use crate::channel_host::{Channel, JOBS, LIMIT, finish, is_alive, read_until, server, shell, wait_until};

#[test]
fn child_processes_do_not_keep_the_stream_open() {
    let channel = Channel::new();
    let started = Instant::now();
    let done = channel.shell("sleep 300 & echo $!; exit 4");
    assert_eq!(done.ended.code, Some(4));
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    let pid = done.text();
    assert!(is_alive(&pid), "a child may stay");
    channel.shell(&format!("kill {pid}"));
}

#[test]
fn a_child_that_writes_endlessly_does_not_keep_the_stream_open() {
    let done = Channel::new().shell("yes & echo first >&2; exit 0");
    assert_eq!((done.ended.code, done.stderr.as_slice()), (Some(0), b"first\n".as_slice()));
}

#[test]
fn abandoned_programs_are_killed() {
    let channel = Channel::new();
    let mut stream = channel.start(shell("echo $$; sleep 300"));
    let pid = read_until(&mut stream, "\n");
    drop(stream);
    wait_until("the program is gone", || !is_alive(&pid));
}

#[test]
fn all_programs_end_with_the_session() {
    let channel = Channel::new();
    let mut stream = channel.start(shell("echo $$; trap '' HUP TERM; sleep 300"));
    let pid = read_until(&mut stream, "\n");
    drop(channel);
    wait_until("the program is gone", || !is_alive(&pid));
    assert_eq!(stream.next(), None);
}

#[test]
fn a_new_session_ends_the_previous_one_and_reads_none_of_its_data() {
    let (mut host, server) = server();
    let hello = |nonce| Frame::new(Kind::Hello, 0, nonce, br#"{"version":1}"#.to_vec()).to_bytes();
    let exec = |nonce, script| {
        Frame::new(Kind::Request, 9, nonce, to_json(&Request::Exec(shell(script)))).to_bytes()
    };
    host.write_all(&preamble()).unwrap();
    host.write_all(&hello(1)).unwrap();
    host.write_all(&exec(1, "echo stale; sleep 300")).unwrap();
    let mut decoder = Decoder::default();
    let mut buffer = [0; 16_384];
    let mut seen = false;
    while !seen {
        let count = host.read(&mut buffer).unwrap();
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next() {
            seen |= frame.kind == Kind::Stdout && frame.payload == b"stale\n";
        }
    }
    // Half a frame of the first session, then the second on the same connection, as after a SIGKILL of the host's end.
    let half = Frame::new(Kind::Stdin, 9, 1, vec![0xA5; 9000]).to_bytes();
    host.write_all(&half[..5000]).unwrap();
    let second = host.try_clone().unwrap();
    let (client, _) = Client::begin(host, 2, LIMIT).unwrap();
    // A late frame still has the old nonce.
    (&second).write_all(&exec(1, "touch /nowhere; echo of the old session")).unwrap();
    let mut stream = client.open(&to_json(&Request::Exec(shell("echo fresh")))).unwrap();
    assert_eq!(finish(&mut stream).text(), "fresh\n");
    client.close();
    server.join().unwrap().unwrap();
}

#[test]
fn a_host_that_exceeds_its_credit_loses_only_that_program() {
    let channel = Channel::new();
    let mut stream = channel.start(shell("sleep 300"));
    for _ in 0..=(WINDOW / 16_384) + 4 {
        stream.sender().send(Kind::Stdin, &[0; 16_384]).unwrap();
    }
    let done = finish(&mut stream);
    assert!(done.ended.error.is_some_and(|why| why.contains("credit")));
    assert_eq!(channel.shell("echo on").text(), "on\n");
}

/// The end of a stream whose guest sends frames that nobody takes.
fn end_of_flood(kind: Kind, payload: &[u8], count: u32) -> Ended {
    let (host, guest) = std::os::unix::net::UnixStream::pair().unwrap();
    let payload = payload.to_vec();
    let evil = std::thread::spawn(move || {
        let mut count = count;
        let mut decoder = Decoder::default();
        let mut buffer = [0; 16_384];
        loop {
            let read = (&guest).read(&mut buffer).unwrap();
            if read == 0 {
                return;
            }
            decoder.push(&buffer[..read]);
            while let Some(frame) = decoder.next() {
                match frame.kind {
                    Kind::Hello => {
                        let welcome = br#"{"version":1,"program":"x","boot_id":""}"#.to_vec();
                        (&guest)
                            .write_all(&Frame::new(Kind::Welcome, 0, frame.nonce, welcome).to_bytes())
                            .unwrap();
                    }
                    Kind::Request => {
                        let one = Frame::new(kind, frame.stream, frame.nonce, payload.clone()).to_bytes();
                        (0..std::mem::take(&mut count)).for_each(|_| (&guest).write_all(&one).unwrap());
                        let last = to_json(&Ended { code: Some(0), ..Ended::default() });
                        let last = Frame::new(Kind::Ended, frame.stream, frame.nonce, last);
                        (&guest).write_all(&last.to_bytes()).unwrap();
                    }
                    _ => {}
                }
            }
        }
    });
    let (client, _) = Client::begin(host, 3, LIMIT).unwrap();
    let mut stream = client.open(&to_json(&Request::Exec(Exec::default()))).unwrap();
    // The end of a later stream comes after all frames of the flood.
    client.ask(&Request::Exec(Exec::default()), LIMIT).unwrap();
    let last = std::iter::from_fn(|| stream.next()).find(|frame| frame.kind == Kind::Ended).unwrap();
    client.close();
    evil.join().unwrap();
    parse(&last.payload).unwrap()
}

/// The host does not trust the guest: if it sends without credit, its stream is closed. Nothing that it sends uses up the
/// host's memory.
#[test]
fn a_guest_that_exceeds_its_credit_loses_the_stream() {
    let whole = vec![0; 16_384];
    let pieces = WINDOW / 16_384;
    for (kind, payload, permitted, too_many) in [
        (Kind::Stdout, &whole[..], pieces, pieces + 1),
        (Kind::Answer, &whole[..], pieces, pieces + 1),
        (Kind::Stdout, &[], 1000, 2 * WINDOW + 65),
        (Kind::InputCredit, &[0; 4], 1000, 2 * WINDOW + 65),
    ] {
        assert_eq!(end_of_flood(kind, payload, permitted).error, None, "{kind:?}");
        let why = end_of_flood(kind, payload, too_many).error.unwrap_or_default();
        assert!(why.contains("credit"), "{kind:?}: {why}");
    }
}

#[test]
fn many_programs_run_in_parallel_up_to_a_limit() {
    let channel = Channel::new();
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for number in 0..10 {
            let (channel, sender) = (&channel, sender.clone());
            scope.spawn(move || {
                sender.send((number, channel.shell(&format!("echo {number}")).text())).unwrap();
            });
        }
    });
    drop(sender);
    assert!(results.iter().all(|(number, text)| text == format!("{number}\n")));

    let sleeping: Vec<_> = (0..JOBS).map(|_| channel.start(shell("sleep 300"))).collect();
    let done = channel.shell("true");
    assert!(done.ended.error.is_some_and(|why| why.contains("already running")));
    drop(sleeping);
    wait_until("there is room again", || channel.shell("true").ended.code == Some(0));
}

#[test]
fn a_request_without_a_session_is_answered() {
    let (mut host, server) = server();
    host.write_all(&Frame::new(Kind::Request, 5, 77, b"{}".to_vec()).to_bytes()).unwrap();
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    let count = host.read(&mut buffer).unwrap();
    decoder.push(&buffer[..count]);
    let frame = decoder.next().unwrap();
    assert_eq!((frame.kind, frame.stream, frame.nonce), (Kind::Ended, 5, 77));
    assert_eq!(parse::<Ended>(&frame.payload).unwrap().error.as_deref(), Some(SESSION_OVER));
    drop(host);
    server.join().unwrap().unwrap();
}

#[test]
fn long_and_unknown_requests_are_refused() {
    let channel = Channel::new();
    let refused = |request: &[u8]| finish(&mut channel.client.open(request).unwrap()).ended.error.unwrap();
    assert!(refused(&vec![b' '; 3 << 20]).contains("too long"));
    assert!(refused(br#"{"fly":{}}"#).contains("does not understand"));
}
