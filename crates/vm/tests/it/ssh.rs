//! Commands through a real ssh(1) and sshd(8) on this host.

use rave_testing::or_skip;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_process::{Child, Cmd, Status, find_program};
use rave_vm::Error;
use rave_vm::keys::KeyPair;
use rave_vm::ssh::{Connection, OUTPUT_LIMIT, RemoteOutput, Ssh};

const PATIENCE: Duration = Duration::from_secs(60);

/// An sshd on a port of the loopback address, and access to it; killed when it is dropped.
struct Server {
    ssh: Ssh,
    _sshd: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Fails if this host has no sshd, or does not permit this user to start one.
    fn start() -> Result<Self, String> {
        let sshd = find_program("sshd").ok_or("this host has no sshd")?;
        // sshd requires this folder when run as root; on a host that runs sshd, it exists.
        let empty = std::path::Path::new("/run/sshd");
        if !empty.is_dir() && fs::create_dir(empty).is_err() {
            return Err("/run/sshd is missing and this user cannot create it".into());
        }
        let scratch = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(scratch.path()).unwrap();
        let host_folder = folder.join("host");
        fs::create_dir(&host_folder).unwrap();
        let host_key = KeyPair::generate(&host_folder, "host").unwrap();
        let key = KeyPair::generate(folder, "user").unwrap();
        let keys = folder.join("authorized_keys");
        fs::write(&keys, &key.public).unwrap();
        let user = Cmd::new("id").arg("-un").output().unwrap().text();
        let deadline = Instant::now() + PATIENCE;
        let (sshd, port) = loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let settings = folder.join("sshd_config");
            // With SHLVL set, bash(1) does not consider itself started by a network login, and does not read the user's
            // ~/.bashrc.
            let text = format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {keys}\nPidFile none\nStrictModes no\n\
                 UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\nSetEnv SHLVL=1\n",
                host_key.private
            );
            fs::write(&settings, text).unwrap();
            // It re-executes itself for each connection, so it must be called by its full path.
            let mut server = Cmd::new(&sshd).args(["-D", "-e", "-f", settings.as_str()]).spawn().unwrap();
            while server.try_wait().unwrap().is_none()
                && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
            {
                assert!(Instant::now() < deadline, "sshd does not listen: {:?}", server.tail());
                std::thread::sleep(Duration::from_millis(20));
            }
            // Another test may have taken the port first.
            let is_taken = server.tail().iter().any(|line| line.contains("Address already in use"));
            if !is_taken && server.try_wait().unwrap().is_none() {
                break (server, port);
            }
            assert!(Instant::now() < deadline, "sshd does not start: {:?}", server.tail());
        };
        let address = (Ipv4Addr::LOCALHOST.into(), port);
        let ssh = Ssh::pin(folder, "rave-test", &user, address, &key, &[host_key.public]).unwrap();
        Ok(Self { ssh, _sshd: sshd, folder: scratch })
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).unwrap()
    }

    fn connection(&self) -> Connection {
        Connection::new(self.ssh.clone(), self.path())
    }

    /// The folders of the connections' sockets.
    fn socket_folders(&self) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir() && !path.ends_with("host")).collect()
    }
}

/// Prints the process that serves the connection: the parent of the shell that runs the command's shell.
const SERVER: &str = "read -r _ _ _ parent _ < /proc/$PPID/stat; echo $parent";

/// Runs a command, or fails the test.
type Exec<'a> = dyn Fn(&str) -> RemoteOutput + 'a;

fn statuses_are_exact(exec: &Exec<'_>) {
    for (command, status) in [
        ("true", Status::Code(0)),
        ("exit 3", Status::Code(3)),
        // ssh's own exit code for its failures.
        ("exit 255", Status::Code(255)),
        ("kill -SEGV $$", Status::Signal(11)),
        ("sh -c 'kill -KILL $$'", Status::Signal(9)),
        ("no-such-program", Status::Code(127)),
        ("exec sh -c 'exit 7'", Status::Code(7)),
    ] {
        assert_eq!(exec(command).status, status, "{command}");
    }
    assert!(matches!(exec("if").status, Status::Code(1 | 2)), "a syntax error is the command's own");
}

