//! The events that are recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest text of an event, in characters; a DNS name has at most 253.
const TEXT: usize = 300;

/// The direction of a connection or a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From the guest.
    Out,
    /// Into the guest: somebody on the host, through a forwarded port.
    In,
}

/// Something that happened. Texts may come from the guest; [`Event::bounded`] limits them, and a line escapes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The first line of a record.
    Begun {
        /// The sandbox.
        sandbox: String,
    },
    /// The machine was started.
    Started {
        /// The origin of its disk.
        origin: String,
    },
    /// Another supervisor took over a running machine.
    Attended,
    /// The machine ended.
    Stopped {
        /// How.
        how: String,
    },
    /// The sandbox was removed.
    Removed,
    /// A connection was opened.
    Opened {
        /// Which side opened it.
        way: Way,
        /// Name or address, and port.
        to: String,
        /// The rule that allowed it.
        rule: String,
    },
    /// A connection ended.
    Closed {
        /// Which side opened it.
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
        /// The kind: a name, a connection, a request.
        what: String,
        /// The destination.
        to: String,
        /// The rule that refused it.
        rule: String,
    },
    /// The address of a name was sent to the guest.
    Question {
        /// The name.
        name: String,
        /// The rule that allowed it.
        rule: String,
    },
    /// A secret of the user was put into a request of the guest. The event does not contain the secret.
    Secret {
        /// The user's name for it.
        name: String,
        /// The host and its port.
        to: String,
    },
    /// A key of the user's SSH agent signed a login of the guest.
    Signed {
        /// The user's name for the key.
        key: String,
        /// The host.
        to: String,
    },
    /// A program was started in the guest. Its arguments may be secrets, so only their number is recorded.
    Exec {
        /// The program.
        program: String,
        /// How many arguments it has.
        arguments: usize,
        /// The guest's user, if one was named.
        user: Option<String>,
    },
    /// A program ended.
    ExecEnded {
        /// The program.
        program: String,
        /// Its exit code, as a shell reports it.
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
    /// The guest's changes were pulled.
    Pull {
        /// Files that differ.
        changed: u64,
    },
    /// The guest's changes were shown.
    Diff {
        /// Files that differ.
        changed: u64,
    },
    /// Changes of the guest were applied.
    Apply {
        /// The target: the folder, a branch, a patch.
        into: String,
        /// Files that were applied.
        taken: u64,
        /// Files that were left out.
        left: u64,
    },
    /// Files were copied.
    Copy {
        /// Into the guest, or out of it.
        way: Way,
    },
    /// The network policy was changed.
    Policy {
        /// The mode.
        mode: String,
        /// Added rules, with a leading `-` for those that deny; removed rules have a leading `~`.
        rules: Vec<String>,
    },
    /// The permission of the guest's pages to connect anywhere was changed.
    Pages {
        /// Whether they may.
        open: bool,
    },
    /// Another sandbox was forked from it.
    Fork {
        /// The name of the fork.
        name: String,
    },
    /// A snapshot was taken, restored or removed.
    Snapshot {
        /// `taken`, `restored` or `removed`.
        action: String,
        /// The name of the snapshot.
        name: String,
    },
    /// More events happened in a second than are written.
    Omitted {
        /// The number of events of each kind.
        kinds: BTreeMap<String, u64>,
        /// Bytes that the guest sent in them.
        sent: u64,
        /// Bytes that the guest received in them.
        received: u64,
    },
    /// The record is full: events of the guest are no longer written.
    Full {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Events that were not written since the record was full.
    Unwritten {
        /// Their total so far.
        total: u64,
    },
    /// The record could not be written for a time, in which the network was stopped.
    Gap {
        /// Its duration, in milliseconds.
        ms: u64,
        /// The error of the system.
        why: String,
    },
    /// A writer was killed in the middle of a line, which was cut.
    Recovered {
        /// Bytes that were cut.
        cut: u64,
    },
    /// The files are not as the last writer left them.
    Broken {
        /// The difference.
        why: String,
    },
}

/// The class of an event. Each class has its own share of a second's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Connection,
    Refusal,
    Question,
    Secret,
    /// Actions of the user and of the record itself.
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

    /// The name of its kind in [`Event::Omitted`].
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

    /// Bytes that the guest sent and received, for events that have both.
    fn bytes(&mut self) -> Option<(&mut u64, &mut u64)> {
        match self {
            Self::Closed { sent, received, .. } | Self::ExecEnded { sent, received, .. } => {
                Some((sent, received))
            }
            _ => None,
        }
    }

    /// Takes the byte counts out, so that equal events compare equal.
    pub(crate) fn take_bytes(&mut self) -> (u64, u64) {
        let bytes = self.bytes().map(|(sent, received)| (std::mem::take(sent), std::mem::take(received)));
        bytes.unwrap_or_default()
    }

    /// Puts byte counts back.
    pub(crate) fn put_bytes(&mut self, bytes: (u64, u64)) {
        if let Some((sent, received)) = self.bytes() {
            (*sent, *received) = bytes;
        }
    }

    /// Shortens texts that are too long.
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

/// The largest number of rules in one line.
const RULES: usize = 20;
