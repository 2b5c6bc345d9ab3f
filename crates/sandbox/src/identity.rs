//! What a clone of a template renewed, as recorded in its sandbox.

use std::fs;

use rave_guest::channel::identity::Receipt;
use serde::{Deserialize, Serialize};

use crate::place::Place;

/// `identity.json`: once it exists, a clone is an independent machine, which starts from its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The guest's receipt. Text from the guest.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// How far the guest's clock was behind the host's after it was set, ms.
    pub clock_behind_after_ms: i64,
}

impl Identity {
    /// The identity of a sandbox; `None` if it is not a clone, or has none yet.
    pub fn of(place: &Place) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.identity()).ok()?).ok()
    }
}
