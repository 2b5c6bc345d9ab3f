//! Sandboxes by name.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Args;

use super::building::{Building, Target};
use super::network_flags::NetworkFlags;
use super::size::Size;
use super::values::{Accel, AgentKey, PortFlag, parse_agent_key, parse_port};

/// `cargo xtask up`
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Up {
    /// Name of the sandbox: lower-case letters, digits and hyphens [default: the name of this folder]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Copy this folder into it: a git repository including uncommitted changes, or any folder
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<Utf8PathBuf>,
    /// Copy this too, although it is ignored or looks like a secret: a path or a pattern; may be repeated
    #[arg(long, value_name = "PATTERN", requires = "workspace")]
    pub include: Vec<String>,
    /// Also send the repository's history, and report what in it looks like a secret
    #[arg(long, requires = "workspace")]
    pub history: bool,
    /// Which image.
    #[command(flatten)]
    pub target: Target,
    /// Its memory and processors.
    #[command(flatten)]
    pub size: Size,
    /// Host port of a service; may be repeated [default: free ports]
    #[arg(long = "port", value_name = "NAME=PORT|auto", value_parser = parse_port)]
    pub ports: Vec<PortFlag>,
    /// Stop it this long after each start: 90s, 5m, 2h; the disk is kept [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub ttl: Option<Duration>,
    /// Stop it after this time without a program, an SSH session or an open page [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub idle_stop: Option<Duration>,
    /// What it may reach.
    #[command(flatten)]
    pub reach: NetworkFlags,
    /// Let its pages connect anywhere in the browser; docs/isolation.md describes the default limits
    #[arg(long)]
    pub open_pages: bool,
    /// Let it use this key of your SSH agent to log in at this host, until it stops: the key's file, as in `~/.ssh/id@git.example.com`
    #[arg(long, value_name = "KEY@HOST", value_parser = parse_agent_key)]
    pub ssh_agent: Option<AgentKey>,
    /// Do not start it unless this host can restrict QEMU to the sandbox's own files
    #[arg(long)]
    pub require_fence: bool,
    /// Use the existing image, even if it is older than the settings
    #[arg(long)]
    pub no_build: bool,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
    /// Boot it instead of starting it as a clone of a template
    #[arg(long)]
    pub cold: bool,
    /// Print its addresses as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// How what is missing is built.
    #[command(flatten)]
    pub building: Building,
}

