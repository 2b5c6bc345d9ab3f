//! What is recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest text of an event, characters; the longest name of DNS has 253.
const TEXT: usize = 300;

/// Who began a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The guest.
    Out,
    /// Somebody on the host, to a forwarded port.
    In,
}

/// Something that happened. Texts may come from the guest; [`Event::bounded`] limits them, and a line escapes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The record begins.
    Begun {
        /// The sandbox.
        sandbox: String,
    },
    /// The machine was started.
    Started {
        /// From what.
        origin: String,
    },
    /// Another supervisor goes on with a machine that runs.
    Attended,
    /// The machine ended.
    Stopped {
        /// How.
        how: String,
    },
    /// The sandbox was removed.
    Removed,
    /// A connection is there.
    Opened {
        /// Who began it.
        way: Way,
        /// Name or address, and port.
        to: String,
        /// The rule that allowed it.
        rule: String,
    },
    /// A connection ended.
    Closed {
        /// Who began it.
        way: Way,
        /// Name or address, and port.
        to: String,
        /// Bytes that the guest sent.
        sent: u64,
        /// Bytes that the guest received.
        received: u64,
    },
    /// Something was refused.
    Denied {
        /// What: a name, a connection, a request.
        what: String,
        /// Where to.
        to: String,
        /// The rule that refused it.
        rule: String,
    },
    /// The guest was told the address of a name.
    Question {
        /// The name.
        name: String,
        /// The rule that allowed it.
        rule: String,
    },
    /// A secret of the user was put into a request of the guest. It is not in here.
    Secret {
        /// What the user calls it.
        name: String,
        /// The host and its port.
        to: String,
    },
    /// A key of the user's SSH agent signed a login of the guest.
    Signed {
        /// What the user calls the key.
        key: String,
        /// The host.
        to: String,
    },
    /// A program was started in the guest. Its arguments may be secrets, and are counted only.
    Exec {
        /// The program.
        program: String,
        /// How many arguments it has.
        arguments: usize,
        /// The guest's user, where one was named.
        user: Option<String>,
    },
    /// A program ended.
    ExecEnded {
        /// The program.
        program: String,
        /// Its exit code, as a shell has it.
        code: Option<u8>,
        /// Bytes of its output.
        sent: u64,
        /// Bytes of its input.
        received: u64,
    },
    /// A folder was copied into the guest.
    Push {
        /// Files and folders that were sent.
        files: u64,
        /// Their bytes.
        received: u64,
    },
    /// The guest's changes were fetched.
    Pull {
        /// Files that differ.
        changed: u64,
    },
    /// The guest's changes were shown.
    Diff {
        /// Files that differ.
        changed: u64,
    },
    /// Changes of the guest were taken.
    Apply {
        /// Where to: the folder, a branch, a patch.
        into: String,
        /// Files that were taken.
        taken: u64,
        /// Files that were not.
        left: u64,
    },
    /// Files were copied.
    Copy {
        /// Into the guest, or out of it.
        way: Way,
    },
    /// What it may reach was changed.
    Policy {
        /// The mode.
        mode: String,
        /// Rules that were added, those that deny with a `-` in front; with a `~` those that were taken back.
        rules: Vec<String>,
    },
    /// Whether pages of the guest may connect anywhere was changed.
    Pages {
        /// They may.
        open: bool,
    },
    /// Another sandbox was made of it.
    Fork {
        /// The other.
        name: String,
    },
    /// A snapshot was taken or removed, or the sandbox went back to it.
    Snapshot {
        /// `taken`, `restored` or `removed`.
        action: String,
        /// The snapshot.
        name: String,
    },
    /// More happened in a second than is written.
    Omitted {
        /// How many events of each kind.
        kinds: BTreeMap<String, u64>,
        /// Bytes that the guest sent in them.
        sent: u64,
        /// Bytes that it received.
        received: u64,
    },
    /// The record is full: what the guest does is no longer written.
    Full {
        /// Bytes.
        limit: u64,
    },
    /// Events that were not written since the record was full.
    Unwritten {
        /// All of them until now.
        total: u64,
    },
    /// The record could not be written for a time, in which the network stood still.
    Gap {
        /// Milliseconds.
        ms: u64,
        /// What the system said.
        why: String,
    },
    /// A writer was killed in the middle of a line, which was cut.
    Recovered {
        /// Bytes that were cut.
        cut: u64,
    },
    /// The files are not as the last writer left them.
    Broken {
        /// How not.
        why: String,
    },
}

