//! The steps of `cargo xtask test`: their order, their names, and what each needs of the host.

use rave_host::Needs;

use super::{hosts, nixos};
use crate::cli::TestStep;

/// The steps that are run only by name.
pub(super) const NIXOS_SYSTEM: &str = "nixos-system";
const MATRIX: &str = "matrix";
const CLOUD: &str = "cloud";
pub(super) const HOSTS: &str = "hosts";
const PROXY: &str = "proxy";
const PROXY_COMMAND: &str = "cargo xtask test proxy";
pub(super) const RELEASE: &str = "release";
const MATRIX_COMMAND: &str = "RAVE_PROFILE=headless cargo xtask test matrix";
const CLOUD_COMMAND: &str = "cargo xtask test cloud";

/// The steps in the order in which they run, each once.
pub(super) fn steps(asked: &[TestStep]) -> Vec<TestStep> {
    let all = [
        TestStep::Format,
        TestStep::Clippy,
        TestStep::Unit,
        TestStep::Flake,
        TestStep::Nixos,
        TestStep::Smoke,
        TestStep::Faults,
    ];
    if asked.is_empty() {
        return all.into();
    }
    let by_name = [
        TestStep::NixosSystem,
        TestStep::Matrix,
        TestStep::Cloud,
        TestStep::Hosts,
        TestStep::Proxy,
        TestStep::Release,
    ];
    all.into_iter().chain(by_name).filter(|step| asked.contains(step)).collect()
}

pub(super) fn name(step: TestStep) -> &'static str {
    match step {
        TestStep::Format => "format",
        TestStep::Clippy => "clippy",
        TestStep::Unit => "unit",
        TestStep::Flake => "flake",
        TestStep::Nixos => "nixos",
        TestStep::NixosSystem => NIXOS_SYSTEM,
        TestStep::Smoke => "smoke",
        TestStep::Faults => "faults",
        TestStep::Matrix => MATRIX,
        TestStep::Cloud => CLOUD,
        TestStep::Hosts => HOSTS,
        TestStep::Proxy => PROXY,
        TestStep::Release => RELEASE,
    }
}

/// Everything that the tests of a step use.
pub(super) fn needs(step: TestStep) -> &'static [Needs] {
    match step {
        // The toolchain, and nix if it is installed.
        TestStep::Format | TestStep::Clippy | TestStep::Flake | TestStep::Nixos | TestStep::Hosts => &[],
        TestStep::Unit => &[Needs::Image, Needs::Run, Needs::Iso, Needs::Zst, Needs::Tests],
        // Other programs check each artifact, if they are installed.
        TestStep::Smoke | TestStep::NixosSystem | TestStep::Proxy => &[Needs::Smoke, Needs::Tests],
        // xorriso writes a seed.
        TestStep::Cloud => &[Needs::Smoke, Needs::Iso, Needs::Tests],
        // Each format is built.
        TestStep::Release => &[Needs::Smoke, Needs::Iso, Needs::Zst, Needs::Tests],
        // And a desktop is booted.
        TestStep::Faults | TestStep::Matrix => {
            &[Needs::Smoke, Needs::Desktop, Needs::Iso, Needs::Zst, Needs::Tests]
        }
    }
}

/// What a run without step names leaves out: the reason, and the command that runs it.
pub(super) fn only_by_name() -> Vec<String> {
    let machines = hosts::KINDS.len();
    vec![
        format!(
            "{MATRIX}, with the attacks of isolation and the forks: it takes more than an hour under software \
             emulation; {MATRIX_COMMAND}"
        ),
        format!(
            "{NIXOS_SYSTEM}: it fetches half a gigabyte and builds and boots a further system; {}",
            nixos::SYSTEM_COMMAND
        ),
        format!("{CLOUD}: it boots a further image three times; {CLOUD_COMMAND}"),
        format!(
            "{RELEASE}: it cuts and rebuilds a release in every format, and its readers come from PyPI; cargo xtask \
             test {RELEASE}"
        ),
        format!("{HOSTS}: it prepares {machines} machines; {}", hosts::COMMAND),
        format!("{PROXY}: it fetches everything of an image once more; {PROXY_COMMAND}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_once_and_in_order() {
        assert_eq!(
            steps(&[TestStep::Unit, TestStep::Format, TestStep::Unit]),
            [TestStep::Format, TestStep::Unit]
        );
        assert_eq!(steps(&[]).len(), 7);
        let by_name = [TestStep::Matrix, TestStep::Cloud, TestStep::Hosts, TestStep::Proxy];
        assert!(by_name.iter().all(|step| !steps(&[]).contains(step)));
        assert_eq!(steps(&[TestStep::Matrix, TestStep::Unit]), [TestStep::Unit, TestStep::Matrix]);
    }
}
