//! Folds the events of a second: equal events become one entry, and each class has a limited number of entries.

use std::collections::BTreeMap;

use crate::event::{Class, Event};

/// The largest number of lines for one second.
pub const LINES_A_SECOND: usize = 50;

/// The lines of each class, so that a flood of one class hides no other; one line is reserved for [`Event::Omitted`].
const fn share(class: Class) -> usize {
    match class {
        Class::Connection => 18,
        Class::Refusal => 11,
        Class::Question => 7,
        Class::Secret => 4,
        Class::Own => LINES_A_SECOND - 1 - 18 - 11 - 7 - 4,
    }
}

/// Equal events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folded {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) count: u64,
    pub(crate) event: Event,
}

/// The events since the last [`Fold::take`].
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// Events without their byte counts, and the byte counts.
    entries: Vec<(Folded, (u64, u64))>,
    omitted: BTreeMap<String, u64>,
    bytes: (u64, u64),
    /// The times of the first and the last omitted event.
    times: Option<(u64, u64)>,
}

impl Fold {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.omitted.is_empty()
    }

    /// Adds an event that happened at `now`, in milliseconds since 1970.
    pub(crate) fn add(&mut self, event: Event, now: u64) {
        let mut event = event.bounded();
        let (sent, received) = event.take_bytes();
        if let Some((known, bytes)) = self.entries.iter_mut().find(|(known, _)| known.event == event) {
            known.last = now;
            known.count += 1;
            *bytes = (bytes.0.saturating_add(sent), bytes.1.saturating_add(received));
            return;
        }
        let class = event.class();
        let has = self.entries.iter().filter(|(known, _)| known.event.class() == class).count();
        if has < share(class) {
            self.entries.push((Folded { first: now, last: now, count: 1, event }, (sent, received)));
            return;
        }
        *self.omitted.entry(event.kind().to_owned()).or_default() += 1;
        self.bytes = (self.bytes.0.saturating_add(sent), self.bytes.1.saturating_add(received));
        self.times = Some((self.times.map_or(now, |(first, _)| first), now));
    }

    /// Takes all entries, in the order of their first event.
    pub(crate) fn take(&mut self) -> Vec<Folded> {
        let Self { entries, omitted, bytes: (sent, received), times } = std::mem::take(self);
        let mut all: Vec<Folded> = entries
            .into_iter()
            .map(|(mut folded, bytes)| {
                folded.event.put_bytes(bytes);
                folded
            })
            .collect();
        if let Some((first, last)) = times {
            let count = omitted.values().sum();
            all.push(Folded { first, last, count, event: Event::Omitted { kinds: omitted, sent, received } });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Way;

    fn closed(to: &str, sent: u64) -> Event {
        Event::Closed { way: Way::Out, to: to.into(), sent, received: 1 }
    }

    #[test]
    fn equal_events_are_merged_and_their_bytes_added() {
        let mut fold = Fold::default();
        for (at, sent) in [(10, 5), (12, 6), (19, 7)] {
            fold.add(closed("a.example:443", sent), at);
            fold.add(closed("b.example:443", 1), at);
        }
        let all = fold.take();
        assert_eq!(all.len(), 2);
        let event = Event::Closed { way: Way::Out, to: "a.example:443".into(), sent: 18, received: 3 };
        assert_eq!(all[0], Folded { first: 10, last: 19, count: 3, event });
        assert!(fold.is_empty());
    }

    #[test]
    fn a_flood_of_one_kind_is_counted_and_hides_no_other_event() {
        let mut fold = Fold::default();
        for number in 0..10_000 {
            let to = format!("{number}.example");
            fold.add(Event::Denied { what: "name".into(), to, rule: "no rule".into() }, number);
        }
        for number in 0..1000 {
            fold.add(closed(&number.to_string(), 2), 5);
        }
        for at in 0..100 {
            fold.add(Event::Secret { name: "forge".into(), to: "a.example:443".into() }, at);
        }
        fold.add(Event::Removed, 7);
        let all = fold.take();
        assert!(all.len() <= LINES_A_SECOND, "{}", all.len());
        assert!(all.iter().any(|folded| folded.event == Event::Removed));
        let used = all.iter().find(|folded| matches!(folded.event, Event::Secret { .. })).unwrap();
        assert_eq!((used.first, used.last, used.count), (0, 99, 100));
        let connections = share(Class::Connection) as u64;
        let kinds = BTreeMap::from([
            ("closed".to_owned(), 1000 - connections),
            ("denied".to_owned(), 10_000 - share(Class::Refusal) as u64),
        ]);
        let sent = 2 * (1000 - connections);
        let omitted = Event::Omitted { kinds, sent, received: 1000 - connections };
        assert_eq!(all.last().unwrap().event, omitted);
        assert_eq!(all.iter().map(|folded| folded.count).sum::<u64>(), 11_101);
    }
}
