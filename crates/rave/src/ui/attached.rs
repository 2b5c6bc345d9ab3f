//! The standard streams for a program that runs elsewhere: unchanged, without output of our own in between.

use std::io::{self, IsTerminal as _, Read, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The standard streams.
#[derive(Debug)]
pub struct Attached {
    is_terminal: bool,
}

impl Attached {
    /// The streams of this process.
    pub fn new() -> Self {
        Self { is_terminal: io::stdin().is_terminal() && io::stdout().is_terminal() }
    }

    /// Whether stdin and stdout are terminals.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Rows and columns of the terminal that stdout is, if it is one.
    pub fn size(&self) -> Option<(u16, u16)> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
    }

    /// Standard input, unbuffered.
    pub fn stdin(&self) -> Box<dyn Read + Send> {
        Box::new(Input)
    }

    /// Standard output.
    pub fn stdout(&self) -> impl Write {
        io::stdout()
    }

    /// Copies bytes to stdout, each piece as it arrives.
    pub fn pass_on(&self, from: &mut impl Read) -> io::Result<()> {
        let mut out = self.stdout();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => out.write_all(&buffer[..count]).and_then(|()| out.flush())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Standard error.
    pub fn stderr(&self) -> impl Write {
        io::stderr()
    }
}

impl Default for Attached {
    fn default() -> Self {
        Self::new()
    }
}

/// Standard input without std's buffer, whose lock another thread may hold forever.
struct Input;

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin(), buffer)?)
    }
}

/// A terminal in raw mode; restored when this is dropped.
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Standard input, if it is a terminal.
    pub fn of_stdin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}
