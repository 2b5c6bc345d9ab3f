//! Hosts that restrict a user or root, simulated with namespaces and capabilities: nothing outside the test changes.

use rave_process::Cmd;
use rave_testing::or_skip;
use serde_json::Value;

use crate::checkout::{Ran, fresh, read, run_under};

/// An ordinary user with user namespaces disabled. The limit applies to the user namespace that it is set in.
const NO_USER_NAMESPACES: &[&str] = &[
    "unshare",
    "--user",
    "--map-user=1000",
    "--map-group=1000",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && \
     exec setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all \"$@\"",
    "sh",
];

/// Root as in most containers.
const ROOT_WITHOUT_MOUNTS: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "setpriv",
    "--no-new-privs",
    "--inh-caps=-sys_admin",
    "--bounding-set=-sys_admin",
];

/// An error if this host cannot simulate it.
fn run(runner: &[&str], arguments: &[&str]) -> Result<Ran, rave_process::Error> {
    Cmd::new(runner[0]).args(runner[1..].iter().copied()).arg("true").output()?;
    Ok(run_under(runner, fresh(&read("rave.toml".into())).path(), arguments, &[]))
}

#[test]
fn a_user_without_user_namespaces_is_shown_the_blocking_setting() {
    for arguments in [&["image"][..], &["doctor", "--accel", "tcg"]] {
        let ran = or_skip!(run(NO_USER_NAMESPACES, arguments));
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        for part in [
            "user namespaces: unpacks a root filesystem with its owners (found off: user.max_user_namespaces is 0",
            "user namespaces: sudo sysctl -w user.max_user_namespaces=",
            "or run this as root",
        ] {
            assert!(ran.stderr.contains(part), "no {part:?} in:\n{}", ran.stderr);
        }
    }
}

#[test]
fn root_without_mount_rights_gets_a_warning() {
    let ran = or_skip!(run(ROOT_WITHOUT_MOUNTS, &["doctor", "--json", "--accel", "tcg"]));
    let rows: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    let row = rows.iter().find(|row| row["name"] == "root").unwrap();
    assert_eq!((&row["state"], &row["found"]), (&"warning".into(), &"may not mount".into()));
    assert!(row["how"].as_str().unwrap().contains("CAP_SYS_ADMIN"), "{row}");
}

#[test]
fn doctors_table_fits_100_columns() {
    let ran = run_under(&[], fresh(&read("rave.toml".into())).path(), &["doctor", "--accel", "tcg"], &[]);
    let long: Vec<&str> = ran.stdout.lines().filter(|line| line.chars().count() > 100).collect();
    assert!(ran.stdout.contains("PROGRAM") && long.is_empty(), "{long:#?}");
}
