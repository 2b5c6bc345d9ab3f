//! The session with the guest: begun as soon as the guest serves, and again after a reboot inside.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::channel::client::Client;

use super::first;
use super::shared::Shared;

/// How long one attempt waits for the guest's answer. It takes what was sent once it serves, so that long is fine.
const ATTEMPT: Duration = Duration::from_secs(600);
/// Between two looks at a session, and between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps a session in a thread of its own until the machine has ended; the first is that in which a clone got its identity.
pub(super) fn keep_session(shared: &Arc<Shared>, socket: Utf8PathBuf, mut first: Option<Client>) {
    let shared = Arc::clone(shared);
    // Before anybody is answered.
    shared.session(first.clone());
    thread::spawn(move || {
        while !shared.has_ended() {
            if let Some(client) = first.take().or_else(|| begin(&socket)) {
                // Before programs: one that does not take it is of an older version, and runs them without.
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
    // It has its identity, or it would not run; whoever gave it that was killed before it let the guest on.
    (!welcome.at_barrier || first::open(&client)).then_some(client)
}

/// One that no session had: what an earlier one left is told apart by it.
fn nonce() -> io::Result<u64> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
