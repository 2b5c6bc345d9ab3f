//! The model's provider, served to one sandbox at an address of its link: the guest shows a token that is worth nothing elsewhere,
//! and the user's key is put in here.

mod meter;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::Utf8PathBuf;

use meter::Meter;
pub(crate) use meter::Tokens;
pub use meter::{Limits, Price, Usage};

use crate::group::Origin;
use crate::upstream::{Trust, Upstream};

/// A sandbox's access to a model.
#[derive(Clone)]
pub struct Model {
    /// Where the provider is. It speaks TLS.
    pub origin: Origin,
    /// What comes before `/v1/messages` there; empty, or a path without a final slash.
    pub prefix: String,
    /// What the guest shows.
    pub token: String,
    /// The user's key.
    pub key: Key,
    /// What the sandbox may use.
    pub limits: Limits,
    /// What a million tokens cost, by the beginning of a model's name.
    pub prices: Vec<(String, Price)>,
    /// Where its use is kept over restarts.
    pub usage: Option<Utf8PathBuf>,
}

/// A key, and how the provider takes it.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// In `x-api-key`.
    Api(String),
    /// In `authorization`, as a bearer's.
    Bearer(String),
}

/// Without the key and the token.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("origin", &self.origin)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Whether it can stand in a header.
    pub fn is_plain(&self) -> bool {
        let (Self::Api(key) | Self::Bearer(key)) = self;
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The field of a request, with its line's end.
    pub(crate) fn field(&self) -> String {
        match self {
            Self::Api(key) => format!("x-api-key: {key}\r\n"),
            Self::Bearer(key) => format!("authorization: Bearer {key}\r\n"),
        }
    }
}

/// A model and what was used of it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) model: Model,
    pub(crate) upstream: Upstream,
    meter: Mutex<Meter>,
}

impl Access {
    pub(crate) fn new(model: Model, trust: Trust) -> Self {
        let meter = Mutex::new(Meter::open(model.usage.clone()));
        Self { model, upstream: Upstream::new(trust), meter }
    }

    pub(crate) fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn usage(&self) -> Usage {
        self.meter().usage()
    }
}
