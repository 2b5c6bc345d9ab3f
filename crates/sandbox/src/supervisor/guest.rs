//! The session with the guest: begun as soon as the guest responds, and again after a reboot inside the guest.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::channel::client::Client;

use super::first;
use super::shared::Shared;

/// How long one attempt waits for the guest's answer. It may be long: the guest reads earlier requests once it is up.
const ATTEMPT: Duration = Duration::from_secs(600);
/// The pause between two checks of a session, and between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps a session in its own thread until the machine has ended; the first is the one in which a clone got its
/// identity.
pub(super) fn keep_session(shared: &Arc<Shared>, socket: Utf8PathBuf, mut first: Option<Client>) {
    let shared = Arc::clone(shared);
    // Before any command is answered.
    shared.session(first.clone());
    thread::spawn(move || {
        while !shared.has_ended() {
            if let Some(client) = first.take().or_else(|| begin(&socket)) {
                // Before programs: if the guest does not accept it, it is of an older version, and runs them without.
                let _ = shared.provide(&client);
                shared.session(Some(client.clone()));
                while !client.has_ended() {
                    thread::sleep(PAUSE);
                }
                shared.session(None);
            }
            thread::sleep(PAUSE);
        }
    });
}

fn begin(socket: &Utf8Path) -> Option<Client> {
    let stream = UnixStream::connect(socket).ok()?;
    let (client, welcome) = Client::begin(stream, nonce().ok()?, ATTEMPT).ok()?;
    // The guest has its identity, or the machine would have been ended; the supervisor that gave it was killed before
    // it let the guest continue.
    (!welcome.at_barrier || first::open(&client)).then_some(client)
}

/// A unique nonce, which distinguishes the session from what an earlier one left behind.
fn nonce() -> io::Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