/// `cargo xtask exec`
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Exec {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Working directory in the guest, relative to its user's home [default: the home]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Set a variable, or pass on the value that it has here; may be repeated
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Kill the program after this time: 90, 90s, 5m or 2h; the exit code is then 124
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub timeout: Option<Duration>,
    /// Run as this user of the guest
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Give the program a terminal [default: if stdin and stdout are terminals]
    #[arg(short, long, conflicts_with = "no_tty")]
    pub tty: bool,
    /// Give the program no terminal
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// Give the program no input
    #[arg(short, long)]
    pub no_stdin: bool,
    /// Stdin is always passed on.
    #[arg(short, long, hide = true)]
    pub interactive: bool,
    /// The program and its arguments [default: a login shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `cargo xtask ssh`
#[derive(Debug, Clone, Default, Args)]
pub struct Ssh {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// A command for the shell of the guest [default: an interactive shell]
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `cargo xtask ps`
#[derive(Debug, Clone, Default, Args)]
pub struct Ps {
    /// Include stopped sandboxes
    #[arg(short, long)]
    pub all: bool,
    /// Print the list as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask port`
#[derive(Debug, Clone, Default, Args)]
pub struct Port {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print only the address of this service
    #[arg(value_name = "SERVICE")]
    pub service: Option<String>,
    /// Print them as JSON on stdout
    #[arg(long, conflicts_with = "service")]
    pub json: bool,
}

/// `cargo xtask open`
#[derive(Debug, Clone, Default, Args)]
pub struct Open {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The service whose page is opened
    #[arg(value_name = "SERVICE", default_value = "gateway")]
    pub service: String,
    /// Print the page's address instead
    #[arg(long)]
    pub print: bool,
}

/// `cargo xtask ssh-config`
#[derive(Debug, Clone, Default, Args)]
pub struct SshConfig {
    /// Include the file in ~/.ssh/config, so that `ssh NAME.rave` works
    #[arg(long, conflicts_with = "remove")]
    pub install: bool,
    /// Undo that
    #[arg(long)]
    pub remove: bool,
}

/// `cargo xtask ssh-proxy`
#[derive(Debug, Clone, Args)]
pub struct SshProxy {
    /// The sandbox
    pub name: String,
    /// The state folder
    #[arg(long)]
    pub state: Utf8PathBuf,
}

/// `cargo xtask prune`
#[derive(Debug, Clone, Default, Args)]
pub struct Prune {
    /// Remove only sandboxes that have been unused for this time: 90s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub older_than: Option<Duration>,
    /// Also remove templates that no sandbox uses
    #[arg(long, conflicts_with = "dry_run")]
    pub templates: bool,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `cargo xtask audit`
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Audit {
    /// The sandbox, even if it was removed
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Continue with new events as they happen
    #[arg(short, long, conflicts_with = "verify")]
    pub follow: bool,
    /// Print the lines as they are stored, as JSON
    #[arg(long)]
    pub json: bool,
    /// Check that no line was changed, removed or moved, and report the first that was
    #[arg(long)]
    pub verify: bool,
    /// Show the last removed sandbox of this name, even if a new one exists
    #[arg(long)]
    pub earlier: bool,
}

/// `cargo xtask logs`
#[derive(Debug, Clone, Default, Args)]
pub struct Logs {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Continue with new output as it is printed, until the sandbox stops
    #[arg(short, long)]
    pub follow: bool,
    /// Print the messages of the supervisor and of QEMU instead
    #[arg(long)]
    pub supervisor: bool,
}

/// `cargo xtask stop`
#[derive(Debug, Clone, Default, Args)]
pub struct Stop {
    /// The sandboxes
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// How long the guest may take before it is killed: 90, 90s, 5m
    #[arg(long, value_name = "TIME", default_value = "100s", value_parser = parse_time)]
    pub timeout: Duration,
}

/// `cargo xtask start`
#[derive(Debug, Clone, Default, Args)]
pub struct Start {
    /// The sandboxes
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Let it use this key of your SSH agent to log in at this host, until it stops: the key's file, as in `~/.ssh/id@git.example.com`
    #[arg(long, value_name = "KEY@HOST", value_parser = parse_agent_key)]
    pub ssh_agent: Option<AgentKey>,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
}

/// `cargo xtask rm`
#[derive(Debug, Clone, Default, Args)]
pub struct Rm {
    /// The sandboxes
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// Stop running sandboxes, and discard changes that were never applied
    #[arg(short, long)]
    pub force: bool,
}

/// `cargo xtask fork`
#[derive(Debug, Clone, Default, Args)]
pub struct Fork {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Names of the forks [default: the free ones of NAME-1, NAME-2, ...]
    #[arg(value_name = "NEW")]
    pub new: Vec<String>,
    /// Number of forks, if they are not named
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "new", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: Option<u32>,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
    /// Print their addresses as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask snapshot`
#[derive(Debug, Clone, Default, Args)]
pub struct Snapshot {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Name of the snapshot: lower-case letters, digits and hyphens [default: s-1, s-2, ...]
    #[arg(value_name = "LABEL", conflicts_with_all = ["list", "remove"])]
    pub label: Option<String>,
    /// List the existing snapshots
    #[arg(long, conflicts_with = "remove")]
    pub list: bool,
    /// Remove this snapshot
    #[arg(long, value_name = "LABEL")]
    pub remove: Option<String>,
    /// Print it as JSON on stdout
    #[arg(long, conflicts_with = "remove")]
    pub json: bool,
}

/// `cargo xtask restore`
#[derive(Debug, Clone, Default, Args)]
pub struct Restore {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The snapshot
    #[arg(value_name = "LABEL")]
    pub label: String,
    /// Discard changes that were never applied
    #[arg(short, long)]
    pub force: bool,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
}

/// `cargo xtask supervise`
#[derive(Debug, Clone, Args)]
pub struct Supervise {
    /// The sandbox
    pub name: String,
    /// The state folder
    #[arg(long)]
    pub state: Utf8PathBuf,
    /// The requested accelerator
    #[arg(long)]
    pub accel: Option<Accel>,
}

/// `cargo xtask serve-network`
#[derive(Debug, Clone, Args)]
pub struct ServeNetwork {
    /// The machine's run folder
    #[arg(value_name = "DIR")]
    pub run_dir: Utf8PathBuf,
}

/// `90`, `90s`, `5m`, `2h`; at least a second.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.chars().last().unwrap_or('s')),
        None => (text, 's'),
    };
    let factor = match unit {
        'm' => 60,
        'h' => 3600,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    match seconds {
        // Ten years.
        Some(seconds @ 1..=315_360_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a time such as 90, 90s, 5m or 2h".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_or_are_in_seconds() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "0", "s", "1d", "-1", "1.5", "99999999999999999999h"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
