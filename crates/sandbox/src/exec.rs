//! Runs a program in the guest with a command's own streams, as if it ran on the host.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rave_guest::channel::WINDOW;
use rave_guest::channel::frame::{Decoder, Frame, Kind, MAX_PAYLOAD};
use rave_guest::channel::message::{Ended, Exec, parse};

use crate::control::{Answer, Connection, Order};
use crate::error::Error;

/// How often to check for signals and changes of the terminal's size while no data arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// signal(7).
const SIGPIPE: i32 = 13;
/// Credit is returned in portions of this size.
const CREDIT: u32 = WINDOW / 4;

/// An event on the command's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostEvent {
    /// A signal for the program, signal(7).
    Signal(i32),
    /// The terminal was resized: rows, columns.
    Resize(u16, u16),
}

/// The command's streams.
pub struct Streams<'a> {
    /// Standard input; `None` closes the program's standard input at once.
    pub stdin: Option<Box<dyn Read + Send>>,
    /// Standard output.
    pub stdout: &'a mut dyn Write,
    /// Standard error.
    pub stderr: &'a mut dyn Write,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running(Connection);

/// Runs a program and copies its streams until it has ended.
pub fn run(
    connection: Connection,
    exec: Exec,
    streams: Streams<'_>,
    events: &mut dyn FnMut() -> Vec<HostEvent>,
) -> Result<Ended, Error> {
    match start(connection, exec, events)? {
        Ok(running) => running.attach(streams, events),
        Err(ended) => Ok(ended),
    }
}

/// Starts a program, once the guest can. `events` is polled: a signal ends the wait, as it would end the program.
pub fn start(
    mut connection: Connection,
    exec: Exec,
    events: &mut dyn FnMut() -> Vec<HostEvent>,
) -> Result<Result<Running, Ended>, Error> {
    let mut signal = None;
    let mut may_wait = || {
        signal = events().into_iter().find_map(|event| match event {
            HostEvent::Signal(number) => Some(number),
            HostEvent::Resize(..) => None,
        });
        signal.is_none()
    };
    match connection.order_while(&Order::Exec(Box::new(exec)), &mut may_wait) {
        Ok(Answer::Exec) => Ok(Ok(Running(connection))),
        Ok(other) => Err(connection.unexpected(&other)),
        Err(_) if signal.is_some() => Ok(Err(Ended { signal, ..Ended::default() })),
        Err(error) => Err(error),
    }
}

impl Running {
    /// Copies its streams until it has ended. `events` is polled. If one of our output streams fails, the program is
    /// killed.
    pub fn attach(
        self,
        streams: Streams<'_>,
        events: &mut dyn FnMut() -> Vec<HostEvent>,
    ) -> Result<Ended, Error> {
        let Self(connection) = self;
        match pump(&connection.stream, streams, events) {
            Ok(ended) => Ok(ended),
            // As for a program whose own output is a closed pipe.
            Err(Broken::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Ok(Ended { signal: Some(SIGPIPE), ..Ended::default() })
            }
            Err(Broken::Output(source)) => Err(Error::Output { source }),
            Err(Broken::Connection(source)) => {
                Err(Error::Supervisor { name: connection.name().clone(), source })
            }
        }
    }
}

