//! Runs a program for a command: passes frames between the command's connection and the guest's channel. The amount in
//! transit is bounded by the credit that the command gives.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rave_audit::Event;
use rave_guest::channel::TIMEOUT_GRACE_MS;
use rave_guest::channel::client::{Client, Stream, StreamSender};
use rave_guest::channel::frame::{Decoder, Frame, Kind};
use rave_guest::channel::message::{Ended, Exec, Request, SESSION_OVER, parse, to_json};
use rustix::net::{RecvFlags, recv};

use super::shared::Shared;
use crate::control::{Answer, write_line};

/// How long a command waits for a booting guest.
const GUEST: Duration = Duration::from_secs(600);
/// How long after its time limit and the grace period a program may be waited for: the guest enforces both, unless it hangs.
const LATE: Duration = Duration::from_secs(5);
/// How often to check whether the command is still there.
const CHECK: Duration = Duration::from_millis(500);
/// How often to send a request if the guest's server was restarted in the meantime.
const ATTEMPTS: u32 = 3;
/// The stream and the session in the frames of a command's own connection, which has one of each.
const STREAM: u32 = 1;
const NONCE: u64 = 0;

pub(super) fn run(shared: &Shared, mut command: UnixStream, exec: Exec) -> io::Result<()> {
    let program = exec.command.first().map_or("a login shell", String::as_str).to_owned();
    let (arguments, user) = (exec.command.len().saturating_sub(1), exec.user.clone());
    let limit =
        exec.timeout_ms.map(|limit| Duration::from_millis(limit.saturating_add(TIMEOUT_GRACE_MS)) + LATE);
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let request = to_json(&Request::Exec(exec));
    let Some(opened) = open(shared, &request, &command, deadline) else {
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
        next = next_before(&mut stream, deadline);
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

/// The next frame; at the deadline, the end of a program that the guest did not end.
fn next_before(stream: &mut Stream, deadline: Option<Instant>) -> Option<Frame> {
    let Some(deadline) = deadline else { return stream.next() };
    match stream.next_within(deadline.saturating_duration_since(Instant::now())) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let ended = Ended { timed_out: true, ..Ended::default() };
            Some(Frame::new(Kind::Ended, STREAM, NONCE, to_json(&ended)))
        }
        frame => frame.ok(),
    }
}

/// Whether the command has closed its connection: nothing must be started for it any more.
fn is_gone(command: &UnixStream) -> bool {
    let mut byte = [0];
    matches!(recv(command, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((0, _)))
}

/// Opens a stream and waits for its first frame, as long as the command is there and until the deadline.
fn open(
    shared: &Shared,
    request: &[u8],
    command: &UnixStream,
    deadline: Option<Instant>,
) -> Option<(Stream, Frame)> {
    let booted = Instant::now() + GUEST;
    let may_wait = || {
        !is_gone(command) && deadline.is_none_or(|deadline| Instant::now() < deadline) && !shared.has_ended()
    };
    for _ in 0..ATTEMPTS {
        let client: Client = loop {
            if !may_wait() || Instant::now() >= booted {
                return None;
            }
            if let Some(client) = shared.client(CHECK) {
                break client;
            }
        };
        let Ok(mut stream) = client.open(request) else { continue };
        let frame = loop {
            match stream.next_within(CHECK) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if !may_wait() {
                        return None;
                    }
                }
                frame => break frame,
            }
        };
        let Ok(frame) = frame else { continue };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_gone_once_its_end_is_closed() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert!(!is_gone(&ours));
        theirs.write_all(b"x").unwrap();
        assert!(!is_gone(&ours), "unread data is no end");
        let mut byte = [0];
        (&ours).read_exact(&mut byte).unwrap();
        drop(theirs);
        assert!(is_gone(&ours));
    }
}
