//! The JSON in frames. Unknown fields are ignored, because host and guest may have different versions.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::denied::Notice;
use super::identity::Identity;
use super::provision::Provision;

/// The version of the channel's frames and messages.
pub const VERSION: u32 = 1;

/// The error of a request in a session that the guest does not know, because `rave-guest` was restarted.
pub const SESSION_OVER: &str = "the guest knows nothing of this session";

/// The error of a request that is only valid at a barrier: the answer of a guest to [`Request::Hold`] if its version
/// cannot hold a running machine.
pub const HAS_IDENTITY: &str = "this machine has an identity";

/// The host's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The newest version that the host supports.
    pub version: u32,
}

/// The guest's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both support.
    pub version: u32,
    /// The version of `rave-guest`.
    pub program: String,
    /// The kernel's `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Whether it is at a barrier and runs no programs: as a template, as a clone or fork without its own identity, or
    /// held to be forked.
    #[serde(default)]
    pub at_barrier: bool,
}

/// A request of the host, on its own stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Run a program.
    Exec(Exec),
    /// Get ready to be saved, as a template or to be forked. No answer but the end.
    Hold,
    /// Become another machine. The answer is a [`Receipt`](super::identity::Receipt).
    Renew(Identity),
    /// Trust this authority, and set these variables from now on. No answer but the end.
    Provide(Provision),
    /// The receipt has arrived: resume everything. No answer but the end.
    Open,
    /// Set the clock. The answer is a [`ClockSet`](super::clock::ClockSet).
    Clock {
        /// The host's time, in ms since 1970.
        time_ms: u64,
    },
    /// Show these refusals of the network, the oldest first, instead of the previous ones. No answer but the end.
    Denied(Vec<Notice>),
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program and its arguments; a login shell if empty.
    #[serde(default)]
    pub command: Vec<String>,
    /// The user to run it as; the guest's user if absent.
    #[serde(default)]
    pub user: Option<String>,
    /// Its working directory, relative to the home; the home if absent.
    #[serde(default)]
    pub workdir: Option<String>,
    /// Additional variables, which override those of the login environment.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// The terminal for its three streams, if it gets one.
    #[serde(default)]
    pub terminal: Option<Terminal>,
    /// Its timeout in milliseconds: it gets SIGTERM, then SIGKILL.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}

/// The terminal of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// The value of `TERM`.
    pub kind: String,
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The number of the signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether it timed out.
    #[serde(default)]
    pub timed_out: bool,
    /// Why it was not started, or how the channel failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Ended {
    /// A program that never ran, or whose end is unknown.
    pub fn failed(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// The exit code as a shell reports it: 128 plus the number of the signal, 124 after a timeout (timeout(1)), 126 if
    /// it was not started.
    pub fn shell_code(&self) -> u8 {
        match (self.timed_out, self.code, self.signal) {
            (true, ..) => 124,
            (_, Some(code), _) => code,
            (_, None, Some(signal)) => u8::try_from(128 + signal.clamp(0, 127)).unwrap_or(u8::MAX),
            (_, None, None) => 126,
        }
    }
}

/// A message's JSON.
#[expect(clippy::missing_panics_doc, reason = "strings, numbers and lists always serialise")]
pub fn to_json(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("strings, numbers and lists always serialise")
}

/// Parses a message; nothing if it is invalid.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_match_those_of_a_shell() {
        let code = |code, signal, timed_out| Ended { code, signal, timed_out, error: None }.shell_code();
        assert_eq!(code(Some(7), None, false), 7);
        assert_eq!(code(None, Some(15), false), 143);
        assert_eq!(code(None, Some(-3), false), 128);
        assert_eq!(code(None, Some(i32::MAX), false), 255);
        assert_eq!(code(None, Some(9), true), 124);
        assert_eq!(Ended::failed("no").shell_code(), 126);
    }

    #[test]
    fn messages_round_trip_and_unknown_fields_are_ignored() {
        let exec = Request::Exec(Exec {
            command: vec!["a b".into(), "\u{1b}".into()],
            env: vec![("A".into(), "1".into())],
            terminal: Some(Terminal { rows: 24, columns: 80, kind: "xterm".into() }),
            ..Exec::default()
        });
        assert_eq!(parse::<Request>(&to_json(&exec)), Some(exec));
        let later = parse::<Request>(br#"{"exec":{"command":["true"],"colour":1}}"#);
        assert_eq!(later, Some(Request::Exec(Exec { command: vec!["true".into()], ..Exec::default() })));
        assert_eq!(parse::<Request>(br#"{"fly":{}}"#), None);
    }
}