/// What failed while streams were copied.
enum Broken {
    /// Our standard output or error.
    Output(io::Error),
    /// The connection to the supervisor.
    Connection(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

fn pump(
    stream: &UnixStream,
    mut streams: Streams<'_>,
    events: &mut dyn FnMut() -> Vec<HostEvent>,
) -> Result<Ended, Broken> {
    stream.set_read_timeout(Some(POLL_INTERVAL))?;
    let to = Writer(Arc::new(Mutex::new(stream.try_clone()?)));
    let (credit, credits) = channel();
    feed(&to, streams.stdin.take(), credits)?;
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut owed = 0;
    loop {
        for event in events() {
            to.event(event)?;
        }
        while let Some(frame) = decoder.next() {
            if let Some(ended) = take(&frame, &mut streams, &credit).map_err(Broken::Output)? {
                return Ok(ended);
            }
            if matches!(frame.kind, Kind::Stdout | Kind::Stderr) {
                owed += u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
            }
            if owed >= CREDIT {
                match to.send(Kind::OutputCredit, &owed.to_le_bytes()) {
                    // The supervisor will send no more, but what it has sent must still be read; reading then reaches
                    // the end.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    other => other?,
                }
                owed = 0;
            }
        }
        match (&*stream).read(&mut buffer) {
            Ok(0) => return Ok(Ended::failed("the connection to the guest has ended")),
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                io::ErrorKind::ConnectionReset => {
                    return Ok(Ended::failed("the connection to the guest has ended"));
                }
                _ => return Err(error.into()),
            },
        }
    }
}

/// Handles a frame from the guest; the last frame returns how the program ended.
fn take(frame: &Frame, streams: &mut Streams<'_>, credit: &Sender<u32>) -> io::Result<Option<Ended>> {
    match frame.kind {
        Kind::Stdout => {
            streams.stdout.write_all(&frame.payload)?;
            streams.stdout.flush()?;
        }
        Kind::Stderr => {
            streams.stderr.write_all(&frame.payload)?;
            streams.stderr.flush()?;
        }
        // A feeder that has finished needs no more credit.
        Kind::InputCredit => drop(credit.send(frame.number().unwrap_or_default())),
        Kind::Ended => {
            let unknown = || Ended::failed("the guest did not report how the program ended");
            return Ok(Some(parse(&frame.payload).unwrap_or_else(unknown)));
        }
        _ => {}
    }
    Ok(None)
}

/// Sends input in its own thread; if the input never ends, the thread ends with the process.
fn feed(to: &Writer, stdin: Option<Box<dyn Read + Send>>, credits: Receiver<u32>) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return to.send(Kind::StdinEnd, &[]) };
    let to = to.clone();
    thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut buffer = vec![0; MAX_PAYLOAD];
        let mut credit = WINDOW;
        loop {
            while credit == 0 {
                let Ok(more) = credits.recv() else { return };
                credit = credit.saturating_add(more);
            }
            credit = credits.try_iter().fold(credit, u32::saturating_add);
            let most = buffer.len().min(credit as usize);
            match stdin.read(&mut buffer[..most]) {
                Ok(0) => break,
                Ok(count) => {
                    credit -= u32::try_from(count).unwrap_or(credit);
                    if to.send(Kind::Stdin, &buffer[..count]).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = to.send(Kind::StdinEnd, &[]);
    })?;
    Ok(())
}

#[derive(Clone)]
struct Writer(Arc<Mutex<UnixStream>>);

impl Writer {
    fn send(&self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let bytes = Frame::new(kind, 1, 0, payload).to_bytes();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }

    fn event(&self, event: HostEvent) -> io::Result<()> {
        match event {
            HostEvent::Signal(number) => self.send(Kind::Signal, &number.to_le_bytes()),
            HostEvent::Resize(rows, columns) => {
                let size = [rows.to_le_bytes(), columns.to_le_bytes()].concat();
                self.send(Kind::Resize, &size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::write_line;
    use crate::name::SandboxName;
    use crate::place::Place;

    fn connection() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let name: SandboxName = "demo".parse().unwrap();
        (Connection::of(ours, Place::new("/nonexistent".into(), name)), theirs)
    }

    #[test]
    fn a_signal_ends_the_wait_for_a_guest_that_does_not_answer() {
        let (connection, _supervisor) = connection();
        let mut polls = 0;
        let mut events = || {
            polls += 1;
            if polls < 3 { vec![HostEvent::Resize(1, 1)] } else { vec![HostEvent::Signal(2)] }
        };
        let ended = start(connection, Exec::default(), &mut events).unwrap().unwrap_err();
        assert_eq!(ended.shell_code(), 130);
    }

    /// A standard output that fails.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output_to(kind: io::ErrorKind) -> Result<Ended, Error> {
        let (connection, mut supervisor) = connection();
        write_line(&mut supervisor, &Answer::Exec).unwrap();
        supervisor.write_all(&Frame::new(Kind::Stdout, 1, 0, *b"text").to_bytes()).unwrap();
        let (mut stdout, mut stderr) = (Failing(kind), io::sink());
        let streams = Streams { stdin: None, stdout: &mut stdout, stderr: &mut stderr };
        run(connection, Exec::default(), streams, &mut Vec::new)
    }

    #[test]
    fn a_closed_pipe_ends_the_program_and_another_failure_is_named() {
        assert_eq!(output_to(io::ErrorKind::BrokenPipe).unwrap().shell_code(), 141);
        let error = output_to(io::ErrorKind::StorageFull).unwrap_err().to_string();
        assert!(error.starts_with("could not write the program's output"), "{error}");
    }
}
