//! `rave-guest ssh-agent`: a socket in the guest whose messages the host answers. The guest does not have the key.

use crate::error::Error;
use crate::files::{self, failed};
use rave_guest::channel::relay::{Decoder, LONGEST, MOST, Relayed};
use rave_guest::config::GuestConfig;
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// State that the threads of connections share.
struct Shared<W> {
    to_host: Mutex<W>,
    /// Connections that wait for an answer.
    waiting: Mutex<HashMap<u32, Sender<Vec<u8>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until the host closes the program's input.
pub(crate) fn run(config: &GuestConfig, socket: &Path) -> Result<(), Error> {
    let _ = fs::remove_file(socket); // left over from an earlier one
    let listener = UnixListener::bind(socket).map_err(failed("listen on", socket))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))
        .map_err(failed("set the mode of", socket))?;
    files::chown_to(socket, Some(files::owner(Path::new(&config.home))?))?;
    serve(listener, io::stdin(), io::stdout()).map_err(failed("serve", socket))
}

fn serve<W: Write + Send + 'static>(
    listener: UnixListener,
    mut from_host: impl Read,
    to_host: W,
) -> io::Result<()> {
    let shared = Arc::new(Shared { to_host: Mutex::new(to_host), waiting: Mutex::default() });
    let for_connections = Arc::clone(&shared);
    thread::spawn(move || {
        let numbered = (0..=u32::MAX).cycle().zip(listener.incoming().flatten());
        for (connection, stream) in numbered {
            let shared = Arc::clone(&for_connections);
            // Before the next connection, so that the limit counts this one.
            let (sender, replies) = channel();
            let mut waiting = lock(&shared.waiting);
            if waiting.len() >= MOST {
                continue;
            }
            waiting.insert(connection, sender);
            drop(waiting);
            thread::spawn(move || {
                // Any error only ends this connection.
                let _ = relay(&shared, connection, stream, &replies);
                lock(&shared.waiting).remove(&connection);
                let _ = Relayed { connection, message: Vec::new() }.write_to(&mut *lock(&shared.to_host));
            });
        }
    });
    let (mut decoder, mut bytes) = (Decoder::default(), vec![0; 16 * 1024]);
    loop {
        let count = from_host.read(&mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(&bytes[..count]);
        while let Some(answer) = decoder.next_message()? {
            if let Some(sender) = lock(&shared.waiting).get(&answer.connection) {
                let _ = sender.send(answer.message);
            }
        }
    }
}

fn relay<W: Write>(
    shared: &Shared<W>,
    connection: u32,
    mut stream: UnixStream,
    replies: &std::sync::mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if !(1..=LONGEST).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; length as usize];
        stream.read_exact(&mut message)?;
        Relayed { connection, message }.write_to(&mut *lock(&shared.to_host))?;
        let answer = replies.recv().map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let length = u32::try_from(answer.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_goes_only_to_the_connection_that_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let ((ours, from_host), (to_host, mut theirs)) =
            (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        let server = thread::spawn(move || serve(listener, from_host, to_host));
        let ask = |text: &str| {
            let mut stream = UnixStream::connect(&path).unwrap();
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, text.as_bytes()].concat()).unwrap();
            stream
        };
        let mut next = {
            let mut decoder = Decoder::default();
            move || loop {
                if let Some(message) = decoder.next_message().unwrap() {
                    return message;
                }
                let mut bytes = [0; 100];
                let count = theirs.read(&mut bytes).unwrap();
                decoder.push(&bytes[..count]);
            }
        };
        let (mut one, mut two) = (ask("one"), ask("two"));
        // The later one is answered first.
        let asked = [next(), next()];
        assert_ne!(asked[0].connection, asked[1].connection);
        for Relayed { connection, message } in asked.iter().rev() {
            let message = [message, &b"!"[..]].concat();
            Relayed { connection: *connection, message }.write_to(&mut &ours).unwrap();
        }
        for (stream, expected) in [(&mut one, "one!"), (&mut two, "two!")] {
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [&[0, 0, 0, 4][..], expected.as_bytes()].concat()[..]);
        }
        drop(one);
        assert!(next().message.is_empty(), "its end is told");
        // Longer than a message may be.
        two.write_all(&[0xff; 4]).unwrap();
        assert!(next().message.is_empty());
        drop(ours);
        server.join().unwrap().unwrap();
    }
}
