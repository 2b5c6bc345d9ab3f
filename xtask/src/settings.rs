//! Flags, environment and rave.toml, read once.

mod dirs;

use std::io::IsTerminal;

use camino::Utf8PathBuf;

use crate::cli::Global;

/// What every command starts from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The checkout: the folder that holds rave.toml. Absolute; may contain spaces.
    pub(crate) root: Utf8PathBuf,
    /// What must survive between runs: VMs that are up, the accelerator's proof, locks.
    pub(crate) state_dir: Utf8PathBuf,
    /// What can be made again: packages, root filesystems.
    pub(crate) cache_dir: Utf8PathBuf,
    /// Install what the host lacks and ask nothing.
    pub(crate) yes: bool,
    /// Whether somebody is there to answer a question.
    pub(crate) is_terminal: bool,
}

impl Settings {
    pub(crate) fn load(global: &Global) -> anyhow::Result<Self> {
        Ok(Self {
            root: dirs::checkout()?,
            state_dir: dirs::state()?,
            cache_dir: dirs::cache()?,
            yes: global.yes,
            is_terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
        })
    }
}
