//! Reads a line from the terminal without echo.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use rave_process::interrupt;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The controlling terminal, tty(4), wherever the streams lead.
const TERMINAL: &str = "/dev/tty";

/// How often Ctrl-C is checked.
const PAUSE: Duration = Duration::from_millis(100);

/// Restores the echo, however the wait ends.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks on the terminal.
pub(super) fn ask(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = File::options().read(true).write(true).open(TERMINAL)?;
    let mut quiet = Quiet::new(terminal)?;
    write!(quiet.terminal, "{question}: ")?;
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    loop {
        interrupt::check().map_err(|_| io::Error::from(io::ErrorKind::Interrupted))?;
        let mut waited = [PollFd::new(&quiet.terminal, PollFlags::IN)];
        let pause = rustix::event::Timespec::try_from(PAUSE).map_err(io::Error::other)?;
        if poll(&mut waited, Some(&pause))? == 0 {
            continue;
        }
        let mut byte = [0];
        if quiet.terminal.read(&mut byte)? == 0 || byte[0] == b'\n' {
            break;
        }
        line.push(byte[0]);
    }
    let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
    Ok(Zeroizing::new(text.to_owned()))
}
