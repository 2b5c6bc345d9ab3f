//! The arguments of `net`.

use clap::{Args, Subcommand, ValueEnum};
use rave_net::{Mode, Rule};

use super::values::network_mode;

/// `cargo xtask net`
#[derive(Debug, Clone, Args)]
pub struct Net {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What to do.
    #[command(subcommand)]
    pub command: NetCommand,
}

/// The commands of `net`.
#[derive(Debug, Clone, Subcommand)]
pub enum NetCommand {
    /// Print what it may reach
    Show(NetPrint),
    /// Allow more hosts from now on
    Allow(NetRules),
    /// Deny hosts, even if they are allowed; connections to them are closed
    Deny(NetRules),
    /// Remove rules, whether they allow or deny; the mode then decides
    Forget(NetRules),
    /// Print what was refused, by which rule, and the command that allows it
    Log(NetPrint),
    /// Print the rules for everything that was reached in the mode `learn`
    Learn(NetPrint),
    /// Change the mode
    Mode(NetMode),
    /// Change whether its pages may connect anywhere in the browser
    Pages(NetPages),
}

/// `cargo xtask net NAME show`, `log` and `learn`
#[derive(Debug, Clone, Args)]
pub struct NetPrint {
    /// Print it as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask net NAME allow`, `deny` and `forget`
#[derive(Debug, Clone, Args)]
pub struct NetRules {
    /// A name, *.DOMAIN, HOST:PORT/tcp, or a group such as npm, with ,private or ,inspect
    #[arg(value_name = "RULE", required = true)]
    pub rules: Vec<Rule>,
}

/// `cargo xtask net NAME mode`
#[derive(Debug, Clone, Args)]
pub struct NetMode {
    /// What is reachable if no rule decides
    #[arg(value_name = "MODE", value_parser = network_mode())]
    pub mode: Mode,
}

/// `cargo xtask net NAME pages`
#[derive(Debug, Clone, Args)]
pub struct NetPages {
    /// closed: only their own origin in restricted and offline; open: anywhere
    #[arg(value_name = "WHICH")]
    pub which: Pages,
}

/// Where pages of a sandbox may connect to in the user's browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "a doc comment would be a line of its own in the help")]
pub enum Pages {
    // To their own origin.
    Closed,
    // Anywhere.
    Open,
}
