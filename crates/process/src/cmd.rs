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
    /// In the given order; `None` removes the variable.
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
    /// Written by the caller incrementally.
    Piped,
    Bytes(Arc<[u8]>),
    File(Arc<File>),
}

impl Cmd {
    /// A command that runs `program`. A bare name is looked up on PATH (the command's own if it sets one), then in
    /// `/usr/local/sbin`, `/usr/sbin` and `/sbin`. Unless it sets PATH, these folders are also added to the command's
    /// PATH.
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

    /// Removes an environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.push((name.into(), None));
        self
    }

    /// Runs in this folder. A program given as a relative path is still resolved against ours.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Stops the command's whole group after this time (SIGTERM, then SIGKILL after [`crate::STOP_GRACE`]). Has no
    /// effect on [`Cmd::spawn`].
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Uses these bytes as standard input.
    #[must_use]
    pub fn stdin_bytes(mut self, bytes: Vec<u8>) -> Self {
        self.stdin = Stdin::Bytes(bytes.into());
        self
    }

    /// Uses this open file as standard input.
    #[must_use]
    pub fn stdin_file(mut self, file: File) -> Self {
        self.stdin = Stdin::File(Arc::new(file));
        self
    }

    /// Uses an empty standard input: the default.
    #[must_use]
    pub fn stdin_null(mut self) -> Self {
        self.stdin = Stdin::Null;
        self
    }

    /// Inherits our standard input. A command that reads the terminal needs [`Cmd::inherit_terminal`]: in a background
    /// group the kernel would stop it (SIGTTIN).
    #[must_use]
    pub fn stdin_inherit(mut self) -> Self {
        self.stdin = Stdin::Inherit;
        self
    }

    /// Connects standard input to a pipe, whose other end [`crate::Child::take_stdin`] returns. Only for
    /// [`Cmd::spawn`].
    #[must_use]
    pub fn stdin_piped(mut self) -> Self {
        self.stdin = Stdin::Piped;
        self
    }

    /// Redirects standard output directly to this open file.
    #[must_use]
    pub fn stdout_file(mut self, file: File) -> Self {
        self.stdout = Some(Arc::new(file));
        self
    }

    /// Appends the command line and the lines it prints to this file, which is created if it is missing. Captured
    /// output and [`Cmd::stdout_file`] are data and are not logged.
    #[must_use]
    pub fn log_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Masks `text` as `***` wherever the command or its output is shown: in lines, tails, errors, the log and `Debug`.
    /// Captured output is data and is not masked, nor is a log that the command writes itself ([`Cmd::spawn`]).
    /// Arguments are visible to every user of the machine: pass secrets on stdin or in a file.
    #[must_use]
    pub fn secret(mut self, text: impl Into<String>) -> Self {
        self.redactor.add(text.into());
        self
    }

    /// Inherits our standard input, output and error, and keeps the command in the terminal's foreground group: for an
    /// interactive ssh, or a sudo that asks for a password. None of its output is kept.
    #[must_use]
    pub fn inherit_terminal(mut self) -> Self {
        self.placement = Placement::Foreground;
        self
    }

    /// Exempts the command from the first interrupt, and permits starting it after one: for a machine that the caller
    /// shuts down cleanly, or a command that cleans up. A second interrupt kills it.
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
        let arguments: Vec<String> = self.argv().iter().map(|word| shell_quote(word)).collect();
        f.write_str(&arguments.join(" "))
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
