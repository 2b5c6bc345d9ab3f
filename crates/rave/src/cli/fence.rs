//! `rave fence`: for the program itself, not for interactive use.

use camino::Utf8PathBuf;
use clap::Args;

/// `rave fence`
#[derive(Debug, Clone, Args)]
pub struct FenceProgram {
    /// Print which restrictions this host supports, and execute nothing
    #[arg(long, conflicts_with_all = ["rules", "command"])]
    pub probe: bool,
    /// What stays allowed
    #[arg(value_name = "FILE", required_unless_present = "probe")]
    pub rules: Option<Utf8PathBuf>,
    /// The program to execute, and its arguments
    #[arg(value_name = "COMMAND", last = true, required_unless_present = "probe")]
    pub command: Vec<String>,
}
