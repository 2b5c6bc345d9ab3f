//! What a fenced program can reach. Each attempt succeeds without the fence, so that a refusal is meaningful.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use duct::cmd;
use rave_fence::{Offer, Rules};
use rave_process::find_program;
use rave_testing::{or_skip, skip};
use rave_vm::accel::Engine;
use rave_vm::fence::Fencer;
use rave_vm::machine::{Arch, Disk, DiskFormat, Fence, Files, Grants, Interface, Link, Machine};
use rave_vm::qemu::Qemu;
use rave_vm::qmp::Client;
use rave_vm::standalone::Standalone;
use serde_json::{Value, json};

/// How long QEMU may take for an answer, and for its action after one.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = Utf8PathBuf::from_path_buf(scratch.path().canonicalize().expect("a folder")).expect("UTF-8");
    (scratch, folder)
}

/// The fence, if this host supports it completely.
fn full_fence() -> Result<Fencer, String> {
    let output = cmd!(env!("CARGO_BIN_EXE_rave"), "fence", "--probe").read().expect("an answer");
    let offer: Offer = serde_json::from_str(&output).expect("JSON");
    if let Some((part, why)) = offer.missing().next() {
        return Err(format!("{}: {why}", part.name()));
    }
    let program = env!("CARGO_BIN_EXE_rave").into();
    Ok(Fencer { program, arguments: vec!["fence".to_owned()], offer })
}

/// A running QEMU without a guest, as for a sandbox. It is killed on drop.
struct Running(Client);

impl Running {
    fn start(folder: &Utf8Path, fencer: Option<Fencer>) -> Self {
        let (disk, run_dir) = (folder.join("disk.raw"), folder.join("run"));
        fs::write(&disk, vec![0; 1 << 20]).expect("a disk");
        let fence = if fencer.is_some() { Fence::Closed(Grants::default()) } else { Fence::None };
        let machine = Machine {
            memory_mib: 128,
            link: Link::Stream,
            disk: Some(Disk::whole(disk, DiskFormat::Raw, Interface::Virtio)),
            fence,
            ..Machine::new("fenced", &run_dir)
        };
        let qemu = Qemu { fencer, ..Qemu::find(Arch::X86_64).expect("QEMU") };
        // QEMU serves one client at a time; the machine keeps running.
        drop(Standalone::start(machine, Engine::Tcg, &qemu).expect("QEMU runs"));
        Self(Client::connect(&Files::in_dir(&run_dir).qmp_socket, LIMIT).expect("QEMU answers"))
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        self.0.execute(command, arguments, LIMIT).map_err(|error| error.to_string())
    }

    /// Opens a file for reading.
    fn open(&mut self, node: &str, file: &str) -> Result<Value, String> {
        let file = json!({ "driver": "file", "filename": file });
        self.ask(
            "blockdev-add",
            json!({ "driver": "raw", "node-name": node, "read-only": true, "file": file }),
        )
    }

    fn connect(&mut self, id: &str, address: &Value) -> Result<Value, String> {
        let backend = json!({ "type": "socket", "data": { "addr": address, "server": false } });
        self.ask("chardev-add", json!({ "id": id, "backend": backend }))
    }

