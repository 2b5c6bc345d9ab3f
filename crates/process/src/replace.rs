//! Replaces this process by a command.

use std::io;
use std::os::unix::process::CommandExt as _;
#[expect(clippy::disallowed_types, reason = "this crate is the one that spawns")]
use std::process::Command;

use crate::{Cmd, Error};

impl Cmd {
    /// Replaces this process by the command, with its arguments, the environment variables listed in `keep`, our
    /// streams and our process id. Returns only on failure. The command is not watched by us, only by the parent of
    /// this process.
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub fn replace_this_process(&self, keep: &[&str]) -> Error {
        let kept = std::env::vars_os().filter(|(name, _)| keep.iter().any(|kept| name == kept));
        let source: io::Error = Command::new(&self.program).args(&self.args).env_clear().envs(kept).exec();
        Error::Spawn { command: self.to_string(), source }
    }
}
