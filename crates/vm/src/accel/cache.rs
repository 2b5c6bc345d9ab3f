//! The probe's results, cached until the host reboots or QEMU changes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::{Engine, KvmState};
use crate::Error;
use crate::files::write_atomically;
use crate::qemu::{Qemu, QemuVersion};

/// Increased when the meaning of the file or of the guest changes.
const SCHEMA: u32 = 2;

/// What a result is valid for: this boot of the host and this QEMU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    schema: u32,
    /// `/proc/sys/kernel/random/boot_id`, random(4).
    host_boot: String,
    qemu: Utf8PathBuf,
    qemu_version: QemuVersion,
    /// Bytes.
    qemu_size: u64,
    /// Seconds and nanoseconds since 1970.
    qemu_modified: (i64, i64),
}

impl Key {
    pub(super) fn of(qemu: &Qemu) -> Result<Self, Error> {
        let meta = fs::metadata(&qemu.program).map_err(|e| Error::io("inspect", &qemu.program, e))?;
        // Without a boot id (a kernel other than Linux) a result is valid until QEMU changes.
        let host_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self {
            schema: SCHEMA,
            host_boot: host_boot.trim().to_owned(),
            qemu: qemu.program.clone(),
            qemu_version: qemu.version,
            qemu_size: meta.size(),
            qemu_modified: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cache {
    key: Key,
    /// The state of KVM, and the engine if it works.
    pub(super) kvm: Option<(KvmState, Option<Engine>)>,
    /// The engine with which TCG computes correctly, and how long the guest took, ms.
    pub(super) tcg: Option<(Engine, u64)>,
}

pub(super) fn file(cache_dir: &Utf8Path) -> Utf8PathBuf {
    cache_dir.join("accelerator.json")
}

impl Cache {
    pub(super) fn empty(key: &Key) -> Self {
        Self { key: key.clone(), kvm: None, tcg: None }
    }

    /// The results for `key`. A file that is missing, damaged or about another key yields none.
    pub(super) fn load(file: &Utf8Path, key: &Key) -> Self {
        let known = fs::read(file).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        known.filter(|known| known.key == *key).unwrap_or_else(|| Self::empty(key))
    }

    pub(super) fn save(&self, file: &Utf8Path) -> Result<(), Error> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        }
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::io("write", file, e.into()))?;
        write_atomically(file, &text, 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Progress;
    use std::time::Duration;

    fn key(host_boot: &str) -> Key {
        Key {
            schema: SCHEMA,
            host_boot: host_boot.into(),
            qemu: "/usr/bin/qemu".into(),
            qemu_version: crate::qemu::OLDEST,
            qemu_size: 1,
            qemu_modified: (2, 3),
        }
    }

    #[test]
    fn a_result_round_trips_with_its_cause_for_the_same_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(Utf8Path::from_path(&folder.path().join("new")).unwrap());
        let mut cache = Cache::empty(&key("monday"));
        let hangs = KvmState::Hangs { after: Duration::from_secs(6), reached: Progress::Interrupts };
        cache.kvm = Some((hangs, None));
        cache.tcg = Some((Engine::TcgWithoutAvx2, 300));
        cache.save(&file).unwrap();
        assert_eq!(Cache::load(&file, &key("monday")), cache);
        assert_eq!(Cache::load(&file, &key("tuesday")), Cache::empty(&key("tuesday")));
        let newer = Key { qemu_modified: (2, 4), ..key("monday") };
        assert_eq!(Cache::load(&file, &newer), Cache::empty(&newer));
    }

    #[test]
    fn damaged_and_missing_files_are_cache_misses() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(Utf8Path::from_path(folder.path()).unwrap());
        assert_eq!(Cache::load(&file, &key("a")), Cache::empty(&key("a")));
        fs::write(&file, "{\"key\":").unwrap();
        assert_eq!(Cache::load(&file, &key("a")), Cache::empty(&key("a")));
    }
}
