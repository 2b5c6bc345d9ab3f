//! Tests with OpenSSH's own agent and ssh-keygen(1).

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use rave_process::{Child, Cmd};

use super::*;
use crate::agent::host::Agent;

/// An agent, and a folder of keys.
struct Host {
    folder: tempfile::TempDir,
    /// Killed when this is dropped.
    _agent: Child,
}

impl Host {
    fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent.sock");
        let agent = Cmd::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdin_null();
        let agent = agent.spawn().map_err(|error| error.to_string())?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "the agent listens");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { folder, _agent: agent })
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// A new key in the agent, in the format of SSH messages.
    fn key(&self, name: &str) -> Vec<u8> {
        let path = self.folder.path().join(name);
        let made =
            Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
        made.output().unwrap();
        Cmd::new("ssh-add").arg("-q").arg(&path).env("SSH_AUTH_SOCK", self.socket()).output().unwrap();
        Base64::decode_vec(&public(&path)).unwrap()
    }

    /// The user's known hosts: this key for this host, hashed.
    fn knows(&self, host: &str, key: &[u8]) -> PathBuf {
        let path = self.folder.path().join("known_hosts");
        std::fs::write(&path, format!("{host} ssh-ed25519 {}\n", Base64::encode_string(key))).unwrap();
        Cmd::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&path).output().unwrap();
        path
    }

    fn agent(&self, known: PathBuf) -> Agent {
        Agent::new(self.socket(), vec![known], "git.example")
    }
}

fn public(path: &Path) -> String {
    let text = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

fn sign(key: &[u8], data: &[u8]) -> Vec<u8> {
    [&[SIGN][..], &string(key), &string(data), &[0; 4]].concat()
}

/// The data of a login that ssh(1) asks to sign.
fn login_of(session: &[u8], service: &str, key: &[u8]) -> Vec<u8> {
    let parts = [string(b"git"), string(service.as_bytes()), string(b"publickey"), vec![1]];
    [&string(session)[..], &[USERAUTH], &parts.concat(), &string(b"ssh-ed25519"), &string(key)].concat()
}

/// The same, with the server's key in it.
fn login_at(server: &[u8], session: &[u8], key: &[u8]) -> Vec<u8> {
    let parts =
        [string(b"git"), string(b"ssh-connection"), string(METHODS[1]), vec![1], string(b"ssh-ed25519")];
    [&string(session)[..], &[USERAUTH], &parts.concat(), &string(key), &string(server)].concat()
}

fn bind(host_key: &[u8], session: &[u8], signature: &[u8], forwards: u8) -> Vec<u8> {
    let parts = [string(SESSION_BIND), string(host_key), string(session), signature.to_vec()];
    [&[EXTENSION][..], &parts.concat(), &[forwards]].concat()
}

#[test]
fn only_one_key_is_listed_and_it_signs_logins_at_its_host_only() {
    let host = rave_testing::or_skip!(Host::new());
    let (key, other, server, unknown) =
        (host.key("mine"), host.key("other"), host.key("server"), host.key("stranger"));
    let mut agent = host.agent(host.knows("git.example", &server));
    let refused = |answer: Answer, why: &str| {
        assert_eq!(answer.message, [FAILURE]);
        assert!(matches!(&answer.done, Done::Refused(said) if said.contains(why)), "{why}: {answer:?}");
    };

    let mut session = Session::default();
    let listed = session.answer(&key, &[REQUEST_IDENTITIES], &mut agent);
    let one = [&[IDENTITIES, 0, 0, 0, 1][..], &string(&key), &string(b"mine")].concat();
    assert_eq!(listed, Answer { message: one, done: Done::Nothing });
    let listed = session.answer(b"no key of it", &[REQUEST_IDENTITIES], &mut agent);
    assert_eq!(listed.message, [IDENTITIES, 0, 0, 0, 0]);

    // A server proves its identity by a signature; here the agent has its key too, and signs for it.
    let mut proof = |server: &[u8], id: &[u8]| {
        let signed = agent.ask(&sign(server, id)).unwrap();
        assert_eq!(signed[0], SIGNED);
        signed[1..].to_vec()
    };
    let (good, foreign_proof) = (proof(&server, b"session-1"), proof(&unknown, b"session-1"));
    let login = sign(&key, &login_of(b"session-1", "ssh-connection", &key));
    refused(session.answer(&key, &login, &mut agent), "does not report the server");
    refused(
        session.answer(&key, &bind(&unknown, b"session-1", &foreign_proof, 0), &mut agent),
        "known_hosts",
    );
    refused(session.answer(&key, &bind(&server, b"session-1", &foreign_proof, 0), &mut agent), "proof");
    refused(session.answer(&key, &bind(&server, b"session-2", &good, 0), &mut agent), "proof");
    refused(session.answer(&key, &bind(&server, b"session-1", &good, 1), &mut agent), "further");
    refused(session.answer(&key, &login, &mut agent), "does not report the server");
    let mut session = Session::default();
    let mut agent = host.agent(host.folder.path().join("known_hosts"));
    let bound = session.answer(&key, &bind(&server, b"session-1", &good, 0), &mut agent);
    assert_eq!(bound, Answer { message: vec![SUCCESS], done: Done::Nothing });
    let signed = session.answer(&key, &login, &mut agent);
    assert!(signed.message[0] == SIGNED && signed.done == Done::Signed, "{signed:?}");
    let signed = session.answer(&key, &sign(&key, &login_at(&server, b"session-1", &key)), &mut agent);
    assert!(signed.done == Done::Signed, "{signed:?}");

    for (message, why) in [
        (sign(&other, &login_of(b"session-1", "ssh-connection", &other)), "another key"),
        (sign(&key, &login_of(b"session-2", "ssh-connection", &key)), "not a login"),
        (sign(&key, &login_of(b"session-1", "other-service", &key)), "not a login"),
        (sign(&key, &login_of(b"session-1", "ssh-connection", &other)), "not a login"),
        (sign(&key, &login_at(&unknown, b"session-1", &key)), "not a login"),
        (sign(&key, b"a commit, or a file"), "not a login"),
        (bind(&server, b"session-1", &good, 0), "further"),
        (vec![19], "are permitted"),
        (vec![22], "are permitted"),
        (vec![], "are permitted"),
        (vec![SIGN, 0, 0, 0, 9], "does not follow the protocol"),
    ] {
        refused(session.answer(&key, &message, &mut agent), why);
    }
    let query = [&[EXTENSION][..], &string(b"query")].concat();
    assert_eq!(
        session.answer(&key, &query, &mut agent),
        Answer { message: vec![FAILURE], done: Done::Nothing }
    );
}

#[test]
fn a_revoked_key_is_not_listed_and_a_missing_agent_lists_none() {
    let host = rave_testing::or_skip!(Host::new());
    let server = host.key("server");
    let known = host.knows("git.example", &server);
    assert_eq!(host.agent(known.clone()).knows(&server), Ok(true));
    assert_eq!(Agent::new(host.socket(), vec![known.clone()], "other.example").knows(&server), Ok(false));
    let mut text = std::fs::read_to_string(&known).unwrap();
    text += "@revoked git.example ssh-ed25519 ";
    text += &Base64::encode_string(&server);
    std::fs::write(&known, text).unwrap();
    assert_eq!(host.agent(known.clone()).knows(&server), Ok(false));
    // Nor if the line is the last of a file that another file follows.
    let system = host.folder.path().join("system_known_hosts");
    std::fs::write(&system, format!("git.example ssh-ed25519 {}\n", Base64::encode_string(&server))).unwrap();
    std::fs::write(&known, format!("@revoked git.example ssh-ed25519 {}\n", Base64::encode_string(&server)))
        .unwrap();
    let both = vec![known.clone(), system];
    assert_eq!(Agent::new(host.socket(), both, "git.example").knows(&server), Ok(false));
    let mut none = Agent::new(host.folder.path().join("nobody"), vec![known], "git.example");
    let answer = Session::default().answer(&server, &[REQUEST_IDENTITIES], &mut none);
    assert!(matches!(answer.done, Done::Refused(why) if why.contains("does not answer")));
}

/// sshd(8), which must be called by its full path.
fn sshd() -> Result<PathBuf, String> {
    let found = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let found = found.split(':').map(|folder| Path::new(folder).join("sshd")).find(|path| path.is_file());
    found.ok_or_else(|| "this host has no sshd".into())
}

/// Answers clients as if a guest's program had relayed their connections.
fn serve(listener: UnixListener, key: Vec<u8>, agent: impl Fn() -> Agent + Send + 'static) {
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut session, mut agent) = (Session::default(), agent());
            let mut length = [0; 4];
            while stream.read_exact(&mut length).is_ok() {
                let mut message = vec![0; u32::from_be_bytes(length) as usize];
                stream.read_exact(&mut message).unwrap();
                let answer = session.answer(&key, &message, &mut agent);
                stream.write_all(&string(&answer.message)).unwrap();
            }
        }
    });
}

