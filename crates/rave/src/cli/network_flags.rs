//! What the guest of `run` or a sandbox of `up` may reach.

use clap::Args;
use rave_net::{Mode, Rule};

use super::values::network_mode;

/// The flags of both commands.
#[derive(Debug, Clone, Default, Args)]
pub struct NetworkFlags {
    /// What the guest may reach: what is allowed, nothing, or the internet [default: open with run, restricted with up]
    #[arg(long, value_name = "MODE", value_parser = network_mode())]
    pub network: Option<Mode>,
    /// Allow a name, *.DOMAIN or HOST:PORT/tcp, with ,private for a private network; with up also a group such as npm, or ,inspect; may be repeated
    #[arg(long, value_name = "RULE")]
    pub allow: Vec<Rule>,
    /// Deny a host, even if it is allowed; may be repeated
    #[arg(long, value_name = "RULE")]
    pub deny: Vec<Rule>,
}
