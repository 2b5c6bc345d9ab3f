//! How a command ends: exit codes as types, and the one failure that carries a code.

use std::process::ExitCode;

/// The exit code of the process; the numbers are part of the interface (docs/cli.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All went well.
    Ok,
    /// A check of the smoke suite, or a test, failed.
    CheckFailed,
    /// Wrong usage or a bad rave.toml. clap exits with the same number.
    Usage,
    /// The host lacks something; the message says what and how to get it.
    HostNotReady,
    /// Building an image failed.
    BuildFailed,
    /// Ctrl-C or SIGTERM: 128 + 2, as a shell reports a program ended by SIGINT.
    Interrupted,
    /// `run --exec`: the code of the command in the guest.
    Guest(u8),
}

impl Code {
    /// The exit code as a number.
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::CheckFailed => 1,
            Self::Usage => 2,
            Self::HostNotReady => 3,
            Self::BuildFailed => 4,
            Self::Interrupted => 130,
            Self::Guest(code) => code,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        code.number().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_match_the_documentation() {
        let all = [Code::Ok, Code::CheckFailed, Code::Usage, Code::HostNotReady, Code::BuildFailed];
        assert_eq!(all.map(Code::number), [0, 1, 2, 3, 4]);
        assert_eq!(Code::Interrupted.number(), 130);
    }
}
