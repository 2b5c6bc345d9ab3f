//! What a host provides to its guest besides an identity: a trusted authority, and variables for programs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The system credential with the provision for a booting machine, as JSON.
pub const CREDENTIAL: &str = "rave.provision";

/// The variable with the provider's URL for Claude Code.
pub const MODEL_URL: &str = "ANTHROPIC_BASE_URL";
/// The variable with the token for it.
pub const MODEL_TOKEN: &str = "ANTHROPIC_AUTH_TOKEN";

/// What programs of the guest find. It replaces what the host provided before.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision {
    /// The certificate of an authority that the guest trusts in addition to its own, as PEM.
    #[serde(default)]
    pub authority: Option<String>,
    /// Variables for all programs. Names are `[A-Z0-9_]`; values have no control characters.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
    /// Logins for git.
    #[serde(default)]
    pub git: Vec<GitLogin>,
    /// The name of a machine that boots. A clone gets its name with its identity.
    #[serde(default)]
    pub host_name: Option<String>,
}

/// A login that git uses for a host that requires a user and a password, over https.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitLogin {
    /// The host as git names it, with its port unless that is 443.
    pub host: String,
    /// The user, if the repository's URL has none.
    pub user: String,
    /// The password: a placeholder.
    pub password: String,
}

/// Omits the password.
impl fmt::Debug for GitLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitLogin").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Provision {
    /// Whether it provides nothing to programs.
    pub fn is_empty(&self) -> bool {
        self.authority.is_none() && self.environment.is_empty() && self.git.is_empty()
    }
}

/// Omits the values, which may be tokens.
impl fmt::Debug for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Provision")
            .field("authority", &self.authority.is_some())
            .field("environment", &names)
            .field("git", &self.git)
            .field("host_name", &self.host_name)
            .finish()
    }
}
