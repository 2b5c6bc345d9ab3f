//! The model's provider, served to one sandbox at an address of its link. The guest shows a token that is useless
//! elsewhere; the user's key is added here.

mod meter;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::Utf8PathBuf;

use meter::Meter;
pub use meter::{Limits, Price, Usage};
pub(crate) use meter::{Tokens, estimate};

use crate::group::Origin;
use crate::upstream::{Trust, Upstream};

/// A sandbox's access to a model.
#[derive(Clone)]
pub struct Model {
    /// The provider, which speaks TLS.
    pub origin: Origin,
    /// The path before `/v1/messages`; empty, or without a final slash.
    pub prefix: String,
    /// The token that the guest shows.
    pub token: String,
    /// The user's key.
    pub key: Key,
    /// The sandbox's limits.
    pub limits: Limits,
    /// The price of a million tokens, by the beginning of a model's name.
    pub prices: Vec<(String, Price)>,
    /// The file that keeps its usage across restarts.
    pub usage: Option<Utf8PathBuf>,
}

/// A key, and the field that the provider expects it in.
#[derive(Clone, PartialEq, Eq)]
pub enum Key {
    /// In `x-api-key`.
    Api(String),
    /// In `authorization`, as a bearer token.
    Bearer(String),
}

/// Omits the key and the token.
impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("origin", &self.origin)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Whether it is valid in a header field.
    pub fn is_plain(&self) -> bool {
        let (Self::Api(key) | Self::Bearer(key)) = self;
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
    }

    /// The header field, with its line end.
    pub(crate) fn field(&self) -> String {
        match self {
            Self::Api(key) => format!("x-api-key: {key}\r\n"),
            Self::Bearer(key) => format!("authorization: Bearer {key}\r\n"),
        }
    }
}

impl Model {
    /// The price of a model; the highest price if the model is unknown or has none.
    pub(crate) fn price(&self, name: Option<&str>) -> Option<&Price> {
        let named =
            name.and_then(|name| self.prices.iter().find(|(start, _)| name.starts_with(start.as_str())));
        let highest = || self.prices.iter().max_by(|a, b| a.1.output.total_cmp(&b.1.output));
        named.or_else(highest).map(|(_, price)| price)
    }
}

/// A model and its usage.
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

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request of about this many tokens. Fails with the reason if a limit is reached.
    pub(crate) fn begin(&self, tokens: u64) -> Result<Held<'_>, String> {
        self.meter().begin(&self.model.limits, self.model.price(None), tokens)?;
        Ok(Held { access: self, tokens })
    }

    pub(crate) fn usage(&self) -> Usage {
        self.meter().usage()
    }
}

/// The tokens reserved for a running request. If the answer does not report its tokens, the reservation is dropped
/// without counting any.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    access: &'a Access,
    tokens: u64,
}

impl Held<'_> {
    /// Reserves this many tokens in total.
    pub(crate) fn at_least(&mut self, tokens: u64) {
        let more = tokens.saturating_sub(self.tokens);
        self.access.meter().hold(more);
        self.tokens += more;
    }

    /// Counts the tokens that an answer reported; the reserved ones if it reported none.
    pub(crate) fn settle(self, reported: Option<(Option<String>, Tokens)>) {
        let (name, tokens) = reported.unwrap_or((None, Tokens { input: self.tokens, ..Tokens::default() }));
        let price = self.access.model.price(name.as_deref());
        self.access.meter().end(tokens, price);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.access.meter().release(self.tokens);
    }
}
