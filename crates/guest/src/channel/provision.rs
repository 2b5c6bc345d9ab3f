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
    /// What git shows to hosts.
    #[serde(default)]
    pub git: Vec<GitLogin>,
}

/// What git shows to a host that asks for a user and a password, over https.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitLogin {
    /// The host as git names it, with its port where that is another than 443.
    pub host: String,
    /// The user, where the repository's URL names none.
    pub user: String,
    /// The password: a placeholder.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for GitLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitLogin").field("host", &self.host).finish_non_exhaustive()
    }
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
            .field("git", &self.git)
            .finish()
    }
}
