//! The state for opening TLS: the sandbox's authority, and the authorities that the host trusts.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8PathBuf;

use crate::authority::Authority;
use crate::policy::Policy;
use crate::secret::Secrets;
use crate::upstream::{Trust, Upstream};

#[derive(Debug)]
pub(crate) struct Inspector {
    /// The folder of the authority's key; without it no TLS is inspected.
    folder: Option<Utf8PathBuf>,
    authority: Mutex<Option<Arc<Authority>>>,
    pub(crate) upstream: Upstream,
    secrets: Arc<Secrets>,
}

impl Inspector {
    pub(crate) fn new(folder: Option<Utf8PathBuf>, trust: Trust, secrets: Arc<Secrets>) -> Self {
        Self { folder, authority: Mutex::default(), upstream: Upstream::new(trust), secrets }
    }

    /// An authority for the names that a policy opens; nothing if it opens none.
    pub(crate) fn prepare(&self, policy: &Policy) -> io::Result<Option<Arc<Authority>>> {
        let mut names = policy.inspected();
        names.extend(self.secrets.inspected(policy));
        let Some(folder) = self.folder.as_ref().filter(|_| !names.is_empty()) else { return Ok(None) };
        Ok(Some(Arc::new(Authority::open(folder, &names)?)))
    }

    /// Switches to a new authority; without one the previous stays in use.
    pub(crate) fn renew(&self, authority: Option<Arc<Authority>>) {
        if authority.is_some() {
            *self.authority.lock().unwrap_or_else(PoisonError::into_inner) = authority;
        }
    }

    pub(crate) fn authority(&self) -> Option<Arc<Authority>> {
        self.authority.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_replaced_only_by_renew_and_if_it_can_be_created() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(scratch.path().join("sandbox")).unwrap();
        let inspector = Inspector::new(Some(folder.clone()), Trust::OfHost, Arc::default());
        let policy = Policy { allow: vec!["a.example,inspect".parse().unwrap()], ..Policy::default() };
        assert!(inspector.prepare(&policy).is_err(), "there is no folder for its key");
        std::fs::create_dir(&folder).unwrap();
        let prepared = inspector.prepare(&policy).unwrap();
        assert!(prepared.is_some() && inspector.authority().is_none());
        inspector.renew(prepared);
        assert!(inspector.authority().is_some());
        inspector.renew(inspector.prepare(&Policy::default()).unwrap());
        assert!(inspector.authority().is_some(), "what is connected goes on with it");
    }
}