/// Of which kind an event is: one kind does not take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Connection,
    Refusal,
    Question,
    Secret,
    /// What the user or the record itself does.
    Own,
}

impl Event {
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Opened { .. } | Self::Closed { .. } => Class::Connection,
            Self::Denied { .. } => Class::Refusal,
            Self::Question { .. } => Class::Question,
            Self::Secret { .. } | Self::Signed { .. } => Class::Secret,
            _ => Class::Own,
        }
    }

    /// Its name in a line.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Closed { .. } => "closed",
            Self::Denied { .. } => "denied",
            Self::Question { .. } => "question",
            Self::Secret { .. } => "secret",
            Self::Signed { .. } => "signed",
            _ => "other",
        }
    }

    /// Bytes that the guest sent and received, of events that have both.
    fn bytes(&mut self) -> Option<(&mut u64, &mut u64)> {
        match self {
            Self::Closed { sent, received, .. } | Self::ExecEnded { sent, received, .. } => {
                Some((sent, received))
            }
            _ => None,
        }
    }

    /// Takes the bytes out of it: what is left is equal for equal events.
    pub(crate) fn take_bytes(&mut self) -> (u64, u64) {
        let bytes = self.bytes().map(|(sent, received)| (std::mem::take(sent), std::mem::take(received)));
        bytes.unwrap_or_default()
    }

    /// Gives it bytes.
    pub(crate) fn put_bytes(&mut self, bytes: (u64, u64)) {
        if let Some((sent, received)) = self.bytes() {
            (*sent, *received) = bytes;
        }
    }

    /// With texts that are not too long.
    pub(crate) fn bounded(mut self) -> Self {
        for text in self.texts() {
            if let Some((end, _)) = text.char_indices().nth(TEXT) {
                text.truncate(end);
                text.push('…');
            }
        }
        if let Self::Policy { rules, .. } = &mut self
            && rules.len() > RULES
        {
            let more = rules.len() - RULES;
            rules.truncate(RULES);
            rules.push(format!("and {more} more"));
        }
        self
    }

    fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Self::Begun { sandbox: one }
            | Self::Fork { name: one }
            | Self::Started { origin: one }
            | Self::Stopped { how: one }
            | Self::Apply { into: one, .. }
            | Self::Gap { why: one, .. }
            | Self::Broken { why: one }
            | Self::ExecEnded { program: one, .. } => vec![one],
            Self::Opened { to, rule, .. } => vec![to, rule],
            Self::Closed { to, .. } => vec![to],
            Self::Denied { what, to, rule } => vec![what, to, rule],
            Self::Question { name, rule } => vec![name, rule],
            Self::Secret { name, to } => vec![name, to],
            Self::Signed { key, to } => vec![key, to],
            Self::Exec { program, user, .. } => [program].into_iter().chain(user).collect(),
            Self::Policy { mode, rules } => [mode].into_iter().chain(rules).collect(),
            Self::Snapshot { action, name } => vec![action, name],
            Self::Attended
            | Self::Removed
            | Self::Push { .. }
            | Self::Pull { .. }
            | Self::Diff { .. }
            | Self::Copy { .. }
            | Self::Pages { .. }
            | Self::Omitted { .. }
            | Self::Full { .. }
            | Self::Unwritten { .. }
            | Self::Recovered { .. } => Vec::new(),
        }
    }
}

/// The most rules that one line has.
const RULES: usize = 20;
