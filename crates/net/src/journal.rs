//! Records what was refused and, in mode `learn`, the rules that a list would need. Bounded in memory and on disk:
//! equal denials are one entry with a count.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::witness::{Kind, Seen, SharedWitness};

/// The largest number of entries; the oldest are removed first.
const MOST: usize = 500;
/// The largest number of new entries per second; others are only counted.
const RATE: u32 = 50;
/// The largest number of learned rules.
const LEARNED: usize = 500;
/// The longest text of an entry, in characters.
const TEXT: usize = 300;
/// The longest file that is read, in bytes.
const FILE: u64 = 4 << 20;
/// The shortest interval between writes of the file.
const PAUSE: Duration = Duration::from_secs(1);

/// Equal denials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// When the first happened, in seconds since 1970.
    pub first: u64,
    /// When the last happened.
    pub last: u64,
    /// The number of denials.
    pub count: u64,
    /// What was refused.
    pub kind: Kind,
    /// The destination. Text from the guest.
    pub to: String,
    /// The rule that decided.
    pub rule: String,
    /// The rule that would allow it, if any.
    pub allow: Option<String>,
}

impl Denial {
    /// The message for users, without the command that allows it, which depends on the program that prints it.
    pub fn message(&self) -> String {
        let what = match self.kind {
            Kind::Name => "the name",
            Kind::Connection => "a connection to",
            Kind::Tls => "a TLS connection to",
            Kind::Http => "an HTTP request to",
            Kind::Udp => "UDP to",
            Kind::Page => "a browser's request to",
        };
        format!("{what} {} was refused: {}", self.to, self.rule)
    }
}

/// The content of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Log {
    /// Denials, the oldest first.
    pub denials: Vec<Denial>,
    /// The number of denials that were not kept.
    #[serde(default)]
    pub dropped: u64,
    /// Rules that would allow what was reached in mode `learn`.
    #[serde(default)]
    pub learned: BTreeSet<String>,
}

