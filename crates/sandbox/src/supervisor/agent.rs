//! Serves the user's SSH agent to the guest, for one key at one host: a program in the guest listens on a socket there
//! and relays messages through its standard streams.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rave_audit::Event;
use rave_guest::channel::client::Client;
use rave_guest::channel::frame::{Kind, MAX_PAYLOAD};
use rave_guest::channel::message::{Exec, Request, to_json};
use rave_guest::channel::relay::{Decoder, MOST, Relayed, SOCKET, SUBCOMMAND};

use super::shared::Shared;
use crate::agent::{Agent, Done, Session};
use crate::ssh_agent::Forwarded;

/// How long to wait at a time for a session with the guest.
const WAIT: Duration = Duration::from_secs(1);
/// The pause between two attempts: a guest of an older version lacks the program.
const PAUSE: Duration = Duration::from_secs(2);

/// Serves in its own thread until the machine has ended.
pub(super) fn keep_serving(shared: &Arc<Shared>, forwarded: Forwarded) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        while !shared.has_ended() {
            if let Some(client) = shared.client(WAIT) {
                // This ends with the session, and is repeated with the next.
                let _ = serve(&shared, &client, &forwarded);
                thread::sleep(PAUSE);
            }
        }
    });
}

fn serve(shared: &Shared, client: &Client, forwarded: &Forwarded) -> io::Result<()> {
    let command = ["rave-guest", SUBCOMMAND, SOCKET].map(str::to_owned).to_vec();
    let exec = Exec { command, user: Some("root".into()), ..Exec::default() };
    let mut stream = client.open(&to_json(&Request::Exec(exec)))?;
    let sender = stream.sender();
    let (mut decoder, mut connections) = (Decoder::default(), HashMap::new());
    while let Some(frame) = stream.next() {
        if frame.kind == Kind::Ended {
            return Ok(());
        }
        let count = u32::try_from(frame.payload.len()).map_err(io::Error::other)?;
        if matches!(frame.kind, Kind::Stdout | Kind::Stderr) {
            sender.send(Kind::OutputCredit, &count.to_le_bytes())?;
        }
        if frame.kind != Kind::Stdout {
            continue;
        }
        decoder.push(&frame.payload);
        while let Some(Relayed { connection, message }) = decoder.next_message()? {
            if message.is_empty() {
                connections.remove(&connection);
                continue;
            }
            // A correct guest never exceeds this limit; one that does is not trusted.
            if connections.len() >= MOST && !connections.contains_key(&connection) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let one = connections.entry(connection).or_insert_with(|| Connection::new(forwarded));
            let message = one.answer(shared, forwarded, &message);
            let mut bytes = Vec::new();
            Relayed { connection, message }.write_to(&mut bytes)?;
            // Each connection waits for its answer, so the amount in transit stays within the guest's window.
            bytes.chunks(MAX_PAYLOAD).try_for_each(|piece| sender.send(Kind::Stdin, piece))?;
        }
    }
    Ok(())
}

/// A connection of the guest, and the corresponding connection to the agent.
struct Connection {
    session: Session,
    agent: Result<Agent, String>,
}

impl Connection {
    fn new(forwarded: &Forwarded) -> Self {
        Self { session: Session::default(), agent: Agent::of_environment(&forwarded.host) }
    }

    /// The answer to a message. The outcome is recorded.
    fn answer(&mut self, shared: &Shared, forwarded: &Forwarded, message: &[u8]) -> Vec<u8> {
        let answer = self.session.answer(&forwarded.key, message, &mut self.agent);
        let host = forwarded.host.clone();
        match answer.done {
            Done::Nothing => {}
            Done::Signed => shared.record(Event::Signed { key: forwarded.name.clone(), to: host }),
            Done::Refused(rule) => {
                shared.record(Event::Denied { what: "ssh-agent".into(), to: host, rule });
            }
        }
        answer.message
    }
}
