//! Sandboxes in a separate state folder, with empty disks: QEMU and the supervisor are real, but there is no guest.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use duct::{Expression, Handle, cmd};
use rave_sandbox::{Expiry, Place, PortChoice, Record, SCHEMA, Store};
use rave_spec::Format;
use rave_vm::keys::KeyPair;
use serde_json::Value;

/// Longer than any step takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) struct State {
    folder: tempfile::TempDir,
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn expect_output(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {}", self.stderr);
        self
    }
}

impl State {
    pub(crate) fn new() -> Self {
        // Paths of sockets must be short (unix(7)).
        Self { folder: tempfile::Builder::new().prefix("r").tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.folder.path().canonicalize().unwrap()).unwrap()
    }

    pub(crate) fn place(&self, name: &str) -> Place {
        Store::new(&self.path()).place(&name.parse().unwrap())
    }

    /// Creates a sandbox as `up` does, with an empty disk.
    pub(crate) fn make(&self, name: &str, ports: &[(&str, u16, Option<u16>)]) -> Place {
        let place = self.place(name);
        fs::create_dir_all(place.folder()).unwrap();
        let image = self.path().join("empty.qcow2");
        if !image.exists() {
            cmd("qemu-img", ["create", "-q", "-f", "qcow2", image.as_str(), "64M"]).run().unwrap();
        }
        place.disk().hold(&image, &"0".repeat(64)).unwrap();
        KeyPair::generate(place.folder(), "test").unwrap();
        let choice = |(service, guest, host): &(&str, u16, Option<u16>)| PortChoice {
            service: (*service).to_owned(),
            guest: *guest,
            host: *host,
        };
        let record = Record {
            schema: SCHEMA,
            name: name.parse().unwrap(),
            created: 1,
            base: "debian".into(),
            profile: "headless".into(),
            format: Format::Qemu,
            user: "agent".into(),
            memory_mib: 64,
            cpus: 1,
            disk_mib: 64,
            ports: ports.iter().map(choice).collect(),
            expiry: Expiry::default(),
            require_fence: false,
            parent: None,
        };
        record.save(&place).unwrap();
        place
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Expression {
        let command = cmd(program, arguments).dir("/").stdin_null().unchecked();
        let own = [("RAVE_STATE", ""), ("RAVE_CACHE", "cache"), ("XDG_CONFIG_HOME", "config"), ("HOME", "")];
        let command = own.iter().fold(command, |command, (name, folder)| {
            let folder = if folder.is_empty() { self.path() } else { self.path().join(folder) };
            command.env(name, folder.as_str())
        });
        command.env("RAVE_ACCEL", "tcg").env("RAVE", env!("CARGO_BIN_EXE_rave"))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Done {
        Self::finish(&self.command(env!("CARGO_BIN_EXE_rave"), arguments))
    }

    /// Runs a shell script in which `$RAVE` is the program, with these arguments.
    pub(crate) fn shell(&self, before: &[&str], script: &str) -> Done {
        let args = [before, &["sh", "-c", script]].concat();
        Self::finish(&self.command(args[0], &args[1..]))
    }

    /// Starts the program in a separate process group, as a shell does.
    pub(crate) fn start(&self, arguments: &[&str]) -> Started {
        self.start_in("/".into(), &[], arguments)
    }

    /// The same in a folder, with variables.
    pub(crate) fn start_in(
        &self,
        folder: &Utf8Path,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Started {
        let command = self.command(env!("CARGO_BIN_EXE_rave"), arguments).dir(folder);
        let command = variables.iter().fold(command, |command, (name, value)| command.env(name, value));
        let command = command.stdout_null().stderr_null();
        let in_group = command.before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
        Started(in_group.start().unwrap())
    }

    fn finish(command: &Expression) -> Done {
        let output = command.stdout_capture().stderr_capture().run().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) fn rows(&self) -> Vec<Value> {
        let done = self.run(&["ps", "--all", "--json"]);
        serde_json::from_str(&done.expect(0).stdout).unwrap()
    }

    pub(crate) fn row(&self, name: &str) -> Value {
        let mut rows = self.rows();
        rows.retain(|row| row["name"] == name);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    pub(crate) fn state_of(&self, name: &str) -> String {
        self.row(name)["state"].as_str().unwrap().to_owned()
    }

    /// Every process with the state folder on its command line, such as QEMU and supervisors.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let folder = self.path();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_ours = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(folder.as_str())
        };
        pids.filter(is_ours).collect()
    }

    pub(crate) fn nothing_runs(&self) {
        wait_until("nothing runs", || self.processes().is_empty());
    }
}

/// A command that runs in the background.
pub(crate) struct Started(Handle);

impl Started {
    pub(crate) fn id(&self) -> u32 {
        self.0.pids()[0]
    }

    pub(crate) fn kill(&self) {
        kill("KILL", self.id());
        self.0.wait().unwrap();
    }

    pub(crate) fn wait(&self) {
        self.0.wait().unwrap();
    }
}

/// Processes outlive a test that failed.
impl Drop for State {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill("KILL", pid);
        }
    }
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let _ =
        cmd("kill", [format!("-{signal}"), "--".to_owned(), pid.to_string()]).stderr_null().unchecked().run();
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn pid(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap_or_else(|| panic!("{value} is not a process id"))).unwrap()
}

pub(crate) fn port_of(row: &Value) -> u16 {
    u16::try_from(row["forwards"][0]["host"].as_u64().unwrap()).unwrap()
}

/// Whether the port is free now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

pub(crate) fn is_refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

/// A stand-in for a guest: programs on this host.
pub(crate) struct Here;

impl rave_workspace::Guest for Here {
    fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn Read + Send>>,
        output: &mut (dyn std::io::Write + Send),
    ) -> Result<(), String> {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let ["rave-guest", "tree", task @ ..] = args.as_slice() else {
            return Err(format!("{args:?} is not a task"));
        };
        let task = rave_guest::tree::serve::Task::of_arguments(task).ok_or("an unknown task")?;
        task.run(input.unwrap_or_else(|| Box::new(std::io::empty())), output)
            .map_err(|error| error.to_string())
    }
}

/// Pushes a folder, changes the copy with `work`, and fetches the changes, as `stop` does. The sandbox then has changes
/// although it is not running.
pub(crate) fn work(place: &Place, source: &Utf8Path, copy: &Path, work: impl FnOnce(&Path)) {
    let secrets = rave_workspace::secrets::Secrets::new(None).unwrap();
    let push = rave_workspace::push::Push {
        source: Some(source),
        folder: copy.to_str().unwrap(),
        include: &[],
        secrets: &secrets,
        force: false,
        history: false,
    };
    let workspace = rave_workspace::Place::new(place.folder());
    rave_workspace::push::push(&workspace, push, &Here).unwrap();
    work(copy);
    let mut record = rave_workspace::Record::get(&workspace).unwrap();
    rave_workspace::pull::pull(&workspace, &mut record, &Here).unwrap();
}

#[test]
fn a_sandbox_without_a_key_does_not_break_the_ssh_configuration_of_others() {
    let state = State::new();
    let broken = state.make("broken", &[]);
    state.make("demo", &[]);
    fs::remove_file(broken.folder().join("ssh-key.pub")).unwrap();
    let printed = state.run(&["ssh-config"]);
    let hosts: Vec<&str> =
        printed.expect(0).stdout.lines().filter(|line| line.starts_with("Host ")).collect();
    assert_eq!(hosts, ["Host demo.rave"]);
}
