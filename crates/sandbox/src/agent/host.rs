//! The user's own agent and `known_hosts`.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use rave_process::Cmd;

use super::session::OfUser;
use super::wire;

/// How long the agent may take: it may ask the user for confirmation (ssh-add(1), `-c`).
const AGENT: Duration = Duration::from_secs(120);
/// How long ssh-keygen(1) may take to search a file.
const SEARCH_LIMIT: Duration = Duration::from_secs(20);
/// The longest message, bytes (OpenSSH's `AGENT_MAX_LEN`).
const LONGEST: u32 = 256 * 1024;

/// The agent and the `known_hosts`, for one connection of the guest.
pub(crate) struct Agent {
    socket: PathBuf,
    /// The `known_hosts` files.
    known: Vec<PathBuf>,
    host: String,
    stream: Option<UnixStream>,
}

impl Agent {
    /// Those of this process's environment, for a host.
    pub(crate) fn of_environment(host: &str) -> Result<Self, String> {
        let socket = std::env::var_os("SSH_AUTH_SOCK")
            .ok_or("SSH_AUTH_SOCK was not set when the sandbox was started")?;
        let home = std::env::home_dir().unwrap_or_else(|| "/".into());
        let own = ["known_hosts", "known_hosts2"].map(|name| home.join(".ssh").join(name));
        let known = own.into_iter().chain(["/etc/ssh/ssh_known_hosts".into()]).collect();
        Ok(Self::new(socket.into(), known, host))
    }

    pub(super) fn new(socket: PathBuf, known: Vec<PathBuf>, host: &str) -> Self {
        Self { socket, known, host: host.to_owned(), stream: None }
    }

    fn try_ask(&mut self, message: &[u8]) -> std::io::Result<Vec<u8>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = UnixStream::connect(&self.socket)?;
                stream.set_read_timeout(Some(AGENT))?;
                stream.set_write_timeout(Some(AGENT))?;
                none.insert(stream)
            }
        };
        stream.write_all(&wire::string(message))?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > LONGEST {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut answer = vec![0; length as usize];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// The file's lines for the host, including hashed names (ssh-keygen(1), `-F`).
    fn lines(&self, file: &Path) -> String {
        let cmd =
            Cmd::new("ssh-keygen").args(["-F", &self.host, "-f"]).arg(file.as_os_str()).timeout(SEARCH_LIMIT);
        // It fails if the file has no line for the host.
        // Its last line must not run into the next file's first.
        cmd.output().map(|output| output.text() + "\n").unwrap_or_default()
    }
}

/// Without an agent everything is refused, with the reason.
impl OfUser for Result<Agent, String> {
    fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.as_mut().map_err(|why| why.clone())?.ask(message)
    }

    fn knows(&mut self, host_key: &[u8]) -> Result<bool, String> {
        self.as_mut().map_err(|why| why.clone())?.knows(host_key)
    }
}

impl OfUser for Agent {
    fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, String> {
        let answer = self.try_ask(message);
        if answer.is_err() {
            self.stream = None;
        }
        answer.map_err(|error| format!("your agent does not answer: {error}"))
    }

    fn knows(&mut self, host_key: &[u8]) -> Result<bool, String> {
        let wanted = Base64::encode_string(host_key);
        let all: String =
            self.known.iter().filter(|file| file.exists()).map(|file| self.lines(file)).collect();
        let has = |line: &&str, marked: bool| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_marked = fields.first().is_some_and(|field| field.starts_with('@'));
            // Names, kind, key; a marker comes before them (sshd(8)).
            is_marked == marked && fields.get(if marked { 3 } else { 2 }) == Some(&wanted.as_str())
        };
        let lines = || all.lines().filter(|line| !line.starts_with('#'));
        let is_revoked = lines().any(|line| line.starts_with("@revoked") && has(&line, true));
        Ok(!is_revoked && lines().any(|line| has(&line, false)))
    }
}
