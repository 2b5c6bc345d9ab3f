//! The step `hosts`: machines of several kinds, each of which `doctor --yes` must prepare on its own (`ci/check-host`).

use std::time::Duration;

use camino::Utf8Path;
use rave_process::Cmd;

/// The command that runs it.
pub(super) const COMMAND: &str = "cargo xtask test hosts";
/// Created by `ci/clean-root` in its roots, in which no other root can be made.
const INSIDE: &str = "/run/clean-root";

/// A kind of machine: a minimal Debian with git, a C linker and Rust, plus additions by the arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Arguments of `ci/check-host`.
    pub(super) arguments: &'static [&'static str],
    /// Whether `.ci/run` also prepares it.
    pub(super) in_ci: bool,
}

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "debian-12", arguments: &["--suite", "bookworm"], in_ci: true },
    Kind {
        name: "debian-12-backports-qemu-utils",
        arguments: &["--suite", "bookworm", "--backports-packages", "qemu-utils"],
        in_ci: true,
    },
    Kind {
        name: "debian-12-qemu-7.2",
        arguments: &["--suite", "bookworm", "--packages", "qemu-system-x86,qemu-utils"],
        in_ci: false,
    },
    Kind { name: "debian-13", arguments: &["--suite", "trixie"], in_ci: false },
    Kind {
        name: "user-with-sudo",
        arguments: &["--suite", "bookworm", "--user", "dev", "--sudo"],
        in_ci: false,
    },
    Kind { name: "user-without-sudo", arguments: &["--suite", "bookworm", "--user", "dev"], in_ci: false },
];

/// Why no machine can be made here.
pub(super) fn not_run() -> Option<&'static str> {
    Utf8Path::new(INSIDE)
        .exists()
        .then_some("this is a clean root, in which no other is made; .ci/run makes two beside it")
}

/// Prepares one machine; its last line of output is the result.
pub(super) fn command(root: &Utf8Path, kind: &Kind) -> Cmd {
    Cmd::new(root.join("ci/check-host")).args(kind.arguments.iter().copied())
}

pub(super) const HEADERS: &[&str] = &["machine", "result", "time"];

pub(super) fn row(kind: &Kind, result: &str, took: Duration) -> Vec<String> {
    vec![kind.name.to_owned(), result.to_owned(), format!("{:.0} s", took.as_secs_f64())]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The kinds that `.ci/run` prepares: `check NAME ARGUMENT... &`.
    fn of_ci(script: &str) -> Vec<(String, Vec<String>)> {
        let calls = script.lines().filter_map(|line| line.strip_prefix("check ")?.strip_suffix(" &"));
        calls
            .map(|call| {
                let mut words = call.split_whitespace().map(str::to_owned);
                (words.next().unwrap(), words.collect())
            })
            .collect()
    }

    #[test]
    fn ci_prepares_the_marked_kinds() {
        let script = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/run")).unwrap();
        let marked = KINDS.iter().filter(|kind| kind.in_ci);
        let marked: Vec<(String, Vec<String>)> = marked
            .map(|kind| (kind.name.to_owned(), kind.arguments.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(of_ci(&script), marked);
    }
}