fn streams_are_exact(exec: &Exec<'_>) {
    let output_of = |command: &str| {
        let output = exec(command);
        (output.text(), output.stderr)
    };
    assert_eq!(
        output_of("echo out; echo first >&2; echo last >&2"),
        ("out".into(), vec!["first".into(), "last".into()])
    );
    assert_eq!(output_of("printf 'no line end' >&2"), (String::new(), vec!["no line end".into()]));
    assert_eq!(output_of("echo \"it's\" '$HOME'"), ("it's $HOME".into(), Vec::new()));
    let long = exec("head -c 5000000 /dev/zero; exit 4");
    assert_eq!((long.stdout.len() as u64, long.status), (OUTPUT_LIMIT, Status::Code(4)));
}

/// Checks a command that kills the process that serves its connection.
fn is_cut(exec: &dyn Fn(&str) -> Result<RemoteOutput, Error>) {
    let cut = "read -r _ _ _ parent _ < /proc/$PPID/stat; kill -KILL $parent; sleep 60";
    match exec(cut) {
        Err(Error::Ssh { command, .. }) => assert!(!command.contains("SHELL"), "{command}"),
        other => panic!("a connection that was cut: {other:?}"),
    }
}

#[test]
fn a_failed_command_is_distinguished_from_a_failed_connection() {
    let server = or_skip!(Server::start());
    statuses_are_exact(&|command| server.ssh.exec(command, PATIENCE).unwrap());
    is_cut(&|command| server.ssh.exec(command, PATIENCE));
}

#[test]
fn output_does_not_contain_the_exit_report() {
    let server = or_skip!(Server::start());
    streams_are_exact(&|command| server.ssh.exec(command, PATIENCE).unwrap());
}

#[test]
fn commands_on_one_connection_have_separate_statuses_and_streams() {
    let server = or_skip!(Server::start());
    let connection = server.connection();
    let exec = |command: &str| connection.exec(command, PATIENCE).unwrap();
    let at_first = exec(SERVER).text();
    statuses_are_exact(&exec);
    streams_are_exact(&exec);
    assert_eq!(exec(SERVER).text(), at_first, "another login");
    assert_ne!(server.ssh.exec(SERVER, PATIENCE).unwrap().text(), at_first, "a separate login");
}

#[test]
fn commands_run_in_parallel_on_one_connection() {
    let server = or_skip!(Server::start());
    let connection = server.connection();
    let meeting = server.path().join("meeting");
    // Opening a FIFO waits for the other end (fifo(7)).
    let exec = |command: &str| connection.exec(command, PATIENCE).unwrap();
    assert!(exec(&format!("mkfifo '{meeting}'")).success());
    let both = std::thread::scope(|scope| {
        let reads = scope.spawn(|| exec(&format!("cat '{meeting}'; {SERVER}")).text());
        let writes = scope.spawn(|| exec(&format!("echo met > '{meeting}'; echo met; {SERVER}")).text());
        [reads.join().unwrap(), writes.join().unwrap()]
    });
    assert_eq!(both[0], both[1], "both met, and printed the same serving process");
    assert!(both[0].starts_with("met\n"), "{both:?}");
}