impl Log {
    /// Reads the file of an earlier journal; empty if there is none or it cannot be read.
    pub fn read(path: &Utf8Path) -> Self {
        let is_short = path.metadata().is_ok_and(|about| about.len() <= FILE);
        let bytes = if is_short { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) struct Journal {
    path: Option<Utf8PathBuf>,
    witness: SharedWitness,
    entries: VecDeque<Denial>,
    /// The number of the first entry.
    first: u64,
    numbers: HashMap<(Kind, String), u64>,
    dropped: u64,
    learned: BTreeSet<String>,
    is_changed: bool,
    /// How many times something was refused.
    refusals: u64,
    written: Option<Instant>,
    /// The current second, and the number of new entries in it.
    second: (u64, u32),
}

impl Journal {
    /// Continues the journal of this file.
    pub(crate) fn open(path: Option<Utf8PathBuf>, witness: SharedWitness) -> Self {
        let log = path.as_deref().map(Log::read).unwrap_or_default();
        let entries: VecDeque<Denial> = log.denials.into_iter().take(MOST).collect();
        let numbers = (0..).zip(&entries).map(|(number, entry)| ((entry.kind, entry.to.clone()), number));
        Self {
            numbers: numbers.collect(),
            path,
            witness,
            entries,
            first: 0,
            dropped: log.dropped,
            learned: log.learned.into_iter().take(LEARNED).collect(),
            is_changed: false,
            refusals: 0,
            written: None,
            second: (0, 0),
        }
    }

    pub(crate) fn deny(&mut self, kind: Kind, to: &str, rule: &str, allow: Option<&Rule>) {
        let now = seconds();
        self.is_changed = true;
        self.refusals += 1;
        let to: String = to.chars().take(TEXT).collect();
        let rule: String = rule.chars().take(TEXT).collect();
        self.witness.0.see(Seen::Denied { kind, to: to.clone(), rule: rule.clone() });
        let allow = allow.map(ToString::to_string);
        let key = (kind, to);
        let known = self
            .numbers
            .get(&key)
            .and_then(|number| self.entries.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?));
        if let Some(entry) = known {
            entry.last = now;
            entry.count += 1;
            entry.rule = rule;
            entry.allow = allow;
            return;
        }
        if self.second.0 != now {
            self.second = (now, 0);
        }
        self.second.1 += 1;
        if self.second.1 > RATE {
            self.dropped += 1;
            return;
        }
        if self.entries.len() >= MOST
            && let Some(gone) = self.entries.pop_front()
        {
            self.numbers.remove(&(gone.kind, gone.to));
            self.first += 1;
            self.dropped += gone.count;
        }
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(Denial {
            first: now,
            last: now,
            count: 1,
            kind,
            to: key.1.clone(),
            rule,
            allow,
        });
        self.numbers.insert(key, number);
    }

    pub(crate) fn learn(&mut self, rule: &Rule) {
        if self.learned.len() < LEARNED {
            self.is_changed |= self.learned.insert(rule.to_string());
        }
    }

    /// The content and its number; nothing if nothing was refused since number `seen`.
    pub(crate) fn log_after(&self, seen: Option<u64>) -> Option<(u64, Log)> {
        (seen != Some(self.refusals)).then(|| (self.refusals, self.log()))
    }

    pub(crate) fn log(&self) -> Log {
        Log {
            denials: self.entries.iter().cloned().collect(),
            dropped: self.dropped,
            learned: self.learned.clone(),
        }
    }

    /// Writes the file if there are changes, at most once a second. Returns the time until the next write is due.
    pub(crate) fn save(&mut self, now: Instant, at_once: bool) -> Option<Duration> {
        let path = self.path.as_ref().filter(|_| self.is_changed)?;
        let since = self.written.map_or(PAUSE, |at| now.saturating_duration_since(at));
        if since < PAUSE && !at_once {
            return Some(PAUSE.saturating_sub(since));
        }
        self.written = Some(now);
        self.is_changed = false;
        if let Ok(text) = serde_json::to_vec(&self.log()) {
            // A full disk costs the log, not the network: entries in memory are still reported.
            let _ = Replace::new(path).mode(0o600).unsynced().write(text);
        }
        None
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::NoRecord;
    use std::sync::Arc;

    fn no_witness() -> SharedWitness {
        SharedWitness(Arc::new(NoRecord))
    }

    fn deny(journal: &mut Journal, to: &str) {
        journal.deny(Kind::Name, to, "no rule", None);
    }

    #[test]
    fn equal_denials_share_an_entry_and_all_are_bounded() {
        let mut journal = Journal::open(None, no_witness());
        for _ in 0..1000 {
            deny(&mut journal, "a.example");
        }
        for number in 0..100_000 {
            deny(&mut journal, &format!("{number}.example"));
        }
        let log = journal.log();
        assert_eq!((log.denials[0].count, log.denials[0].to.as_str()), (1000, "a.example"));
        assert!(log.denials.len() <= MOST && journal.numbers.len() <= MOST);
        let reported: u64 = log.denials.iter().map(|entry| entry.count).sum();
        assert_eq!(reported + log.dropped, 101_000);
    }

    #[test]
    fn recorded_entries_are_not_copied_again() {
        let mut journal = Journal::open(None, no_witness());
        let (seen, log) = journal.log_after(None).unwrap();
        assert!(log.denials.is_empty() && journal.log_after(Some(seen)).is_none());
        deny(&mut journal, "a.example");
        let (seen, log) = journal.log_after(Some(seen)).unwrap();
        assert!(log.denials.len() == 1 && journal.log_after(Some(seen)).is_none());
    }

    #[test]
    fn a_journal_resumes_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("log.json")).unwrap();
        let mut journal = Journal::open(Some(path.clone()), no_witness());
        deny(&mut journal, "a.example");
        assert_eq!(journal.save(Instant::now(), false), None);
        deny(&mut journal, "b.example");
        assert!(journal.save(Instant::now(), false).is_some(), "once a second");
        journal.save(Instant::now(), true);
        let mut again = Journal::open(Some(path.clone()), no_witness());
        deny(&mut again, "a.example");
        assert_eq!(again.log().denials.iter().map(|entry| entry.count).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(Log::read(&path).denials.len(), 2);
    }
}
