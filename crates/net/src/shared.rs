//! State that the link's thread and its owner share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::inspector::Inspector;
use crate::journal::Journal;
use crate::model::Access;
use crate::policy::Policy;
use crate::secret::Secrets;
use crate::threads::Threads;
use crate::wake::Wake;
use crate::witness::SharedWitness;

#[derive(Debug)]
pub(crate) struct Shared {
    policy: Mutex<Arc<Policy>>,
    journal: Mutex<Journal>,
    pub(crate) witness: SharedWitness,
    pub(crate) wake: Wake,
    /// Threads of inspected connections.
    pub(crate) threads: Threads,
    pub(crate) inspector: Inspector,
    /// The model that is served to the guest.
    pub(crate) model: Option<Arc<Access>>,
    pub(crate) secrets: Arc<Secrets>,
    is_over: AtomicBool,
    is_attached: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        policy: Policy,
        journal: Journal,
        witness: SharedWitness,
        inspector: Inspector,
        model: Option<Access>,
        secrets: Arc<Secrets>,
    ) -> io::Result<Self> {
        Ok(Self {
            policy: Mutex::new(Arc::new(policy)),
            journal: Mutex::new(journal),
            witness,
            wake: Wake::new()?,
            threads: Threads::default(),
            inspector,
            model: model.map(Arc::new),
            secrets,
            is_over: AtomicBool::new(false),
            is_attached: AtomicBool::new(false),
        })
    }

    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        self.wake.wake();
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.wake.wake();
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn attached(&self, is: bool) {
        self.is_attached.store(is, Ordering::Relaxed);
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed)
    }
}
