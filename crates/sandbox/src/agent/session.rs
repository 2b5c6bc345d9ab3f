//! What a guest asks of the user's agent (draft-ietf-sshm-ssh-agent), and the answers it gets.

use super::wire::{Reader, string};

/// Messages of the protocol.
const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN: u8 = 13;
const SIGNED: u8 = 14;
const EXTENSION: u8 = 27;
/// Identifies the server that a connection leads to (PROTOCOL.agent of OpenSSH, 1).
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";
/// A login request (RFC 4252, 7), whose method may name the server's key (PROTOCOL of OpenSSH, 3.1).
const USERAUTH: u8 = 50;
const METHODS: [&[u8]; 2] = [b"publickey", b"publickey-hostbound-v00@openssh.com"];

/// The user's agent and known hosts.
pub(crate) trait OfUser {
    /// The agent's answer, on the connection to the agent that belongs to this session.
    fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, String>;
    /// Whether the user's `known_hosts` have this key for the host.
    fn knows(&mut self, host_key: &[u8]) -> Result<bool, String>;
}

/// A server that has proved its identity in a session.
#[derive(Debug)]
struct Bound {
    /// The identifier of the SSH session (RFC 4253, section 7.2).
    session: Vec<u8>,
    host_key: Vec<u8>,
}

/// One connection of the guest to the agent.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Once the server has proved its identity.
    bound: Option<Bound>,
}

/// The answer, and what to record about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) message: Vec<u8>,
    pub(crate) done: Done,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Nothing to record.
    Nothing,
    /// The key has signed a login.
    Signed,
    /// The request was refused.
    Refused(String),
}

impl Session {
    /// Answers a message of the guest; `key` is the only key it can use.
    pub(crate) fn answer(&mut self, key: &[u8], message: &[u8], user: &mut dyn OfUser) -> Answer {
        let parsed = match message.split_first() {
            Some((&REQUEST_IDENTITIES, [])) => identities(key, user).map(|message| (message, Done::Nothing)),
            Some((&SIGN, rest)) => self.sign(key, message, rest, user).map(|message| (message, Done::Signed)),
            Some((&EXTENSION, rest)) => {
                self.extension(message, rest, user).map(|message| (message, Done::Nothing))
            }
            // Adding keys, locking the agent: ssh-add(1) reports that the agent refused.
            _ => Err("only listing the key and logins with it are permitted".into()),
        };
        match parsed {
            Ok((message, done)) => Answer { message, done },
            Err(why) => Answer { message: vec![FAILURE], done: Done::Refused(why) },
        }
    }

    fn extension(&mut self, message: &[u8], rest: &[u8], user: &mut dyn OfUser) -> Result<Vec<u8>, String> {
        let mut reader = Reader(rest);
        if reader.string() != Some(SESSION_BIND) {
            // Clients query the supported extensions; that is not an attempt to use them.
            return Ok(vec![FAILURE]);
        }
        let bind = (|| {
            let (host_key, session, _signature) = (reader.string()?, reader.string()?, reader.string()?);
            let forwards = reader.byte()? != 0;
            reader.0.is_empty().then_some((host_key, session, forwards))
        })();
        let (host_key, session, forwards) = bind.ok_or("its message does not follow the protocol")?;
        if forwards || self.bound.is_some() {
            return Err("the agent cannot be forwarded further".into());
        }
        if !user.knows(host_key)? {
            return Err("the server's key is not in your known_hosts for the host".into());
        }
        // The agent verifies the server's signature, which only the server can make.
        if user.ask(message)? != [SUCCESS] {
            return Err(
                "your agent does not accept the server's proof: OpenSSH's agent does since 8.9".into()
            );
        }
        self.bound = Some(Bound { session: session.to_vec(), host_key: host_key.to_vec() });
        Ok(vec![SUCCESS])
    }

    fn sign(
        &self,
        key: &[u8],
        message: &[u8],
        rest: &[u8],
        user: &mut dyn OfUser,
    ) -> Result<Vec<u8>, String> {
        let mut reader = Reader(rest);
        let parts = (|| {
            let (wanted, data) = (reader.string()?, reader.string()?);
            reader.number()?;
            reader.0.is_empty().then_some((wanted, data))
        })();
        let (wanted, data) = parts.ok_or("its message does not follow the protocol")?;
        if wanted != key {
            return Err("it asks for another key".into());
        }
        let bound = self
            .bound
            .as_ref()
            .ok_or("its client does not report the server it connects to: OpenSSH's client does since 8.9")?;
        let is_bound = login(data, key).is_some_and(|login| {
            login.session == bound.session && login.host_key.is_none_or(|named| named == bound.host_key)
        });
        if !is_bound {
            return Err("the data to sign is not a login at that server".into());
        }
        let answer = user.ask(message)?;
        if answer.first() == Some(&SIGNED) {
            Ok(answer)
        } else {
            Err("your agent does not sign: is the key in it?".into())
        }
    }
}

/// The answer with the key, if the user's agent has it.
fn identities(key: &[u8], user: &mut dyn OfUser) -> Result<Vec<u8>, String> {
    let answer = user.ask(&[REQUEST_IDENTITIES])?;
    let comment = (|| {
        let mut reader = Reader(answer.strip_prefix(&[IDENTITIES])?);
        (0..reader.number()?).find_map(|_| {
            let (blob, comment) = (reader.string()?, reader.string()?);
            (blob == key).then(|| comment.to_vec())
        })
    })();
    Ok(match comment {
        Some(comment) => [&[IDENTITIES, 0, 0, 0, 1][..], &string(key), &string(&comment)].concat(),
        None => vec![IDENTITIES, 0, 0, 0, 0],
    })
}

/// What a request for a signature logs in to.
struct Login<'a> {
    session: &'a [u8],
    /// The server's key, where its software asks the client to name it (`publickey-hostbound-v00@openssh.com`).
    host_key: Option<&'a [u8]>,
}

/// The login with this key that the data is; `None` for other data.
fn login<'a>(data: &'a [u8], key: &[u8]) -> Option<Login<'a>> {
    let mut reader = Reader(data);
    let session = reader.string()?;
    if reader.byte()? != USERAUTH {
        return None;
    }
    let (_user, service, method) = (reader.string()?, reader.string()?, reader.string()?);
    let has_signature = reader.byte()? == 1;
    let (_algorithm, blob) = (reader.string()?, reader.string()?);
    let host_key = if method == METHODS[1] { Some(reader.string()?) } else { None };
    let is_login = service == b"ssh-connection" && METHODS.contains(&method) && has_signature;
    (is_login && blob == key && reader.0.is_empty()).then_some(Login { session, host_key })
}

#[cfg(test)]
mod tests;
