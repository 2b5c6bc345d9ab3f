//! Reports to the guest what its network denied, in the words of the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rave_guest::channel::denied::{MOST, Notice};
use rave_guest::channel::message::Request;
use rave_net::{Denial, Kind, Log};

use super::shared::Shared;
use crate::name::SandboxName;
use crate::network::message;

/// How often to check the log, which limits how often the guest is notified.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long the guest may take to write a file.
const LIMIT: Duration = Duration::from_secs(10);

/// Notifies in its own thread until the machine has ended.
pub(super) fn keep_notified(shared: &Arc<Shared>, name: SandboxName) {
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut notices = Notices::new(name);
        let mut seen = None;
        let mut take_new = |notices: &mut Notices| {
            let Some((number, log)) = shared.network().log_after(seen) else { return false };
            seen = Some(number);
            notices.take(&log)
        };
        // What an earlier supervisor saw, it has already reported.
        take_new(&mut notices);
        notices.kept.clear();
        let mut is_sent = true;
        while !shared.has_ended() {
            thread::sleep(POLL_INTERVAL);
            is_sent &= !take_new(&mut notices);
            if !is_sent && let Some(client) = shared.client(Duration::ZERO) {
                // A guest of an earlier version does not know the request, and is not asked again until there are new
                // denials.
                let _ = client.ask(&Request::Denied(notices.kept.clone()), LIMIT);
                is_sent = true;
            }
        }
    });
}

struct Notices {
    name: SandboxName,
    counts: HashMap<(Kind, String), u64>,
    kept: Vec<Notice>,
    last: u64,
}

impl Notices {
    fn new(name: SandboxName) -> Self {
        Self { name, counts: HashMap::new(), kept: Vec::new(), last: 0 }
    }

    /// Adds what is new; returns whether there was anything.
    fn take(&mut self, log: &Log) -> bool {
        let before = self.last;
        for denial in &log.denials {
            let key = (denial.kind, denial.to.clone());
            if self.counts.insert(key, denial.count) != Some(denial.count) {
                self.add(denial);
            }
        }
        // The log is bounded, and so is what we remember of it.
        if self.counts.len() > 2 * log.denials.len() {
            let has = |kind: Kind, to: &str| {
                log.denials.iter().any(|denial| denial.kind == kind && denial.to == to)
            };
            self.counts.retain(|(kind, to), _| has(*kind, to));
        }
        self.last != before
    }

    /// Keeps each message only once: a repeated denial moves to the end.
    fn add(&mut self, denial: &Denial) {
        let text = message(&self.name, denial);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.last = u64::try_from(now).unwrap_or(u64::MAX).max(self.last + 1);
        self.kept.retain(|notice| notice.text != text);
        self.kept.push(Notice { number: self.last, text });
        self.kept.drain(..self.kept.len().saturating_sub(MOST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: &[(&str, u64)]) -> Log {
        let denial = |(to, count): &(&str, u64)| Denial {
            first: 1,
            last: 1,
            count: *count,
            kind: Kind::Name,
            to: (*to).into(),
            rule: "mode restricted: no rule allows it".into(),
            allow: Some((*to).into()),
        };
        Log { denials: entries.iter().map(denial).collect(), ..Log::default() }
    }

    #[test]
    fn messages_are_unique_and_the_newest_is_last() {
        let mut notices = Notices::new("demo".parse().unwrap());
        assert!(notices.take(&log(&[("a.example", 1), ("b.example", 1)])));
        assert!(!notices.take(&log(&[("a.example", 1), ("b.example", 1)])));
        assert!(notices.take(&log(&[("a.example", 2), ("b.example", 1)])));
        let texts: Vec<&str> = notices.kept.iter().map(|notice| notice.text.as_str()).collect();
        assert_eq!(
            texts[1],
            "the name a.example was refused: mode restricted: no rule allows it; to allow it: cargo xtask net demo allow a.example"
        );
        assert!(texts.len() == 2 && texts[0].contains("b.example"));
        assert!(notices.kept[0].number < notices.kept[1].number);
    }

    #[test]
    fn messages_are_bounded() {
        let mut notices = Notices::new("demo".parse().unwrap());
        for number in 0..100 {
            notices.take(&log(&[(&format!("n{number}.example"), 1)]));
        }
        assert_eq!((notices.kept.len(), notices.counts.len() <= 2), (MOST, true));
    }
}
