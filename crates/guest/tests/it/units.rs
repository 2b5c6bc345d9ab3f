//! The units, as systemd reads them.

use crate::host::{command, has, run, text, write_guest};
use rave_guest::config::GuestConfig;
use rave_testing::or_skip;
use std::fs;
use std::path::Path;

const LONG_RUNNING: [&str; 5] = [
    "vibe-kanban.service",
    "claude-code-router.service",
    "nginx.service",
    "rave-health.service",
    "rave-ready.service",
];

fn guest() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let config = GuestConfig { claude_at_first_boot: true, ..GuestConfig::default() };
    write_guest(&config, root.path());
    root
}

#[test]
fn exposure_of_each_service_is_under_5() {
    or_skip!(has("systemd-analyze"));
    let root = guest();
    for unit in LONG_RUNNING {
        let mut analyze = command("systemd-analyze");
        let root = format!("--root={}", root.path().display());
        // Thresholds are tenths; the exit code is the result.
        let output = run(analyze.args(["security", "--offline=true", "--threshold=49", &root, unit]));
        let out = text(&output);
        assert!(out.contains("Overall exposure level for"), "{unit}: {out}");
        assert!(output.status.success(), "{unit}: {out}");
    }
}

#[test]
fn systemd_accepts_the_units() {
    or_skip!(has("systemd-analyze"));
    let root = guest();
    // The programs that units start must exist, otherwise systemd reports them.
    for program in
        ["usr/lib/rave/rave-guest", "usr/bin/node", "usr/sbin/nginx", "opt/rave/tools/bin/vibe-kanban"]
    {
        let path = root.path().join(program);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy("/bin/true", path).unwrap();
    }
    let units = root.path().join("etc/systemd/system");
    copy_targets(&root.path().join("usr/lib/systemd/system"));
    let mut names: Vec<String> = LONG_RUNNING.map(str::to_owned).to_vec();
    for entry in fs::read_dir(&units).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_file() && !names.contains(&name) {
            names.push(name);
        }
    }
    assert!(names.len() >= 9, "{names:?}");
    let mut analyze = command("systemd-analyze");
    let root_flag = format!("--root={}", root.path().display());
    let output = run(analyze.args(["verify", "--man=no", "--recursive-errors=no", &root_flag]).args(&names));
    let out = text(&output);
    assert!(output.status.success() && out.trim().is_empty(), "{out}");
}

/// Copies the standard targets and sockets from this host's systemd.
fn copy_targets(into: &Path) {
    fs::create_dir_all(into).unwrap();
    let from = ["/usr/lib/systemd/system", "/lib/systemd/system"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.is_dir());
    for entry in fs::read_dir(from.unwrap()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = [".target", ".slice", ".mount"].iter().any(|kind| name.ends_with(kind))
            || name.starts_with("systemd-tmpfiles-setup")
            || name.starts_with("systemd-journald")
            || name == "systemd-remount-fs.service";
        if wanted && entry.path().is_file() {
            let _ = fs::copy(entry.path(), into.join(&name));
        }
    }
}

#[test]
fn the_chain_is_ordered_and_required() {
    let root = guest();
    let read = |unit: &str| fs::read_to_string(root.path().join("etc/systemd/system").join(unit)).unwrap();
    let has = |unit: &str, key: &str, value: &str| {
        let text = read(unit);
        let found = text.lines().filter_map(|line| line.split_once('='));
        assert!(
            found.into_iter().any(|(k, v)| k == key && v.split(' ').any(|word| word == value)),
            "{unit} has no {key}={value}"
        );
    };
    for (unit, on) in [
        ("setup-agent-environment.service", "install-claude-tools.service"),
        ("vibe-kanban.service", "setup-agent-environment.service"),
        ("claude-code-router.service", "setup-agent-environment.service"),
    ] {
        has(unit, "Requires", on);
        has(unit, "After", on);
    }
    has("nginx.service", "After", "setup-agent-environment.service");
    has("nginx.service", "Requires", "rave-health.socket");
    for unit in LONG_RUNNING {
        has(unit, "Restart", "on-failure");
        let waits = |line: &str| !line.starts_with('#') && line.contains("network-online");
        assert!(!read(unit).lines().any(waits), "{unit} waits for a network");
    }
}
