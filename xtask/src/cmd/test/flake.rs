//! The step `flake`: `ci/eval-flake` evaluates the NixOS base and builds nothing.

use camino::Utf8Path;
use rave_process::{Cmd, Error, Status};

/// The command for a host with its requirements; with `locked` nix fetches the tree.
pub(super) const COMMAND: &str = "RAVE_NIXPKGS=locked cargo xtask test flake";

/// The script's exit code if it could not start (automake's code for a skipped test).
const NOT_RUN: Status = Status::Code(77);
/// The prefix of the only line that the script then prints.
const REASON: &str = "not run: ";

pub(super) fn command(root: &Utf8Path) -> Cmd {
    Cmd::new(root.join("ci/eval-flake"))
}

/// The lines with the amount evaluated and compared: `38 outputs, 50 s ...`, `headless | 96 rows compared`.
pub(super) fn is_closing(line: &str) -> bool {
    line.contains(" outputs, ") || line.ends_with(" rows compared")
}

/// Why the script could not start; `None` if it started and failed.
pub(super) fn not_run(error: &Error) -> Option<&str> {
    match error {
        Error::Failed { status: NOT_RUN, tail, .. } => tail.iter().find_map(|line| line.strip_prefix(REASON)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> &'static Utf8Path {
        Utf8Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    /// The real script on a host with only the minimum to find out.
    fn without(nixpkgs: &str, nix: bool) -> Error {
        let folder = tempfile::tempdir().unwrap();
        for program in ["bash", "env", "dirname"] {
            symlink(rave_process::find_program(program).unwrap(), folder.path().join(program)).unwrap();
        }
        if nix {
            symlink("/bin/false", folder.path().join("nix")).unwrap();
        }
        let command = command(root()).env("PATH", folder.path()).env("RAVE_NIXPKGS", nixpkgs);
        let error = command.run(&mut |_| ()).unwrap_err();
        fs::remove_dir_all(folder.path()).unwrap();
        error
    }

    #[test]
    fn a_host_without_nix_or_nixpkgs_is_distinguished_from_a_broken_flake() {
        assert_eq!(not_run(&without("/nowhere", false)), Some("nix was not found"));
        assert_eq!(not_run(&without("", true)), Some("RAVE_NIXPKGS does not name a nixpkgs tree"));
        let reason = "RAVE_NIXPKGS: /nowhere is not a nixpkgs tree";
        assert_eq!(not_run(&without("/nowhere", true)), Some(reason));
        let failed =
            |status| Error::Failed { command: String::new(), status, tail: vec!["not run: x".into()] };
        assert_eq!(not_run(&failed(NOT_RUN)), Some("x"));
        assert_eq!(not_run(&failed(Status::Code(1))), None);
    }

    #[test]
    fn evaluated_outputs_are_shown() {
        assert!(is_closing("38 outputs, 171 s (67 s of CPU), at most 1576 MiB of heap"));
        assert!(is_closing("headless | 96 rows compared") && !is_closing("== the lock"));
    }
}