    /// Runs a program that creates `file`; returns whether it did.
    fn execute(&mut self, file: &Utf8Path) -> bool {
        // The refusal may be immediate or delayed.
        let _ = self.ask("migrate", json!({ "uri": format!("exec:touch {file}") }));
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let state = self.ask("query-migrate", Value::Null).unwrap_or_default();
            let is_over = !matches!(state["status"].as_str(), Some("setup" | "active"));
            if file.exists() || is_over {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        file.exists()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.execute("quit", Value::Null, LIMIT);
    }
}

/// Attempts from within QEMU, and whether they succeeded.
fn attempts_of_qemu(qemu: &mut Running, folder: &Utf8Path) -> BTreeMap<&'static str, bool> {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port().to_string();
    let socket = folder.join("other.sock");
    let _unix = UnixListener::bind(&socket).expect("a socket");
    let (secret, written) = (folder.join("secret"), folder.join("written"));
    fs::write(&secret, "s".repeat(512)).expect("written");
    let inet = json!({ "type": "inet", "data": { "host": "127.0.0.1", "port": port } });
    let unix = json!({ "type": "unix", "data": { "path": socket } });
    let dump = json!({ "val": 0, "size": 4096, "filename": written });
    BTreeMap::from([
        ("its own disk", qemu.open("own", folder.join("disk.raw").as_str()).is_ok()),
        ("open /etc/passwd", qemu.open("passwd", "/etc/passwd").is_ok()),
        ("open a file beside its own", qemu.open("secret", secret.as_str()).is_ok()),
        ("write a file", qemu.ask("pmemsave", dump).is_ok() && written.exists()),
        ("connect to the host's loopback", qemu.connect("tcp", &inet).is_ok()),
        ("connect to another's socket", qemu.connect("unix", &unix).is_ok()),
        ("start a program", qemu.execute(&folder.join("executed"))),
    ])
}

#[test]
fn a_compromised_qemu_can_access_only_its_own_disk() {
    let fencer = or_skip!(full_fence());
    let ((_control, open), (_scratch, closed)) = (scratch(), scratch());
    let control = attempts_of_qemu(&mut Running::start(&open, None), &open);
    assert!(control.values().all(|worked| *worked), "without a fence: {control:?}");
    // The disk is in a readable folder, as in a sandbox; the other files are below a separate folder here.
    let place = closed.join("machine");
    fs::create_dir(&place).expect("a folder");
    let mut tried = attempts_of_qemu(&mut Running::start(&place, Some(fencer)), &place);
    assert_eq!(tried.remove("its own disk"), Some(true));
    assert_eq!(tried.remove("open a file beside its own"), Some(true), "the folder of its disk");
    assert!(tried.values().all(|worked| !worked), "behind the fence: {tried:?}");
}

/// A process that is killed at the end of the test, whatever its result.
struct Victim(duct::Handle);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// Tries each action and prints `NAME 1` or `NAME 0`. System call numbers are x86-64's.
const ATTEMPTS: &str = r#"
use Socket;
my ($pid, $other, $port, $unix, $dgram) = @ARGV;
sub attempt { print "$_[0] ", ($_[1] ? 1 : 0), "\n" }
attempt("signal", kill(0, $pid));
my ($e, $s);
attempt("environment", open($e, "<", "/proc/$pid/environ") && defined readline($e));
attempt("list", opendir(my $d, "$other"));
attempt("read", open(my $r, "<", "$other/record.json"));
attempt("mode", chmod(0600, "$other/record.json"));
attempt("truncate", truncate("$other/log", 0));
attempt("trace", syscall(101, 16, $pid, 0, 0) == 0 && (waitpid($pid, 0), syscall(101, 17, $pid, 0, 0), 1));
socket(my $t, AF_INET, SOCK_STREAM, 0);
attempt("tcp", connect($t, sockaddr_in($port, INADDR_LOOPBACK)));
attempt("udp", socket(my $u, AF_INET, SOCK_DGRAM, 0));
attempt("unix", socket($s, AF_UNIX, SOCK_STREAM, 0) && connect($s, sockaddr_un($unix)));
my ($p, $q);
attempt("named", socketpair($p, $q, AF_UNIX, SOCK_DGRAM, 0) && send($p, "x", 0, sockaddr_un($dgram)));
# F_SETOWN: the socket's signals go to that process.
attempt("signals of a socket", socketpair($p, $q, AF_UNIX, SOCK_STREAM, 0) && fcntl($p, 8, 0 + $pid));
attempt("namespace", syscall(272, 0x10000000) == 0);
"#;

