//! This process becomes the command.

use std::io;
use std::os::unix::process::CommandExt as _;
#[expect(clippy::disallowed_types, reason = "this crate is the one that spawns")]
use std::process::Command;

use crate::{Cmd, Error};

impl Cmd {
    /// Becomes the command: its arguments and the environment that `keep` names, our streams, our process id. Comes back only with
    /// the reason why not. Nothing watches over what this process becomes; whoever started this process does.
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub fn replace_this_process(&self, keep: &[&str]) -> Error {
        let kept = std::env::vars_os().filter(|(name, _)| keep.iter().any(|kept| name == kept));
        let source: io::Error = Command::new(&self.program).args(&self.args).env_clear().envs(kept).exec();
        Error::Spawn { command: self.to_string(), source }
    }
}
