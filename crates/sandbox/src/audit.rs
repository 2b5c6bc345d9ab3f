//! The audit record of a sandbox: written by its supervisor if there is one, otherwise by the command itself.

use std::time::Duration;

use rave_audit::{Event, Recorder, Way, Writer};
use rave_net::{Kind, Seen, Witness};

use crate::control::{ANSWER, Connection, Order};
use crate::error::Error;
use crate::place::Place;

/// How long one attempt to lock takes: a starting supervisor keeps the lock, and can then be asked instead.
const TRY: Duration = Duration::from_millis(500);
/// Attempts before writing the record fails.
const TRIES: u32 = 20;

/// How long a record outlives its sandbox by default, seconds: thirty days.
pub const KEEP: u64 = 30 * 24 * 3600;

/// Begins the record, and reserves space for it.
pub fn begin(place: &Place) -> Result<(), Error> {
    Writer::open(&place.audit(), place.name().as_str(), TRY)?;
    Ok(())
}

/// Records what a command did with the sandbox.
pub fn note(place: &Place, event: &Event) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        if let Some(mut connection) = Connection::open(place) {
            connection.order(&Order::Note(Box::new(event.clone())), Some(ANSWER))?;
            return Ok(());
        }
        match Writer::open(&place.audit(), place.name().as_str(), TRY) {
            Ok(mut writer) => return Ok(writer.note(event.clone())?),
            Err(rave_audit::Error::Busy { .. }) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes the supervisor write pending events, so that a reader finds them.
pub fn flush(place: &Place) {
    if let Some(mut connection) = Connection::open(place) {
        // If there is no answer, the reader finds what has been written so far.
        let _ = connection.order(&Order::Record, Some(ANSWER));
    }
}

/// Records the network's events.
pub(crate) struct Recorded(pub(crate) std::sync::Arc<Recorder>);

impl Witness for Recorded {
    fn see(&self, seen: Seen) {
        let direction = |from_guest| if from_guest { Way::Out } else { Way::In };
        self.0.see(match seen {
            Seen::Opened { from_guest, to, rule } => Event::Opened { way: direction(from_guest), to, rule },
            Seen::Closed { from_guest, to, sent, received } => {
                Event::Closed { way: direction(from_guest), to, sent, received }
            }
            Seen::Denied { kind, to, rule } => Event::Denied { what: kind_name(kind).to_owned(), to, rule },
            Seen::Question { name, rule } => Event::Question { name, rule },
            Seen::Secret { name, to } => Event::Secret { name, to },
        });
    }

    fn can_record(&self) -> bool {
        self.0.can_record()
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Name => "name",
        Kind::Connection => "connection",
        Kind::Tls => "tls",
        Kind::Http => "http",
        Kind::Udp => "udp",
        Kind::Page => "page",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::name::SandboxName;
    use crate::store::Store;
    use crate::unix_time::now;
    use crate::{admission, network};
    use camino::Utf8Path;
    use rave_audit::{Entry, Reader, Verdict, verify};
    use rave_net::Mode;

    fn events(files: &rave_audit::Files) -> Vec<Event> {
        let mut reader = Reader::open(files).unwrap();
        std::iter::from_fn(|| reader.next_line().unwrap())
            .map(|line| Entry::parse(&line).unwrap().event)
            .collect()
    }

    fn store(folder: &tempfile::TempDir) -> Store {
        Store::new(Utf8Path::from_path(folder.path()).unwrap())
    }

    #[test]
    fn a_command_writes_without_a_supervisor_and_the_record_outlives_the_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let name: SandboxName = "box".parse().unwrap();
        let lock = store.claim(&name, &mut || ()).unwrap();
        let place = store.place(&name);
        begin(&place).unwrap();
        note(&place, &Event::Pull { changed: 3 }).unwrap();
        let change = network::Change { mode: Some(Mode::Open), ..network::Change::default() };
        store.network_of_stopped(&name, &change, &lock).unwrap();
        store.remove(&place, lock).unwrap();
        assert!(!place.folder().exists());
        let gone = store.earlier_audits(&name).unwrap();
        assert_eq!(gone.len(), 1);
        assert_eq!(
            events(&gone[0].files()),
            [
                Event::Begun { sandbox: "box".into() },
                Event::Pull { changed: 3 },
                Event::Policy { mode: "open".into(), rules: vec![] },
                Event::Removed,
            ]
        );
        assert!(matches!(verify(&gone[0].files()).unwrap(), Verdict::Whole { lines: 4, .. }));
        assert!(store.earlier_audits(&"bo".parse().unwrap()).unwrap().is_empty());
        assert_eq!(store.expired_audits(now() + KEEP - 60).unwrap(), []);
        assert_eq!(store.expired_audits(now() + KEEP + 60).unwrap(), gone);
    }

    #[test]
    fn records_outlive_the_sandbox_as_configured() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        for (keep, count) in [(0, 0), (3600, 1)] {
            admission::keep(&store, Limits { keep_audit: Some(keep), ..Limits::default() }).unwrap();
            let name: SandboxName = "box".parse().unwrap();
            let lock = store.claim(&name, &mut || ()).unwrap();
            let place = store.place(&name);
            begin(&place).unwrap();
            store.remove(&place, lock).unwrap();
            assert_eq!(store.expired_audits(now() + keep + 60).unwrap().len(), count, "{keep}");
        }
    }

    #[test]
    fn leftovers_of_a_killed_removal_are_swept_and_the_record_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let name: SandboxName = "a-box".parse().unwrap();
        drop(store.claim(&name, &mut || ()).unwrap());
        begin(&store.place(&name)).unwrap();
        std::fs::rename(store.place(&name).folder(), store.root().join(".removed-a-box-1")).unwrap();
        drop(store.claim(&"other".parse().unwrap(), &mut || ()).unwrap());
        assert!(!store.root().join(".removed-a-box-1").exists());
        assert_eq!(store.earlier_audits(&name).unwrap().len(), 1);
    }
}
