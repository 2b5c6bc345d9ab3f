//! A small synchronous client of QEMU's control socket (QMP).

mod files;
mod message;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

pub use files::FileSet;
pub use message::{Message, QmpEvent};

use crate::Error;
use crate::error::QmpFault;

/// How long an answer on the control socket may take.
pub(crate) const QMP_DEADLINE: Duration = Duration::from_secs(10);

/// A longer line is not an answer to any command used here, bytes.
const LINE_LIMIT: usize = 4 * 1024 * 1024;
/// The number of reads for which events are taken without a pause: 1 MiB. A QEMU that a guest has taken over may send
/// more than can be read.
const READS: u32 = 256;
/// The number of events that are kept while an answer is awaited.
const MOST_EVENTS: usize = 10_000;

/// A connection to one QEMU. QEMU serves one client at a time: others wait until it is dropped.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    socket: Utf8PathBuf,
    /// Bytes after the last whole line.
    partial: Vec<u8>,
    messages: VecDeque<Message>,
    /// Received while waiting for an answer.
    events: VecDeque<QmpEvent>,
    next_id: u64,
    closed: bool,
}

impl Client {
    /// Connects and negotiates capabilities. The socket must already exist.
    pub fn connect(socket: &Utf8Path, limit: Duration) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket).map_err(|e| qmp(socket, "connect", &e))?;
        let mut client = Self {
            stream,
            socket: socket.to_owned(),
            partial: Vec::new(),
            messages: VecDeque::new(),
            events: VecDeque::new(),
            next_id: 0,
            closed: false,
        };
        let deadline = Instant::now() + limit;
        loop {
            match client.next(deadline, "greeting")? {
                Message::Greeting => break,
                Message::Event(event) => client.events.push_back(event),
                other => {
                    let why = format!("got {other:?} instead");
                    return Err(client.error("greeting", why, QmpFault::Refused));
                }
            }
        }
        client.execute("qmp_capabilities", Value::Null, limit)?;
        Ok(client)
    }

    /// Runs a command and waits for its result. `arguments` is an object, or `Value::Null` for none.
    pub fn execute(&mut self, command: &str, arguments: Value, limit: Duration) -> Result<Value, Error> {
        self.execute_with(command, arguments, None, limit)
    }

    /// The same, passing a file along.
    fn execute_with(
        &mut self,
        command: &str,
        arguments: Value,
        file: Option<&File>,
        limit: Duration,
    ) -> Result<Value, Error> {
        let id = self.next_id;
        self.next_id += 1;
        let deadline = Instant::now() + limit;
        self.write(&message::command(command, arguments, id), file, deadline)
            .map_err(|e| qmp(&self.socket, command, &e))?;
        loop {
            match self.next(deadline, command)? {
                Message::Return { id: of, value } if of == Some(id) => return Ok(value),
                // The error for a line that QEMU could not parse has no number: it is for the command just sent.
                Message::Failure { id: of, description } if of.is_none_or(|of| of == id) => {
                    return Err(self.error(command, description, QmpFault::Refused));
                }
                Message::Event(_) if self.events.len() >= MOST_EVENTS => {
                    self.closed = true;
                    return Err(self.error(command, "QEMU sends events without end".into(), QmpFault::Lost));
                }
                Message::Event(event) => self.events.push_back(event),
                // The answer to a command that timed out.
                Message::Return { .. } | Message::Failure { .. } | Message::Greeting => {}
            }
        }
    }

    /// Passes QEMU descriptors of one file, one per access mode. It keeps them until [`Client::take_back`], and what it
    /// has opened through them until it closes it.
    pub fn give(&mut self, files: &[&File], limit: Duration) -> Result<FileSet, Error> {
        let mut set = None;
        for &file in files {
            let arguments = set.map_or(json!({}), |FileSet(id)| json!({ "fdset-id": id }));
            let answer = self.execute_with("add-fd", arguments, Some(file), limit)?;
            let id = answer["fdset-id"].as_u64();
            set = Some(FileSet(id.ok_or_else(|| {
                self.error("add-fd", "QEMU returned no fdset-id".into(), QmpFault::Refused)
            })?));
        }
        set.ok_or_else(|| self.error("add-fd", "no file to pass".into(), QmpFault::Refused))
    }

    /// Prevents QEMU from opening them again.
    pub fn take_back(&mut self, FileSet(id): FileSet, limit: Duration) -> Result<(), Error> {
        self.execute("remove-fd", json!({ "fdset-id": id }), limit).map(drop)
    }

    /// The events that have arrived, oldest first, without waiting. A closed connection yields no more events.
    pub fn events(&mut self) -> Vec<QmpEvent> {
        for _ in 0..READS {
            if self.closed {
                break;
            }
            match self.receive(Duration::ZERO) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        while let Some(message) = self.messages.pop_front() {
            if let Message::Event(event) = message {
                self.events.push_back(event);
            }
        }
        self.events.drain(..).collect()
    }

    fn write(&mut self, bytes: &[u8], file: Option<&File>, deadline: Instant) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(remaining(deadline)))?;
        let sent = file.map_or(Ok(0), |file| files::send(&self.stream, bytes, file))?;
        self.stream.write_all(&bytes[sent..])
    }

    fn next(&mut self, deadline: Instant, doing: &str) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.messages.pop_front() {
                return Ok(message);
            }
            if self.closed {
                return Err(self.error(doing, "QEMU closed the connection".into(), QmpFault::Lost));
            }
            let more = self.receive(remaining(deadline)).map_err(|e| qmp(&self.socket, doing, &e))?;
            if !more && Instant::now() >= deadline {
                return Err(self.error(doing, "no answer in time".into(), QmpFault::Silent));
            }
        }
    }

    /// Reads once, waiting at most `limit`; returns whether anything arrived.
    fn receive(&mut self, limit: Duration) -> io::Result<bool> {
        self.stream.set_nonblocking(limit.is_zero())?;
        if !limit.is_zero() {
            self.stream.set_read_timeout(Some(limit))?;
        }
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.closed = true;
                Ok(false)
            }
            Ok(count) => {
                self.take(&buffer[..count])?;
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => Ok(false),
                io::ErrorKind::ConnectionReset => {
                    self.closed = true;
                    Ok(false)
                }
                _ => Err(error),
            },
        }
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.partial.extend_from_slice(bytes);
        while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            self.messages.extend(Message::parse(&line));
        }
        if self.partial.len() > LINE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an endless line"));
        }
        Ok(())
    }

    fn error(&self, doing: &str, why: String, fault: QmpFault) -> Error {
        Error::Qmp { doing: doing.to_owned(), why, socket: self.socket.clone(), fault }
    }
}

fn qmp(socket: &Utf8Path, doing: &str, error: &io::Error) -> Error {
    let fault = QmpFault::Lost;
    Error::Qmp { doing: doing.to_owned(), why: error.to_string(), socket: socket.to_owned(), fault }
}

/// At least a millisecond: a timeout of zero would mean no timeout.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

#[cfg(test)]
pub(crate) mod tests;