#[test]
fn a_fenced_program_cannot_affect_other_processes_and_sandboxes() {
    let Some(perl) = find_program("perl").filter(|_| cfg!(target_arch = "x86_64")) else {
        skip!("perl is missing, or system calls have other numbers");
    };
    let fencer = or_skip!(full_fence());
    let (_scratch, other) = scratch();
    for file in ["record.json", "log"] {
        fs::write(other.join(file), "{}").expect("written");
    }
    let socket = other.join("ctl.sock");
    let _unix = UnixListener::bind(&socket).expect("a socket");
    let named = other.join("datagrams.sock");
    let _datagrams = UnixDatagram::bind(&named).expect("a socket");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = tcp.local_addr().expect("an address").port().to_string();
    let victim = Victim(cmd!("sleep", "600").env("SECRET", "key").unchecked().start().expect("a process"));
    let pid = victim.0.pids()[0].to_string();
    let args = ["-e", ATTEMPTS, &pid, other.as_str(), &port, socket.as_str(), named.as_str()];
    let control = results(&cmd(perl.as_str(), args).read().expect("it ran"));
    // A host may forbid tracing even a user's own processes (Yama), and user namespaces.
    let is_certain = |name: &str| !matches!(name, "trace" | "namespace");
    assert!(control.iter().all(|(name, worked)| *worked || !is_certain(name)), "without: {control:?}");

    let rules = Rules {
        execute: ["/usr", "/lib", "/lib64", "/etc/ld.so.cache"].map(Utf8PathBuf::from).to_vec(),
        read: vec!["/dev/null".into()],
        ..Rules::all_of(&fencer.offer)
    };
    let (_rules, folder) = scratch();
    let file = folder.join("rules.json");
    fs::write(&file, serde_json::to_vec(&rules).expect("JSON")).expect("written");
    let fence = ["fence", file.as_str(), "--", perl.as_str()];
    let behind = cmd(env!("CARGO_BIN_EXE_rave"), fence.into_iter().chain(args)).env("SECRET", "key").read();
    let tried = results(&behind.expect("it ran"));
    assert!(victim.0.try_wait().expect("a state").is_none(), "the other process is still running");
    assert_eq!(tried.len(), control.len(), "{tried:?}");
    assert!(tried.values().all(|worked| !worked), "behind the fence: {tried:?}");
}

fn results(output: &str) -> BTreeMap<String, bool> {
    let lines = output.lines().filter_map(|line| line.rsplit_once(' '));
    lines.map(|(name, worked)| (name.to_owned(), worked == "1")).collect()
}

#[test]
fn a_fenced_program_has_no_user_variables_and_no_root_rights() {
    let fencer = or_skip!(full_fence());
    let (_scratch, folder) = scratch();
    let rules = Rules {
        execute: ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"].map(Utf8PathBuf::from).to_vec(),
        read: vec!["/proc".into()],
        ..Rules::all_of(&fencer.offer)
    };
    let file = folder.join("rules.json");
    fs::write(&file, serde_json::to_vec(&rules).expect("JSON")).expect("written");
    let output = cmd!(
        env!("CARGO_BIN_EXE_rave"),
        "fence",
        &file,
        "--",
        "/bin/cat",
        "/proc/self/environ",
        "/proc/self/status"
    )
    .env("ANTHROPIC_API_KEY", "the-real-key")
    .read()
    .expect("it ran");
    assert!(output.contains("PATH=") && !output.contains("the-real-key"), "{output}");
    let line =
        |name: &str| output.lines().find_map(|line| line.strip_prefix(name)).expect(name).trim().to_owned();
    // Root keeps only CAP_DAC_OVERRIDE, capabilities(7).
    let rights = u64::from_str_radix(&line("CapEff:"), 16).expect("a number");
    assert_eq!(rights & !0b10, 0, "{output}");
    assert_eq!((line("NoNewPrivs:").as_str(), line("Seccomp:").as_str()), ("1", "2"));
}
