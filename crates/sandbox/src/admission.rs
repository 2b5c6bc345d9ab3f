//! Whether another sandbox may be started.

use rave_fs::Replace;

use crate::error::Error;
use crate::limits::{Free, Limits, Takers};
use crate::state::current_state;
use crate::store::Store;

/// Saves the limits for commands that do not read `rave.toml`.
pub fn keep(store: &Store, limits: Limits) -> Result<(), Error> {
    let path = store.limits_file();
    let text = serde_json::to_vec_pretty(&limits).map_err(|e| Error::io("write", &path, e.into()))?;
    Replace::new(&path).mode(0o600).write(text).map_err(|e| Error::io("write", &path, e))
}

/// Refuses another sandbox if the existing ones use up their limits, or the host has too little left for it.
pub fn admit(store: &Store, free: Free) -> Result<(), Error> {
    let (mut memory, mut disk) = (Takers::new(), Takers::new());
    for name in store.names()? {
        let current = current_state(&store.place(&name));
        memory.extend(current.memory.map(|bytes| (name.clone(), bytes)));
        disk.push((name, current.disk.saturating_add(current.saved_memory)));
    }
    store.limits().over(&memory, &disk, free).map_or(Ok(()), |over| Err(Error::OverLimit(over)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    #[test]
    fn stored_limits_are_reread_and_apply() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8Path::from_path(folder.path()).unwrap());
        assert_eq!(store.limits(), Limits::default());
        admit(&store, Free::default()).unwrap();
        let limits = Limits { disk: Some(0), keep_audit: Some(0), ..Limits::default() };
        keep(&store, limits).unwrap();
        assert_eq!(store.limits(), limits);
        let error = admit(&store, Free::default()).unwrap_err();
        assert!(error.to_string().contains("disk space") && error.remedy().is_some(), "{error}");
    }
}
