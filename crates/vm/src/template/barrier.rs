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

/// How long one attempt waits for a guest that boots.
const ATTEMPT: Duration = Duration::from_secs(600);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits in a thread for a guest that boots to answer.
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
                // It ends when QEMU does, which may be started again.
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
    pub(super) fn look(&self) -> Option<(Client, Welcome)> {
        self.from.try_recv().ok()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Begins a session with a nonce that no other had.
pub(crate) fn begin(socket: &Utf8Path, limit: Duration) -> io::Result<(Client, Welcome)> {
    let stream = UnixStream::connect(socket)?;
    Client::begin(stream, u64::from_le_bytes(random()?), limit)
}

/// Gives the guest at the other end an identity of its own; what it made of it. It is let on only by
/// [`Request::Open`].
pub fn renew(
    client: &Client,
    host_name: &str,
    authorized_keys: &str,
    limit: Duration,
) -> io::Result<Receipt> {
    let entropy: [u8; ENTROPY] = random()?;
    let id: [u8; 16] = random()?;
    let machine_id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let identity = Identity {
        entropy: entropy.to_vec(),
        machine_id: machine_id.clone(),
        host_name: host_name.to_owned(),
        time_ms: u64::try_from(now.as_millis()).map_err(io::Error::other)?,
        authorized_keys: authorized_keys.to_owned(),
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

/// Bytes of the system's generator.
fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
