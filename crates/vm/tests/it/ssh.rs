//! Commands through a real ssh(1) and sshd(8) on this host.

use rave_testing::or_skip;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_process::{Child, Cmd, Status, find_program};
use rave_vm::Error;
use rave_vm::keys::KeyPair;
use rave_vm::ssh::{OUTPUT_LIMIT, Output, Ssh};

const PATIENCE: Duration = Duration::from_secs(60);

/// sshd on a port of the loopback, and the way in; killed when it is dropped.
struct Server {
    ssh: Ssh,
    _sshd: Child,
    _folder: tempfile::TempDir,
}

impl Server {
    /// An error where this host has no sshd, or does not let this user start one.
    fn start() -> Result<Self, String> {
        let sshd = find_program("sshd").ok_or("this host has no sshd")?;
        // sshd wants it as root; on a machine where it runs, it is there.
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
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let settings = folder.join("sshd_config");
        let text = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {keys}\nPidFile none\nStrictModes no\n\
             UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n",
            host_key.private
        );
        fs::write(&settings, text).unwrap();
        // It starts itself anew for each connection and so must be called by its whole path.
        let sshd = Cmd::new(sshd).args(["-D", "-e", "-f", settings.as_str()]).spawn().unwrap();
        let user = Cmd::new("id").arg("-un").output().unwrap().text();
        let address = (Ipv4Addr::LOCALHOST.into(), port);
        let ssh = Ssh::pin(folder, "rave-test", &user, address, &key, &[host_key.public]).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen: {:?}", sshd.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { ssh, _sshd: sshd, _folder: scratch })
    }

    #[track_caller]
    fn exec(&self, command: &str) -> Output {
        self.ssh.exec(command, PATIENCE).unwrap()
    }
}

#[test]
fn a_command_is_told_from_its_connection() {
    let server = or_skip!(Server::start());
    for (command, status) in [
        ("true", Status::Code(0)),
        ("exit 3", Status::Code(3)),
        // What ssh exits with when it fails itself.
        ("exit 255", Status::Code(255)),
        ("kill -SEGV $$", Status::Signal(11)),
        ("sh -c 'kill -KILL $$'", Status::Signal(9)),
        ("no-such-program", Status::Code(127)),
        ("exec sh -c 'exit 7'", Status::Code(7)),
    ] {
        assert_eq!(server.exec(command).status, status, "{command}");
    }
    assert!(matches!(server.exec("if").status, Status::Code(1 | 2)), "a syntax error is the command's own");

    // The process that serves this connection: the parent of the shell that runs the command's shell.
    let cut = "read -r _ _ _ parent _ < /proc/$PPID/stat; kill -KILL $parent; sleep 60";
    match server.ssh.exec(cut, PATIENCE) {
        Err(Error::Ssh { command, .. }) => assert!(!command.contains("SHELL"), "{command}"),
        other => panic!("a connection that was cut: {other:?}"),
    }
}

#[test]
fn what_a_command_prints_comes_without_the_report_of_its_end() {
    let server = or_skip!(Server::start());
    let said = |command: &str| {
        let output = server.exec(command);
        (output.text(), output.stderr)
    };
    assert_eq!(
        said("echo out; echo first >&2; echo last >&2"),
        ("out".into(), vec!["first".into(), "last".into()])
    );
    assert_eq!(said("printf 'no line end' >&2"), (String::new(), vec!["no line end".into()]));
    assert_eq!(said("echo \"it's\" '$HOME'"), ("it's $HOME".into(), Vec::new()));
    let long = server.exec("head -c 5000000 /dev/zero; exit 4");
    assert_eq!((long.stdout.len() as u64, long.status), (OUTPUT_LIMIT, Status::Code(4)));
}