#[test]
fn a_command_on_inherited_streams_has_a_shells_exit_code() {
    let server = or_skip!(Server::start());
    for (command, code) in
        [("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("no-such-program", 127)]
    {
        match server.ssh.attached(command).output() {
            Err(rave_process::Error::Failed { status, .. }) => {
                assert_eq!(status, Status::Code(code), "{command}");
            }
            other => panic!("{command}: {other:?}"),
        }
    }
}

#[test]
fn a_lost_connection_is_an_error_and_the_next_command_reconnects() {
    let server = or_skip!(Server::start());
    let connection = server.connection();
    let process = || connection.exec(SERVER, PATIENCE).unwrap().text();
    let first = process();
    is_cut(&|command| connection.exec(command, PATIENCE));
    let second = process();
    assert_ne!(first, second);
    connection.close();
    assert_ne!(process(), second);
}

/// As if a connection was lost and its ssh has not ended yet.
#[test]
fn a_command_without_a_connection_logs_in_again() {
    let server = or_skip!(Server::start());
    let connection = server.connection();
    let process = || connection.exec(SERVER, PATIENCE).unwrap().text();
    let first = process();
    fs::remove_file(server.socket_folders()[0].join("control")).unwrap();
    assert_ne!(process(), first);
    assert_eq!(server.socket_folders().len(), 1);
}

#[test]
fn a_command_timeout_keeps_the_connection() {
    let server = or_skip!(Server::start());
    let connection = server.connection();
    let process = || connection.exec(SERVER, PATIENCE).unwrap().text();
    let (before, started) = (process(), Instant::now());
    let slow = connection.exec("echo begun; sleep 600", Duration::from_millis(300));
    assert!(matches!(slow, Err(Error::TooSlow { .. })), "{slow:?}");
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
    assert_eq!(process(), before);
}

#[test]
fn control_sockets_are_private_and_removed_at_the_end() {
    let server = or_skip!(Server::start());
    let connection = server.connection();
    assert!(server.socket_folders().is_empty());
    for _ in 0..2 {
        assert!(connection.exec("true", PATIENCE).unwrap().success());
        let folders = server.socket_folders();
        assert_eq!(folders.len(), 1, "{folders:?}");
        assert_eq!(fs::metadata(&folders[0]).unwrap().permissions().mode() & 0o777, 0o700);
        connection.close();
        assert!(server.socket_folders().is_empty());
    }
    assert!(connection.exec("true", PATIENCE).unwrap().success());
    drop(connection);
    assert!(server.socket_folders().is_empty());
}

#[test]
fn the_folder_path_may_exceed_the_socket_path_limit() {
    let server = or_skip!(Server::start());
    let deep = server.path().join("d".repeat(60)).join("with 100% of it".repeat(4));
    fs::create_dir_all(&deep).unwrap();
    let connection = Connection::new(server.ssh.clone(), &deep);
    assert!(connection.exec("true", PATIENCE).unwrap().success());
}

#[test]
fn an_unreachable_server_is_an_ssh_error() {
    let server = or_skip!(Server::start());
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let connection = Connection::new(Ssh { port, ..server.ssh.clone() }, server.path());
    match connection.exec("true", PATIENCE) {
        Err(Error::Ssh { tail, .. }) => assert!(tail.concat().contains("refused"), "{tail:?}"),
        other => panic!("{other:?}"),
    }
    assert!(server.socket_folders().is_empty());
}

/// Describes the access for [`holds_a_connection`]: port, user, key, known hosts, and the folder of sockets, one per
/// line.
const WAY_IN: &str = "RAVE_VM_TEST_WAY_IN";

/// This test program is run again by another test, to be interrupted while a command runs. In an ordinary run this does
/// nothing.
#[test]
fn holds_a_connection() {
    if let Ok(login) = std::env::var(WAY_IN) {
        hold_a_connection(&login);
    }
}

fn hold_a_connection(login: &str) {
    let [port, user, key, known_hosts, folder] = login.lines().collect::<Vec<_>>()[..] else {
        panic!("{login}")
    };
    rave_process::interrupt::install().unwrap();
    let ssh = Ssh {
        host: Ipv4Addr::LOCALHOST.into(),
        port: port.parse().unwrap(),
        user: user.into(),
        key: key.into(),
        known_hosts: known_hosts.into(),
        alias: "rave-test".into(),
    };
    let connection = Connection::new(ssh, folder.into());
    let answer = connection.exec("sleep 600", PATIENCE);
    assert!(matches!(answer, Err(Error::Interrupted(_) | Error::Process { .. })), "{answer:?}");
}

#[test]
fn an_interrupt_leaves_no_control_socket() {
    let server = or_skip!(Server::start());
    let Ssh { port, user, key, known_hosts, .. } = &server.ssh;
    let login = [&port.to_string(), user, key.as_str(), known_hosts.as_str(), server.path().as_str()]
        .map(str::to_owned);
    let mut child = Cmd::new(std::env::current_exe().unwrap())
        .args(["ssh::holds_a_connection", "--exact", "--nocapture"])
        .env(WAY_IN, login.join("\n"))
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !server.socket_folders().iter().any(|folder| folder.join("control").exists()) {
        assert!(Instant::now() < deadline, "{:?}", child.tail());
        std::thread::sleep(Duration::from_millis(20));
    }
    Cmd::new("kill").args(["-INT", &child.pid().to_string()]).output().unwrap();
    let status = child.wait_timeout(PATIENCE).unwrap();
    assert_eq!(status, Some(Status::Code(0)), "{:?}", child.tail());
    assert!(server.socket_folders().is_empty(), "{:?}", server.socket_folders());
}
