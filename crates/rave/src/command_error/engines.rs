//! The errors of the engines as errors of commands.

use std::error::Error as StdError;

use rave_image::bases::nixos;
use rave_smoke::report::WriteError;
use rave_vm::terminal_text::plain;

use super::CommandError;
use crate::exit::Code;

impl CommandError {
    /// The command error for a known error; none if it is neither an engine's error nor a command's.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let known = |error: &(dyn StdError + 'static)| {
            let image = || error.downcast_ref::<rave_image::Error>().map(Self::from);
            let nix = || error.downcast_ref::<nixos::Error>().map(Self::from);
            let vm = || error.downcast_ref::<rave_vm::Error>().map(Self::from);
            let report = || error.downcast_ref::<WriteError>().map(Self::from);
            let host = || error.downcast_ref::<rave_host::Error>().map(Self::from);
            let sandbox = || error.downcast_ref::<rave_sandbox::Error>().map(Self::from);
            let workspace = || error.downcast_ref::<rave_workspace::Error>().map(Self::from);
            let name =
                || error.downcast_ref::<rave_sandbox::BadName>().map(|bad| Self::usage(bad.to_string()));
            let release = || error.downcast_ref::<rave_release::Error>().map(Self::from);
            let engines = image().or_else(nix).or_else(vm).or_else(report).or_else(host).or_else(release);
            engines.or_else(sandbox).or_else(workspace).or_else(name)
        };
        error.downcast_ref::<Self>().cloned().or_else(|| known(error))
    }
}

