//! Runs a program for a command: passes frames between the command's connection and the guest's channel. The amount in
//! transit is bounded by the credit that the command gives.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rave_audit::Event;
use rave_guest::channel::client::{Client, Stream, StreamSender};
use rave_guest::channel::frame::{Decoder, Frame, Kind};
use rave_guest::channel::message::{Ended, Exec, Request, SESSION_OVER, parse, to_json};

use super::shared::Shared;
use crate::control::{Answer, write_line};

/// How long a command waits for a booting guest.
const GUEST: Duration = Duration::from_secs(600);
/// How often to send a request if the guest's server was restarted in the meantime.
const ATTEMPTS: u32 = 3;
/// The stream and the session in the frames of a command's own connection, which has one of each.
const STREAM: u32 = 1;
const NONCE: u64 = 0;

pub(super) fn run(shared: &Shared, mut command: UnixStream, exec: Exec) -> io::Result<()> {
    let program = exec.command.first().map_or("a login shell", String::as_str).to_owned();
    let (arguments, user) = (exec.command.len().saturating_sub(1), exec.user.clone());
    let request = to_json(&Request::Exec(exec));
    let Some(opened) = open(shared, &request) else {
        return write_line(&mut command, &Answer::Refused { why: "the guest does not run programs".into() });
    };
    let (mut stream, first) = opened;
    let _running = shared.program();
    shared.record(Event::Exec { program: program.clone(), arguments, user });
    let input = Arc::new(AtomicU64::new(0));
    let mut ending = Ending { shared, program, code: None, sent: 0, input: Arc::clone(&input) };
    write_line(&mut command, &Answer::Exec)?;
    let (from, to) = (command.try_clone()?, stream.sender());
    let pump = thread::Builder::new().name("input".into()).spawn(move || take(from, &to, &input))?;
    let mut next = Some(first);
    while let Some(frame) = next {
        let is_last = frame.kind == Kind::Ended;
        ending.see(&frame);
        let frame = Frame { stream: STREAM, nonce: NONCE, ..frame };
        // If the command is gone, the stream is dropped, and the guest kills what it started.
        command.write_all(&frame.to_bytes())?;
        if is_last {
            break;
        }
        next = stream.next();
    }
    drop(stream);
    let _ = command.shutdown(Shutdown::Both);
    let _ = pump.join();
    Ok(())
}

/// Records the end of a program, in whatever way it ends.
struct Ending<'a> {
    shared: &'a Shared,
    program: String,
    code: Option<u8>,
    sent: u64,
    input: Arc<AtomicU64>,
}

impl Ending<'_> {
    fn see(&mut self, frame: &Frame) {
        match frame.kind {
            Kind::Stdout | Kind::Stderr => self.sent += frame.payload.len() as u64,
            Kind::Ended => self.code = parse::<Ended>(&frame.payload).map(|ended| ended.shell_code()),
            _ => {}
        }
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let (program, code, sent) = (std::mem::take(&mut self.program), self.code, self.sent);
        let received = self.input.load(Ordering::Relaxed);
        self.shared.record(Event::ExecEnded { program, code, sent, received });
    }
}

/// Opens a stream and waits for its first frame.
fn open(shared: &Shared, request: &[u8]) -> Option<(Stream, Frame)> {
    for _ in 0..ATTEMPTS {
        let client: Client = shared.client(GUEST)?;
        let Ok(mut stream) = client.open(request) else { continue };
        let Some(frame) = stream.next() else { continue };
        let over = frame.kind == Kind::Ended
            && parse::<Ended>(&frame.payload)
                .is_some_and(|ended| ended.error.as_deref() == Some(SESSION_OVER));
        if !over {
            return Some((stream, frame));
        }
        client.close();
    }
    None
}

/// Passes the command's frames to the guest until the command is gone; then the program is abandoned.
fn take(mut command: UnixStream, to: &StreamSender, input: &AtomicU64) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = command.read(&mut buffer) {
        decoder.push(&buffer[..count]);
        while let Some(frame) = decoder.next() {
            let is_ours = matches!(
                frame.kind,
                Kind::Stdin | Kind::StdinEnd | Kind::OutputCredit | Kind::Signal | Kind::Resize
            );
            if frame.kind == Kind::Stdin {
                input.fetch_add(frame.payload.len() as u64, Ordering::Relaxed);
            }
            if is_ours && to.send(frame.kind, &frame.payload).is_err() {
                break;
            }
        }
    }
    let _ = to.send(Kind::Abandon, &[]);
}
