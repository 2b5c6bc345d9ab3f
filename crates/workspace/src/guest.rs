//! The operations that the workspace needs from a guest: programs with streams.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::thread;

use rave_guest::tree::serve::{SUBCOMMAND, Task};

use crate::error::Error;

/// The size of the streams' buffers, in bytes.
const BUFFER: usize = 256 * 1024;

/// Runs programs in a guest, as its user and in that user's home.
pub trait Guest: Sync {
    /// Runs a program to its end. If it fails, the error is what it printed on standard error.
    fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn Read + Send>>,
        output: &mut (dyn Write + Send),
    ) -> Result<(), String>;
}

/// Runs a task of `rave-guest`, with `feed` writing its input and `take` reading its output at the same time.
pub(crate) fn run_task<F: Send, T>(
    guest: &dyn Guest,
    task: &Task,
    feed: impl FnOnce(&mut dyn Write) -> Result<F, Error> + Send,
    take: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> Result<(F, T), Error> {
    let pipe = || io::pipe().map_err(Error::io("make", "a pipe"));
    let ((input, to_guest), (from_guest, mut output)) = (pipe()?, pipe()?);
    let command: Vec<String> =
        ["rave-guest".to_owned(), SUBCOMMAND.to_owned()].into_iter().chain(task.to_arguments()).collect();
    thread::scope(|scope| {
        let run = scope.spawn(move || guest.run(&command, Some(Box::new(input)), &mut output));
        let feeder = scope.spawn(move || {
            let mut to = BufWriter::with_capacity(BUFFER, to_guest);
            let sent = feed(&mut to);
            let flushed = to.flush();
            sent.and_then(|sent| flushed.map(|()| sent).map_err(Error::io("send to", "the guest")))
        });
        let mut from = BufReader::with_capacity(BUFFER, from_guest);
        let taken = take(&mut from);
        // Do not wait for a guest that is still sending.
        drop(from);
        let (ran, sent) = (joined(run), joined(feeder));
        match (taken, ran, sent) {
            // If one side refuses or fails, it stops reading or writing, and the other side fails too: report the first
            // cause.
            (Err(source), ..) if source.kind() == io::ErrorKind::InvalidData => {
                Err(Error::Refused { why: source.to_string() })
            }
            (_, _, Err(error)) if !is_broken_pipe(&error) => Err(error),
            (_, Err(why), _) => Err(Error::Guest { why }),
            (Err(source), ..) => Err(Error::Refused { why: source.to_string() }),
            (_, _, Err(error)) => Err(error),
            (Ok(taken), Ok(()), Ok(sent)) => Ok((sent, taken)),
        }
    })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}
