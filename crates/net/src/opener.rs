//! What opening TLS needs: the sandbox's authority, and what the host trusts.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8PathBuf;

use crate::authority::Authority;
use crate::policy::Policy;
use crate::upstream::{Trust, Upstream};

#[derive(Debug)]
pub(crate) struct Opener {
    /// Where the authority's key is kept; nothing is opened without it.
    folder: Option<Utf8PathBuf>,
    authority: Mutex<Option<Arc<Authority>>>,
    pub(crate) upstream: Upstream,
}

impl Opener {
    pub(crate) fn new(folder: Option<Utf8PathBuf>, trust: Trust) -> Self {
        Self { folder, authority: Mutex::default(), upstream: Upstream::new(trust) }
    }

    /// Makes the authority one for the names that a policy opens; there is none while it opens none.
    pub(crate) fn prepare(&self, policy: &Policy) -> io::Result<()> {
        let names = policy.opened();
        let Some(folder) = self.folder.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        let authority = Arc::new(Authority::open(folder, &names)?);
        *self.authority.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority);
        Ok(())
    }

    pub(crate) fn authority(&self) -> Option<Arc<Authority>> {
        self.authority.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