#[test]
fn ssh_logs_in_only_at_the_allowed_host() {
    let host = rave_testing::or_skip!(Host::new());
    let sshd = rave_testing::or_skip!(sshd());
    let (key, server) = (host.key("mine"), host.key("server"));
    let known = host.knows("git.example", &server);
    let file = |name: &str| host.folder.path().join(name).display().to_string();
    let settings = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n",
        file("server"),
        file("mine.pub")
    );
    std::fs::write(file("sshd_config"), settings).unwrap();
    // sshd may be unusable even for root, for example if a folder that its service creates is missing.
    let test = Cmd::new(sshd.as_os_str()).args(["-t", "-f", &file("sshd_config")]).output();
    rave_testing::or_skip!(test);
    let user = Cmd::new("id").arg("-un").output().unwrap().text();
    for (name, may) in [("git.example", true), ("other.example", false)] {
        let socket = host.folder.path().join(name);
        let (of_user, known) = (host.socket(), known.clone());
        let agent = move || Agent::new(of_user.clone(), vec![known.clone()], name);
        serve(UnixListener::bind(&socket).unwrap(), key.clone(), agent);
        let proxy = format!("ProxyCommand={} -i -f {}", sshd.display(), file("sshd_config"));
        let known = format!("UserKnownHostsFile={}", file("known_hosts"));
        let options =
            [proxy.as_str(), &known, "HostKeyAlias=git.example", "BatchMode=yes", "IdentityFile=none"];
        let options = options.into_iter().flat_map(|option| ["-o", option]);
        let ssh = Cmd::new("ssh").args(["-F", "/dev/null"]).args(options);
        let ssh = ssh.arg(format!("{}@git.example", user.trim())).arg("true");
        let done = ssh.env("SSH_AUTH_SOCK", &socket).stdin_null().output();
        assert_eq!(done.is_ok(), may, "{name}: {:?}", done.err());
    }
}
