//! What a clone of a template renewed, as its sandbox keeps it.

use std::fs;

use rave_guest::channel::identity::Receipt;
use serde::{Deserialize, Serialize};

use crate::place::Place;

/// `identity.json`: with it a clone is a machine of its own, which starts from its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What the guest said. Text from the guest.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// How far the guest's clock was behind the host's once it was set, ms.
    pub clock_behind_after_ms: i64,
}

impl Identity {
    /// That of a sandbox; nothing where it is no clone, or none yet.
    pub fn of(place: &Place) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.identity()).ok()?).ok()
    }
}
