//! The smoke suite on a broken guest: each check must fail exactly for its own reason.

use std::time::Duration;

use rave_smoke::report::{CheckResult, Outcome};
use rave_smoke::{Guest, registry, suite};

use crate::fixture::{Fixture, output_of};
use crate::tool::HEADLESS;

/// Breaks the guest: a service, a program, a failed unit, keys older than the machine.
const BREAK: &str = "sudo -n systemctl stop vibe-kanban && sudo -n rm /usr/bin/wget && \
    sudo -n touch -d 2020-01-01 /etc/ssh/ssh_host_ed25519_key && \
    { sudo -n systemd-run --wait --quiet --unit=broken false || true; }";

pub(crate) fn run(guest: &mut Guest, names: &[&str]) -> Vec<CheckResult> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let features = ["desktop".to_owned()].into();
    suite::run(&registry::select(&names, &[], &features).unwrap(), guest, &|_| ())
}

/// The failed checks with their reasons.
fn failed(rows: &[CheckResult]) -> Vec<(&str, &str)> {
    let failed = rows.iter().filter(|row| row.outcome.is_failure());
    failed.map(|row| (row.name.as_str(), row.outcome.reason().unwrap_or_default())).collect()
}

#[track_caller]
pub(crate) fn expect(rows: &[CheckResult], expected: &[(&str, &str)]) {
    let found = failed(rows);
    let names = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected), "{rows:#?}");
    for ((name, reason), (_, words)) in found.iter().zip(expected) {
        assert!(reason.contains(words), "{name}: no {words:?} in {reason:?}");
    }
}

#[test]
fn each_fault_fails_its_own_checks_and_a_dead_machine_is_named() {
    let fixture = Fixture::new(HEADLESS);
    let (instance, ready, ssh) = fixture.ready();
    output_of(&ssh, BREAK);
    let pid = instance.pid();
    let mut guest = fixture.guest(instance, &ready, ssh);
    guest.limits.answer = Duration::from_secs(3);
    guest.expected.password = "not the password".into();
    guest.expected.disk_mib = 1 << 20;
    guest.expected.npm_versions.insert("pnpm".into(), "0.0.1".into());

    let web =
        ["kanban-answers", "kanban-api", "router-health", "gateway-root", "gateway-health", "gateway-events"];
    expect(
        &run(&mut guest, &web),
        &[
            ("kanban-answers", "GET /"),
            ("kanban-api", "GET /api/health"),
            ("gateway-root", "GET /"),
            ("gateway-health", "GET /healthz returned 503"),
            ("gateway-events", "502"),
        ],
    );

    guest.limits.answer = Duration::from_secs(120);
    let others = [
        "ssh-key",
        "ssh-password",
        "unit-chain",
        "no-failed-units",
        "sudo",
        "root-grown",
        "host-keys-fresh",
        "tool-pnpm",
        "tool-git",
        "tool-wget",
    ];
    expect(
        &run(&mut guest, &others),
        &[
            ("ssh-password", "does not log in"),
            ("unit-chain", "vibe-kanban.service is not active"),
            ("no-failed-units", "broken.service"),
            ("root-grown", "on a disk of"),
            ("host-keys-fresh", "older than this machine's boot"),
            ("tool-pnpm", "the locked version is 0.0.1"),
            ("tool-wget", "not found"),
        ],
    );

    crate::command::signal("KILL", pid);
    let rows = run(&mut guest, &["ssh-key", "reboot"]);
    assert!(
        rows.iter().all(|row| row.outcome.reason().is_some_and(|reason| reason.contains("SIGKILL"))),
        "{rows:#?}"
    );
    assert!(matches!(rows[1].outcome, Outcome::NotRun(_)), "{rows:#?}");
}
