//! Which program this is: its name in messages, and its path to start it again.

use camino::Utf8PathBuf;

use crate::command_error::CommandError;

/// The program's name in front of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `cargo xtask`, in a checkout.
    Xtask,
    /// `rave`, from any folder.
    Rave,
}

/// The program's name in the sources of messages and help texts.
const WRITTEN: &str = "cargo xtask";

/// Precedes the home in the long version of an installed program, and is therefore in its file: a program without it
/// was not installed by `cargo xtask install`.
pub const INSTALLED_FROM: &str = "installed by `cargo xtask install` in ";

/// Commands that only xtask has; `rave` prints them unchanged.
const DEVELOPERS: &[&str] = &["test", "bench", "ci", "codegen", "install"];

impl Program {
    /// What a user types in front of a command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xtask => WRITTEN,
            Self::Rave => "rave",
        }
    }

    /// The message with this program's own name in front of each of its commands.
    pub fn rename_commands(self, text: &str) -> String {
        if self == Self::Xtask {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(WRITTEN) {
            out.push_str(before);
            let command = after.trim_start().split(|c: char| !c.is_ascii_alphanumeric()).next();
            let is_xtasks = command.is_some_and(|command| DEVELOPERS.contains(&command));
            out.push_str(if is_xtasks { WRITTEN } else { self.name() });
            rest = after;
        }
        out + rest
    }
}

/// The path of this program; if its file was replaced since it was started, the path of the replacement.
pub fn this_program() -> Result<Utf8PathBuf, CommandError> {
    let program = std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let program =
        program.ok_or_else(|| CommandError::host_not_ready("the path of this program is not known"))?;
    // The kernel's suffix for a deleted file (proc_pid_exe(5)).
    let replaced = program.as_str().strip_suffix(" (deleted)").map(Utf8PathBuf::from);
    Ok(replaced.filter(|_| !program.exists()).filter(|path| path.exists()).unwrap_or(program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_program_that_was_called() {
        let text = "run `cargo xtask doctor --yes`, then `cargo xtask test unit`, or cargo xtask image";
        assert_eq!(Program::Xtask.rename_commands(text), text);
        assert_eq!(
            Program::Rave.rename_commands(text),
            "run `rave doctor --yes`, then `cargo xtask test unit`, or rave image"
        );
        assert_eq!(Program::Rave.rename_commands("nothing to name"), "nothing to name");
    }
}
