//! Durations of stages and sizes of profiles of the last release, kept in the state folder for `--dry-run`.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_release::cut::Finished;
use rave_release::manifest::ProfileRelease;
use serde::{Deserialize, Serialize};

/// What is known about earlier releases: the last value for each stage and profile.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct LastRun {
    /// Seconds by stage.
    seconds: BTreeMap<String, f64>,
    /// Bytes of the artifacts by profile.
    sizes: BTreeMap<String, u64>,
}

impl LastRun {
    /// Reads the file; empty if it cannot be read.
    pub(super) fn read(state_dir: &Utf8Path) -> Self {
        fs::read(path(state_dir))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Adds a release.
    pub(super) fn add(&mut self, finished: &Finished) {
        self.seconds.extend(finished.stages.iter().map(|stage| (stage.name.clone(), stage.seconds)));
        self.sizes.extend(finished.profiles.iter().map(|one| (one.profile.clone(), size(one))));
    }

    /// Writes the file.
    pub(super) fn save(&self, state_dir: &Utf8Path) -> std::io::Result<()> {
        fs::create_dir_all(state_dir)?;
        Replace::new(&path(state_dir)).write(serde_json::to_vec_pretty(self)?)
    }

    /// The duration of a stage as text.
    pub(super) fn time(&self, stage: &str) -> String {
        self.seconds.get(stage).map(|seconds| format!("{seconds:.1} s")).unwrap_or_default()
    }

    /// The size of a profile as text.
    pub(super) fn size(&self, profile: &str) -> Option<String> {
        self.sizes.get(profile).map(|size| format!("{} MiB", size >> 20))
    }
}

/// Bytes of the artifacts of a profile.
pub(super) fn size(profile: &ProfileRelease) -> u64 {
    profile.artifacts.iter().flat_map(|artifact| &artifact.files).map(|file| file.size).sum()
}

fn path(state_dir: &Utf8Path) -> Utf8PathBuf {
    state_dir.join("last-release.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_release::cut::StageTime;

    #[test]
    fn the_last_duration_of_each_stage_is_kept_and_damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(folder.path()).unwrap().join("state");
        let took = |name: &str, seconds| StageTime { name: name.into(), seconds, reused: false };
        for (name, seconds) in [("build simple", 90.0), ("sign", 0.2), ("build simple", 60.04)] {
            let mut last = LastRun::read(&state);
            last.add(&Finished { profiles: Vec::new(), stages: vec![took(name, seconds)] });
            last.save(&state).unwrap();
        }
        let last = LastRun::read(&state);
        assert_eq!((last.time("build simple").as_str(), last.time("sign").as_str()), ("60.0 s", "0.2 s"));
        assert_eq!((last.time("notes").as_str(), last.size("simple")), ("", None));
        fs::write(path(&state), "{").unwrap();
        assert_eq!(LastRun::read(&state), LastRun::default());
    }
}