impl From<rave_image::Error> for CommandError {
    fn from(error: rave_image::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&rave_image::Error> for CommandError {
    fn from(error: &rave_image::Error) -> Self {
        use rave_image::Error;
        let code = match error {
            Error::NotOnBase { .. } | Error::Input { .. } | Error::NoLock { .. } | Error::BadLock { .. } => {
                Code::Usage
            }
            Error::Command { source: rave_process::Error::NotFound { .. }, .. } => Code::HostNotReady,
            Error::Interrupted => Code::Interrupted,
            Error::Nix(error) => code_of_nix(error),
            _ => Code::BuildFailed,
        };
        let what = error.to_string();
        let cause = error.source().map(ToString::to_string).filter(|cause| !what.contains(cause));
        let facts = match error {
            Error::Nix(error) => error.facts(),
            _ => Vec::new(),
        };
        let failure = facts.into_iter().chain(cause).fold(Self::new(code, what), Self::detail);
        match error.remedy().or_else(|| wrong_choice(error)) {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }
}

/// What to choose instead.
fn wrong_choice(error: &rave_image::Error) -> Option<String> {
    let is_of_the_other_base = matches!(error, rave_image::Error::NotOnBase { .. });
    is_of_the_other_base
        .then(|| "pass --base debian, or set defaults.base = \"debian\" in rave.toml".to_owned())
}

impl From<&nixos::Error> for CommandError {
    fn from(error: &nixos::Error) -> Self {
        let failure = Self::new(code_of_nix(error), error.to_string());
        let failure = error.facts().into_iter().fold(failure, Self::detail);
        match error.remedy() {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }
}

fn code_of_nix(error: &nixos::Error) -> Code {
    use nixos::Error;
    match error {
        Error::Missing | Error::TooOld { .. } | Error::FlakesOff | Error::Unusable { .. } => {
            Code::HostNotReady
        }
        _ => Code::BuildFailed,
    }
}

impl From<&rave_vm::Error> for CommandError {
    fn from(error: &rave_vm::Error) -> Self {
        use rave_vm::Error;
        let code = match error {
            Error::Interrupted(_) => Code::Interrupted,
            Error::Boot(_) | Error::Ssh { .. } | Error::TooSlow { .. } => Code::CheckFailed,
            Error::BadMachine { .. } => Code::Usage,
            _ => Code::HostNotReady,
        };
        let text = error.to_string();
        let mut lines = text.lines();
        let mut failure = Self::new(code, lines.next().unwrap_or_default());
        failure.detail.extend(lines.map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned()));
        match error.remedy() {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }
}

impl From<&rave_sandbox::Error> for CommandError {
    fn from(error: &rave_sandbox::Error) -> Self {
        use rave_sandbox::Error;
        let code = match error {
            Error::Vm(error) => return Self::from(error),
            Error::Unknown { .. }
            | Error::UnknownSnapshot { .. }
            | Error::NotRunning { .. }
            | Error::Running { .. } => Code::Usage,
            Error::Interrupted(_) => Code::Interrupted,
            _ => Code::HostNotReady,
        };
        with_text_of_a_guest(code, error, error.remedy())
    }
}

impl From<&rave_workspace::Error> for CommandError {
    fn from(error: &rave_workspace::Error) -> Self {
        use rave_workspace::Error;
        let code = match error {
            Error::NoWorkspace
            | Error::OtherFolder { .. }
            | Error::BadSource { .. }
            | Error::NotFound { .. }
            | Error::BadRule { .. }
            | Error::HasHistory
            | Error::NoRepository { .. }
            | Error::PartOfRepository { .. }
            | Error::BranchExists { .. } => Code::Usage,
            Error::Refused { .. } => Code::CheckFailed,
            Error::Interrupted(_) => Code::Interrupted,
            _ => Code::HostNotReady,
        };
        with_text_of_a_guest(code, error, error.remedy())
    }
}

/// An error whose text comes largely from a guest, or from QEMU about it.
fn with_text_of_a_guest(code: Code, error: &impl ToString, remedy: Option<String>) -> CommandError {
    let text = plain(&error.to_string());
    let mut lines = text.lines();
    let mut failure = CommandError::new(code, lines.next().unwrap_or_default());
    failure.detail.extend(lines.map(|line| line.trim_start().to_owned()));
    match remedy {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

impl From<&WriteError> for CommandError {
    fn from(error: &WriteError) -> Self {
        Self::usage(error.to_string()).remedy("name a folder that can be written to and has enough space")
    }
}

impl From<&rave_release::Error> for CommandError {
    fn from(error: &rave_release::Error) -> Self {
        use rave_release::Error;
        let code = match error {
            Error::Image(error) => return Self::from(error),
            Error::Key { .. }
            | Error::Occupied { .. }
            | Error::Statement { .. }
            | Error::NotATree { .. }
            | Error::OtherPart { .. }
            | Error::OtherBase { .. }
            | Error::NoConversion { .. }
            | Error::Payload { .. }
            | Error::Damaged { .. } => Code::Usage,
            Error::Leaks { .. }
            | Error::NotReproducible { .. }
            | Error::SmokeFailed { .. }
            | Error::DeniedLicences { .. }
            | Error::Unverified { .. }
            | Error::OtherContent { .. }
            | Error::SelfCheck { .. } => Code::CheckFailed,
            Error::NoSpace { .. } => Code::HostNotReady,
            Error::Io { .. } | Error::Sign { .. } => Code::BuildFailed,
            Error::Interrupted => Code::Interrupted,
        };
        let mut failure = Self::new(code, error.to_string());
        if let Error::Unverified { problems, .. } = error {
            failure.detail.extend(problems.iter().skip(1).cloned());
        }
        match error.remedy() {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }
}

impl From<&rave_host::Error> for CommandError {
    fn from(error: &rave_host::Error) -> Self {
        let code = match error {
            rave_host::Error::Interrupted(_) => Code::Interrupted,
            rave_host::Error::NotReady { .. }
            | rave_host::Error::Conflict { .. }
            | rave_host::Error::Network { .. }
            | rave_host::Error::Command { .. } => Code::HostNotReady,
        };
        let failure = Self::new(code, error.to_string());
        error.facts().into_iter().fold(failure, Self::detail).remedy(error.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_headline_facts_and_a_remedy() {
        let error = rave_vm::Error::FirmwareMissing { looked_for: vec!["/usr/share/OVMF/x.fd".into()] };
        let error = CommandError::of(&error).expect("a known error");
        assert_eq!((error.code, error.what.as_str()), (Code::HostNotReady, "no UEFI firmware was found"));
        assert_eq!(error.detail, ["looked for /usr/share/OVMF/x.fd"]);
        assert!(error.remedy.contains("apt-get install ovmf"));
    }

    #[test]
    fn unknown_errors_are_not_converted() {
        assert!(CommandError::of(&std::io::Error::other("what")).is_none());
    }
}
