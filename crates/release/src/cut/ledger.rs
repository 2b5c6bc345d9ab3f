//! The finished stages of a release with their results, stored in its work folder.

use std::fs;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::{Digest, Hasher};
use rave_process::progress::{Event, Sink, StageOutcome, Unit};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext as _};
use crate::parts::write_whole;

/// The name of all stages together in progress events.
const WHOLE: &str = "release";

/// A finished stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTime {
    /// Its name.
    pub name: String,
    /// Its duration, in the run that did it.
    pub seconds: f64,
    /// Whether an earlier run did it.
    pub reused: bool,
}

impl Eq for StageTime {}

#[derive(Serialize, Deserialize)]
struct Record<T> {
    key: Digest,
    seconds: f64,
    result: T,
}

#[derive(Serialize, Deserialize)]
struct Begun {
    plan: Digest,
    started: i64,
}

/// The stages of a release. A stage's key is derived from the plan and the results of all previous stages: if one of
/// these changes, the following stages are redone.
pub(super) struct Ledger<'a> {
    folder: Utf8PathBuf,
    started: i64,
    chain: Digest,
    times: Vec<StageTime>,
    count: u64,
    clock: Instant,
    sink: Sink<'a>,
}

impl<'a> Ledger<'a> {
    /// Opens the ledger of a work folder. Content that belongs to another plan is removed. `count` stages will follow.
    /// `now` is in seconds since 1970.
    pub(super) fn open(
        work: &Utf8Path,
        plan: Digest,
        count: u64,
        now: i64,
        sink: Sink<'a>,
    ) -> Result<Self, Error> {
        let folder = work.join("stages");
        let path = folder.join("begun.json");
        let begun = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Begun>(&bytes).ok());
        let started = if let Some(begun) = begun.filter(|begun| begun.plan == plan) {
            begun.started
        } else {
            for stale in [&folder, &work.join("folder")] {
                match fs::remove_dir_all(stale) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("remove", stale, error));
                    }
                    _ => {}
                }
            }
            let begun = serde_json::to_vec(&Begun { plan, started: now }).unwrap_or_default();
            write_whole(&path, &begun)?;
            now
        };
        // Partially written files of a killed run.
        sweep(&work.join("folder"))?;
        sink(Event::StageStarted { stage: WHOLE });
        Ok(Self { folder, started, chain: plan, times: Vec::new(), count, clock: Instant::now(), sink })
    }

    /// When the first run began, seconds since 1970.
    pub(super) fn started(&self) -> i64 {
        self.started
    }

    pub(super) fn sink(&self) -> Sink<'a> {
        self.sink
    }

    /// Makes the following stages depend on bytes that no stage produced.
    pub(super) fn depend_on(&mut self, name: &str, bytes: &[u8]) {
        let mut chain = Hasher::default();
        chain.field("before", self.chain.bytes()).field(name, bytes);
        self.chain = chain.finish();
    }

    /// Ends the ledger: all stages are done.
    pub(super) fn finish(self) -> Vec<StageTime> {
        let (elapsed, outcome) = (self.clock.elapsed(), StageOutcome::Built);
        (self.sink)(Event::StageFinished { stage: WHOLE, elapsed, outcome });
        self.times
    }

    /// The result of a stage: that of an earlier run if it still `holds`, otherwise that of `work`.
    pub(super) fn stage<T: Serialize + DeserializeOwned, E: From<Error>>(
        &mut self,
        name: &str,
        holds: impl FnOnce(&T) -> bool,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        rave_process::interrupt::check().map_err(|_| Error::Interrupted)?;
        let sink = self.sink;
        sink(Event::StageStarted { stage: name });
        let mut key = Hasher::default();
        key.field("before", self.chain.bytes()).field("stage", name.as_bytes());
        let key = key.finish();
        let path = self.folder.join(format!("{}.json", name.replace(' ', "-")));
        let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record<T>>(&bytes).ok());
        let kept = kept.filter(|record| record.key == key && holds(&record.result));
        let (record, outcome) = if let Some(record) = kept {
            (record, StageOutcome::Reused)
        } else {
            let clock = Instant::now();
            let result = work()?;
            let record = Record { key, seconds: clock.elapsed().as_secs_f64(), result };
            let text = serde_json::to_vec(&record).map_err(|error| Error::damaged(&path, error))?;
            write_whole(&path, &text)?;
            (record, StageOutcome::Built)
        };
        let result = serde_json::to_vec(&record.result).map_err(|error| Error::damaged(&path, error))?;
        let mut chain = Hasher::default();
        chain.field("key", key.bytes()).field("result", &result);
        self.chain = chain.finish();
        let elapsed = Duration::try_from_secs_f64(record.seconds).unwrap_or_default();
        sink(Event::StageFinished { stage: name, elapsed, outcome });
        let reused = outcome == StageOutcome::Reused;
        self.times.push(StageTime { name: name.to_owned(), seconds: record.seconds, reused });
        let (done, total) = (self.times.len() as u64, Some(self.count));
        sink(Event::StageProgress { stage: WHOLE, done, total, unit: Unit::Stages });
        Ok(record.result)
    }
}

fn sweep(folder: &Utf8Path) -> Result<(), Error> {
    let entries = match folder.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", folder, error)),
    };
    for entry in entries {
        let path = entry.at("list", folder)?.into_path();
        if path.is_dir() {
            sweep(&path)?;
        } else if path.as_str().ends_with(".partial") {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}
