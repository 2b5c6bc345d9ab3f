//! A command as a value.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::process_group::Placement;
use crate::redact::Redactor;
use crate::registry::OnInterrupt;
use crate::shell_quote;

/// A command: what to run and how, without running it.
///
/// `Display` is the line to type in a shell, with the variables set and the secrets masked.
#[derive(Clone)]
pub struct Cmd {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    /// In the order given; `None` removes the variable.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Option<Arc<File>>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) placement: Placement,
    pub(crate) on_interrupt: OnInterrupt,
    pub(crate) redactor: Redactor,
}

/// Where a command's standard input comes from.
#[derive(Clone)]
pub(crate) enum Stdin {
    Null,
    Inherit,
    /// Written by the caller, piece by piece.
    Piped,
    Bytes(Arc<[u8]>),
    File(Arc<File>),
}

impl Cmd {
    /// A command that runs `program`. A bare name is looked up on PATH (the command's own where it sets one), then in
    /// `/usr/local/sbin`, `/usr/sbin` and `/sbin`. Unless it sets PATH, the command sees these folders on it as well.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            stdin: Stdin::Null,
            stdout: None,
            log: None,
            timeout: None,
            placement: Placement::OwnGroup,
            on_interrupt: OnInterrupt::Stop,
            redactor: Redactor::default(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), Some(value.into())));
        self
    }

    /// Takes an environment variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Runs in this folder. A program given as a relative path is still looked up from ours.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Stops the command's whole group after this time (SIGTERM, then SIGKILL after [`crate::STOP_GRACE`]). Without
    /// effect on [`Cmd::spawn`].
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Standard input is these bytes.
    #[must_use]
    pub fn stdin_bytes(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Standard input is this open file.
    #[must_use]
    pub fn stdin_file(mut self, file: File) -> Self {
        self.stdin = Stdin::File(Arc::new(file));
        self
    }

    /// Standard input is empty: the default.
    #[must_use]
    pub fn stdin_null(mut self) -> Self {
        self.stdin = Stdin::Null;
        self
    }

    /// Standard input is ours. A command that reads the terminal needs [`Cmd::inherit_terminal`]: in a background
    /// group the kernel would stop it (SIGTTIN).
    #[must_use]
    pub fn stdin_inherit(mut self) -> Self {
        self.stdin = Stdin::Inherit;
        self
    }

    /// Standard input is a pipe whose end [`crate::Child::take_stdin`] hands out. Only for [`Cmd::spawn`].
    #[must_use]
    pub fn stdin_piped(mut self) -> Self {
        self.stdin = Stdin::Piped;
        self
    }

    /// Standard output goes straight into this open file, past us.
    #[must_use]
    pub fn stdout_file(mut self, file: File) -> Self {
        self.stdout = Some(Arc::new(file));
        self
    }

    /// Appends the command line and the lines it prints to this file, made where it is missing. Captured output and
    /// [`Cmd::stdout_file`] are data and are not in it.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Masks `text` as `***` wherever the command or what it prints is shown: in lines, tails, errors, the log and
    /// `Debug`. Captured output is data and stays as it is; so does a log that the command writes itself
    /// ([`Cmd::spawn`]). Arguments are seen by every user of the machine: a secret belongs in stdin or a file.
    #[must_use]
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.redactor.add(text.into());
        self
    }

    /// Standard input, output and error are ours and the command stays in the terminal's foreground group: an
    /// interactive ssh, a sudo that asks for a password. Nothing is kept of its output.
    #[must_use]
    pub fn inherit_terminal(mut self) -> Self {
        self.placement = Placement::Foreground;
        self
    }

    /// The first interrupt leaves this command alone, and it may be started after one: a machine that the caller powers
    /// off in order, a command that cleans up. A second interrupt kills it.
    #[must_use]
    pub fn survives_interrupt(mut self) -> Self {
        self.on_interrupt = OnInterrupt::GoOn;
        self
    }

    /// The program and its arguments as text, for snapshots: invalid UTF-8 replaced, secrets masked.
    pub fn argv(&self) -> Vec<String> {
        std::iter::once(&self.program).chain(&self.args).map(|word| self.shown(word)).collect()
    }

    fn shown(&self, word: &OsStr) -> String {
        self.redactor.apply(&word.to_string_lossy())
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            if let Some(value) = value {
                write!(f, "{}={} ", name.to_string_lossy(), shell_quote(&self.shown(value)))?;
            }
        }
        let words: Vec<String> = self.argv().iter().map(|word| shell_quote(word)).collect();
        f.write_str(&words.join(" "))
    }
}

impl fmt::Debug for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdin = match &self.stdin {
            Stdin::Null => "null".to_owned(),
            Stdin::Inherit => "inherit".to_owned(),
            Stdin::Piped => "piped".to_owned(),
            Stdin::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Stdin::File(_) => "file".to_owned(),
        };
        f.debug_struct("Cmd")
            .field("line", &format_args!("{self}"))
            .field("folder", &self.folder)
            .field("stdin", &format_args!("{stdin}"))
            .field("log", &self.log)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
