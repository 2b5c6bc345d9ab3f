//! Runs one stage at a time: takes its result from the cache, or builds it and reports progress.

use std::path::PathBuf;
use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::network::NetworkEnvironment;
use rave_process::progress::{Event, Sink, StageOutcome};

use crate::digest::Digest;
use crate::error::{Error, StageContext as _};
use crate::stage_cache::{CachedStage, PendingStage, StageCache};
use crate::tempdir::ScratchDir;
use crate::tool::tool;

/// What every stage needs.
pub(crate) struct StageRunner<'a> {
    store: StageCache,
    cache_dir: Utf8PathBuf,
    log_dir: Utf8PathBuf,
    refresh: bool,
    network: NetworkEnvironment,
    sink: Sink<'a>,
}

impl<'a> StageRunner<'a> {
    /// With `refresh` each stage is built even if its result is cached.
    pub(crate) fn new(
        store: StageCache,
        cache_dir: &Utf8Path,
        log_dir: &Utf8Path,
        refresh: bool,
        sink: Sink<'a>,
    ) -> Self {
        let network = NetworkEnvironment::of_this_process();
        Self { store, cache_dir: cache_dir.to_owned(), log_dir: log_dir.to_owned(), refresh, network, sink }
    }

    /// The same with another network environment.
    #[cfg(test)]
    pub(crate) fn with_network(self, network: NetworkEnvironment) -> Self {
        Self { network, ..self }
    }

    /// The network settings of the user's environment.
    pub(crate) fn network(&self) -> &NetworkEnvironment {
        &self.network
    }

    /// Writes the certificate authorities named by the environment into one file of a folder.
    pub(crate) fn authorities(&self, folder: &Utf8Path) -> Result<Option<PathBuf>, Error> {
        self.network.write_authorities(folder.as_std_path()).map_err(|error| Error::Input {
            what: error.variable.into(),
            detail: format!("cannot read {}: {}", error.path.display(), error.source),
        })
    }

    /// The result of a stage: from the cache, otherwise made by `build` in a folder that appears atomically.
    pub(crate) fn run(
        &self,
        stage: &'static str,
        key: &Digest,
        build: impl FnOnce(&PendingStage) -> Result<(), Error>,
    ) -> Result<CachedStage, Error> {
        if let Some(entry) = self.finished(stage, key) {
            let elapsed = std::time::Duration::ZERO;
            self.report(Event::StageFinished { stage, elapsed, outcome: StageOutcome::Reused });
            return Ok(entry);
        }
        self.timed(stage, || {
            let pending = self.store.begin(stage, key)?;
            build(&pending)?;
            let entry = pending.commit()?;
            self.store.prune(stage)?;
            Ok(entry)
        })
    }

    /// The cached result of a stage, unless a refresh was requested.
    pub(crate) fn finished(&self, stage: &str, key: &Digest) -> Option<CachedStage> {
        if self.refresh { None } else { self.store.get(stage, key) }
    }

    /// Reports the start and the end of work whose result is stored elsewhere.
    pub(crate) fn timed<T>(
        &self,
        stage: &'static str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.report(Event::StageStarted { stage });
        let started = Instant::now();
        let result = work()?;
        self.report(Event::StageFinished { stage, elapsed: started.elapsed(), outcome: StageOutcome::Built });
        Ok(result)
    }

    /// Reports an event to the user interface.
    pub(crate) fn report(&self, event: Event<'_>) {
        (self.sink)(event);
    }

    /// Runs command lines one after the other.
    pub(crate) fn run_all(&self, stage: &'static str, commands: &[Vec<String>]) -> Result<(), Error> {
        commands.iter().try_for_each(|argv| {
            let command = tool(&argv[0]).args(&argv[1..]).log_file(self.log(stage));
            command.run(&mut |_| ()).stage(stage).map(drop)
        })
    }

    /// The log file of a stage's program.
    pub(crate) fn log(&self, stage: &str) -> Utf8PathBuf {
        self.log_dir.join(format!("{stage}.log"))
    }

    /// A large temporary folder.
    pub(crate) fn scratch(&self, needed: u64) -> Result<ScratchDir, Error> {
        ScratchDir::create(&self.cache_dir, needed)
    }

    /// The cache folder, for programs that have their own caches there.
    pub(crate) fn cache_dir(&self) -> &Utf8Path {
        &self.cache_dir
    }
}
