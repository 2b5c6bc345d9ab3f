//! What a host gives to its guest besides an identity: whom it trusts, and variables for its programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The system credential with which a machine that boots gets it, JSON.
pub const CREDENTIAL: &str = "rave.provision";

/// The variable by which Claude Code finds the provider.
pub const MODEL_URL: &str = "ANTHROPIC_BASE_URL";
/// The variable of what it shows there.
pub const MODEL_TOKEN: &str = "ANTHROPIC_AUTH_TOKEN";

/// What programs of the guest find. Each replaces what the host gave before.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision {
    /// The certificate of an authority that the guest trusts besides its own, PEM.
    #[serde(default)]
    pub authority: Option<String>,
    /// Variables for every program. Names are `[A-Z0-9_]`; values have no control characters.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
}

impl Provision {
    /// Whether it gives nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Without values: one may be a token.
impl fmt::Debug for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Provision")
            .field("authority", &self.authority.is_some())
            .field("environment", &names)
            .finish()
    }
}
