//! The host's side of a guest's barrier.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rave_guest::channel::client::Client;
use rave_guest::channel::identity::{ENTROPY, Identity, Receipt};
use rave_guest::channel::message::{Request, Welcome, parse};
use rave_guest::channel::provision::Provision;

use super::key::hexadecimal;

/// How long one attempt waits for a booting guest.
const ATTEMPT: Duration = Duration::from_secs(600);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits in a thread until a booting guest answers.
pub(super) struct Answer {
    from: Receiver<(Client, Welcome)>,
    is_over: Arc<AtomicBool>,
}

impl Answer {
    pub(super) fn wait_on(socket: Utf8PathBuf) -> Self {
        let (to, from) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // The attempt ends when QEMU does, which may be restarted.
                if let Ok(answer) = begin(&socket, ATTEMPT) {
                    let _ = to.send(answer);
                    return;
                }
                thread::sleep(PAUSE);
            }
        });
        Self { from, is_over }
    }

    /// The session, if it has begun.
    pub(super) fn try_session(&self) -> Option<(Client, Welcome)> {
        self.from.try_recv().ok()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Begins a session with a unique nonce.
pub(crate) fn begin(socket: &Utf8Path, limit: Duration) -> io::Result<(Client, Welcome)> {
    let stream = UnixStream::connect(socket)?;
    Client::begin(stream, u64::from_le_bytes(random()?), limit)
}

/// Gives the guest at the other end an identity of its own; returns its receipt. The guest continues only after
/// [`Request::Open`].
pub fn renew(
    client: &Client,
    host_name: &str,
    authorized_keys: &str,
    provision: &Provision,
    limit: Duration,
) -> io::Result<Receipt> {
    let entropy: [u8; ENTROPY] = random()?;
    let id: [u8; 16] = random()?;
    let machine_id = hexadecimal(&id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let identity = Identity {
        entropy: entropy.to_vec(),
        machine_id: machine_id.clone(),
        host_name: host_name.to_owned(),
        time_ms: u64::try_from(now.as_millis()).map_err(io::Error::other)?,
        authorized_keys: authorized_keys.to_owned(),
        provision: provision.clone(),
    };
    let answer = client.ask(&Request::Renew(identity), limit)?;
    let receipt: Option<Receipt> = answer.as_deref().and_then(parse);
    let receipt = receipt.ok_or_else(|| io::Error::other("the guest gave no receipt"))?;
    if receipt.machine_id == machine_id && receipt.host_name == host_name {
        Ok(receipt)
    } else {
        Err(io::Error::other("the guest's receipt is for another machine"))
    }
}

/// Bytes from the system's random generator.
fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_guest::channel::identity::Barrier;
    use rave_guest::channel::server::{Config, Server};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A guest that responds to an identity with this function.
    #[derive(Debug)]
    struct Guest(fn(&Identity) -> Result<Receipt, String>);

    impl Barrier for Guest {
        fn hold(&mut self) -> Result<(), String> {
            Ok(())
        }

        fn renew(&mut self, identity: &Identity) -> Result<Receipt, String> {
            (self.0)(identity)
        }

        fn open(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    fn receipt(machine_id: &str, host_name: &str) -> Receipt {
        Receipt {
            renewed: Vec::new(),
            machine_id: machine_id.to_owned(),
            host_name: host_name.to_owned(),
            host_key: String::new(),
            clock_behind_ms: 0,
            time_ms: 0,
        }
    }

    /// The host's result with that guest.
    fn try_renew(guest: fn(&Identity) -> Result<Receipt, String>, limit: Duration) -> io::Result<Receipt> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            Server::new(Config::new("/nowhere", "agent")).at_barrier(Box::new(Guest(guest))).serve(&theirs)
        });
        let (client, _) = Client::begin(ours, 7, LIMIT)?;
        let renewed = renew(&client, "demo", "key", &Provision::default(), limit);
        client.close();
        renewed
    }

    #[test]
    fn each_clone_has_its_own_identity() {
        let renewed = || try_renew(|it| Ok(receipt(&it.machine_id, &it.host_name)), LIMIT).unwrap();
        let (one, two) = (renewed(), renewed());
        assert!(one.machine_id != two.machine_id && one.machine_id.len() == 32, "{one:?} {two:?}");
        assert_eq!(one.host_name, "demo");
    }

    #[test]
    fn a_wrong_or_missing_receipt_is_refused() {
        let error = |guest, limit| try_renew(guest, limit).unwrap_err();
        let other = error(|it| Ok(receipt("0123", &it.host_name)), LIMIT);
        assert_eq!(other.to_string(), "the guest's receipt is for another machine");
        let unnamed = error(|it| Ok(receipt(&it.machine_id, "rave")), LIMIT);
        assert_eq!(unnamed.to_string(), "the guest's receipt is for another machine");
        assert_eq!(error(|_| Err("no generator".into()), LIMIT).to_string(), "no generator");
        let hangs = error(
            |_| {
                thread::sleep(Duration::from_secs(5));
                Err(String::new())
            },
            Duration::from_millis(50),
        );
        assert_eq!(hangs.kind(), io::ErrorKind::TimedOut);
    }
}
