//! Answers commands, with a thread for each connection.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::exec;
use super::shared::{Shared, StopRequest};
use crate::control::{ANSWER, Answer, EndKind, Order, read_line, write_line};
use crate::network::Change;

/// The maximum number of connections. The commands of one user use fewer.
const MOST: usize = 256;
/// The number of files that may be open: a guest may have 448 connections, of which 256 are inspected with four files each.
const FILES: u64 = 4096;
/// The pause after an accept(2) that failed, since the cause, such as too many open files, persists.
const PAUSE: Duration = Duration::from_millis(100);
/// How much longer than the grace period an end may take.
const END: Duration = Duration::from_secs(30);

/// Serves in threads until the process ends.
pub(super) fn start(listener: UnixListener, shared: Arc<Shared>) -> io::Result<()> {
    raise_limit();
    let open = Arc::new(AtomicUsize::new(0));
    thread::Builder::new().name("control".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                thread::sleep(PAUSE);
                continue;
            };
            if open.load(Ordering::Relaxed) >= MOST {
                continue; // closed, which the client notices
            }
            let (shared, counted) = (Arc::clone(&shared), Counted::new(&open));
            let serve = move || {
                let _counted = counted;
                // A command that is gone needs no answer.
                let _ = answer(&shared, stream);
            };
            // If the thread cannot be started, the connection is closed.
            let _ = thread::Builder::new().name("command".into()).spawn(serve);
        }
    })?;
    Ok(())
}

/// A connection that counts as open until this is dropped: even if its thread cannot be started, or panics.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Raises the limit of open files (getrlimit(2)): the connections of a guest must leave some for the user's commands.
fn raise_limit() {
    let files = getrlimit(Resource::Nofile);
    let wanted = files.maximum.map_or(FILES, |most| most.min(FILES));
    if files.current.is_some_and(|now| now < wanted) {
        // Without it only a guest that opens every connection it can is in the way.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..files });
    }
}

/// Provides the guest with the results of a change; a guest that is still booting gets them with its first session.
fn provide(shared: &Shared, change: &Change) -> Result<(), String> {
    if change.is_empty() {
        return Ok(());
    }
    shared.client(Duration::ZERO).map_or(Ok(()), |client| shared.provide(&client))
}

fn answer(shared: &Shared, mut stream: UnixStream) -> io::Result<()> {
    loop {
        stream.set_read_timeout(Some(ANSWER))?;
        let answer = match read_line(&stream)? {
            Order::Status => Answer::Status(Box::new(shared.status())),
            Order::Stop { grace_ms, fetched } => {
                let grace = Duration::from_millis(grace_ms);
                shared.stop(StopRequest { grace, fetched });
                let report = |how: Option<EndKind>| {
                    let refused = || Answer::Refused { why: "QEMU did not end".into() };
                    write_line(&mut stream, &how.map_or_else(refused, |how| Answer::Stopped { how }))
                };
                shared.report_end(grace.saturating_add(END), report)?;
                continue;
            }
            Order::Freeze { folder } => {
                stream.set_read_timeout(None)?;
                let frozen = shared.freeze(folder);
                // A change meanwhile could not be sent to the held guest.
                if let Some(client) = shared.client(Duration::ZERO) {
                    let _ = shared.provide(&client);
                }
                match frozen {
                    Ok(paused) => {
                        Answer::Frozen { stood_ms: u64::try_from(paused.as_millis()).unwrap_or(u64::MAX) }
                    }
                    Err(why) => Answer::Refused { why },
                }
            }
            Order::Network(change) => match shared.network().change(&change) {
                Ok(status) => match provide(shared, &change) {
                    Ok(()) => Answer::Network(Box::new(status)),
                    Err(why) => Answer::Refused { why },
                },
                Err(why) => Answer::Refused { why },
            },
            Order::Note(event) => {
                shared.record(*event);
                Answer::Noted
            }
            Order::Record => {
                shared.network().recorder.flush();
                Answer::Noted
            }
            Order::Exec(exec) => {
                stream.set_read_timeout(None)?;
                return exec::run(shared, stream, *exec);
            }
        };
        write_line(&mut stream, &answer)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_until_its_thread_has_ended_in_any_way() {
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Counted::new(&open);
        assert_eq!(open.load(Ordering::Relaxed), 1);
        let thread = thread::spawn(move || {
            let _counted = counted;
            std::panic::resume_unwind(Box::new("a thread that panics"));
        });
        assert!(thread.join().is_err());
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
