//! Programs started by these tests, including the tool, which they also kill. Run with duct.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A command line that tests add to.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Variables to set or to remove.
    pub(crate) variables: Vec<(OsString, Option<OsString>)>,
    pub(crate) folder: Option<PathBuf>,
    /// Its stdin; empty by default.
    pub(crate) input: Vec<u8>,
}

impl Command {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref().to_owned();
        Self { program, arguments: Vec::new(), variables: Vec::new(), folder: None, input: Vec::new() }
    }

    pub(crate) fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.args([argument])
    }

    pub(crate) fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    pub(crate) fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.variables.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    pub(crate) fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.variables.push((name.as_ref().to_owned(), None));
        self
    }

    pub(crate) fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    pub(crate) fn stdin(&mut self, input: Vec<u8>) -> &mut Self {
        self.input = input;
        self
    }

    /// The same command line run through `runner`, in the same folder and with the same variables.
    pub(crate) fn behind(&self, runner: &Self) -> Self {
        let mut whole = runner.clone();
        whole.arg(&self.program).args(&self.arguments);
        whole.variables.extend(self.variables.iter().cloned());
        whole.folder.clone_from(&self.folder);
        whole
    }

    fn expression(&self) -> duct::Expression {
        let expression =
            duct::cmd(&self.program, &self.arguments).stdin_bytes(self.input.clone()).unchecked();
        let expression = match &self.folder {
            Some(folder) => expression.dir(folder),
            None => expression,
        };
        // In duct the innermost wins, here the last one.
        self.variables.iter().rev().fold(expression, |expression, (name, value)| match value {
            Some(value) => expression.env(name, value),
            None => expression.env_remove(name),
        })
    }

    /// Runs to the end and keeps both streams.
    pub(crate) fn output(&self) -> io::Result<Output> {
        self.expression().stdout_capture().stderr_capture().run()
    }

    /// Runs to the end with the test's own streams.
    pub(crate) fn status(&self) -> io::Result<ExitStatus> {
        Ok(self.expression().run()?.status)
    }

    /// Starts with both streams in a file.
    pub(crate) fn start(&self, output: &Path) -> Started {
        let expression = self.expression().stderr_to_stdout().stdout_path(output);
        Started(expression.start().expect("it starts"))
    }

    /// Starts it, and waits for a line of stderr with this beginning; a thread keeps reading.
    pub(crate) fn start_until(&self, beginning: &str) -> Running {
        let reader = self.expression().stdout_null().stderr_to_stdout().reader().expect("it starts");
        let reader = Arc::new(reader);
        let mut lines = BufReader::new(ReadShared(Arc::clone(&reader))).lines();
        let mut printed = Vec::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.starts_with(beginning) => break,
                Some(Ok(line)) => printed.push(line),
                _ => panic!("it ended before it printed {beginning:?}:\n{}", printed.join("\n")),
            }
        }
        let rest = std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Running { reader, rest }
    }
}

struct ReadShared(Arc<duct::ReaderHandle>);

impl io::Read for ReadShared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

/// A program that keeps running.
pub(crate) struct Running {
    reader: Arc<duct::ReaderHandle>,
    rest: JoinHandle<()>,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.reader.pids()[0]
    }

    /// Sends it a signal, named as for kill(1).
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.id());
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> ExitStatus {
        self.rest.join().expect("the reader ends with the program");
        self.reader.try_wait().expect("it is waited for").expect("its streams are closed").status
    }
}

/// A program whose streams are not read.
pub(crate) struct Started(duct::Handle);

impl Started {
    pub(crate) fn id(&self) -> u32 {
        self.0.pids()[0]
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.0.try_wait().expect("it is waited for").is_some()
    }

    /// Waits for its end.
    pub(crate) fn wait(self) -> ExitStatus {
        self.0.wait().expect("it is waited for").status
    }
}

/// Sends a process a signal, named as for kill(1).
#[track_caller]
pub(crate) fn signal(name: &str, pid: u32) {
    let mut kill = Command::new("kill");
    assert!(kill.arg(format!("-{name}")).arg(pid.to_string()).status().unwrap().success());
}

#[test]
fn a_program_is_read_until_a_line_and_ended_by_a_signal() {
    use std::os::unix::process::ExitStatusExt as _;
    let script = "trap 'exit 130' INT; echo first >&2; echo second >&2; while :; do sleep 0.05; done";
    let mut program = Command::new("sh");
    program.args(["-c", script]);
    let running = program.start_until("second");
    running.signal("INT");
    assert_eq!(running.wait().code(), Some(130));
    let running = program.start_until("first");
    running.signal("KILL");
    assert_eq!(running.wait().signal(), Some(9));

    // The last value of a variable wins, and another program may be in front.
    let mut command = Command::new("sh");
    command.args(["-c", "echo $TOLD; exit 3"]).env("TOLD", "early").env("TOLD", "late");
    let mut runner = Command::new("env");
    runner.arg("-u").arg("NOTHING");
    let output = command.behind(&runner).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"late\n"[..]));
    let output = command.clone().env_remove("TOLD").output().unwrap();
    assert_eq!(output.stdout, b"\n");
}
