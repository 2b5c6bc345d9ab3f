//! The profile `cloud` without user data, with a seed of `NoCloud` and with a config drive. These take minutes: `cargo xtask test
//! cloud` runs them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use camino::Utf8Path;
use rave_smoke::report::{Outcome, Report};
use rave_vm::keys::KeyPair;
use rave_vm::ssh::Ssh;
use rave_vm::{Instance, Ready};
use serde_json::{Value, json};

use crate::fixture::{COMMAND, Fixture, output_of};
use crate::seed::{ADDRESS, Medium, config_drive, no_cloud};
use crate::tool::{CLOUD, DEADLINE, Place, finish, poll, shared_cache, shared_out};

/// cloud-init is a large Python program, which is slow under emulation.
const LIMIT: Duration = DEADLINE.saturating_mul(3);

/// The other end of `qemu-guest-agent`: a line of JSON each way (qemu-ga-ref(7)).
fn ask_agent(socket: &Utf8Path, command: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(COMMAND)).unwrap();
    writeln!(stream, "{}", json!({ "execute": command })).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    answer.get("return").cloned().unwrap_or_else(|| panic!("{command}: {answer}"))
}

/// A login with the key that is only on the medium.
fn by_own_key(instance: &Instance, ready: &Ready, key: &KeyPair, user: &str) -> Ssh {
    let machine = instance.machine();
    let forward = machine.forward("ssh").unwrap();
    let folder = key.private.parent().unwrap();
    Ssh::pin(folder, &machine.name, user, (forward.bind, forward.host), key, &ready.host_keys).unwrap()
}

/// A fixture with a medium that contains its own key.
fn with_medium(medium: Medium) -> (Fixture, KeyPair) {
    let mut fixture = Fixture::new(CLOUD);
    let folder = fixture.folder();
    let own = folder.join("own");
    std::fs::create_dir(&own).unwrap();
    let key = KeyPair::generate(&own, "user-data").unwrap();
    let files = match medium {
        Medium::NoCloud => no_cloud(&key.public),
        Medium::ConfigDrive => config_drive(&key.public),
    };
    fixture.sandbox.machine.more_disks = vec![medium.write(&folder, &files)];
    fixture.sandbox.machine.guest_agent = true;
    (fixture, key)
}

/// MiB of the root file system.
fn root_mib(ssh: &Ssh) -> u64 {
    output_of(ssh, "df --block-size=1M --output=size / | tail -n 1").trim().parse().unwrap()
}

#[test]
#[ignore = "it takes minutes: cargo xtask test cloud"]
fn an_image_without_user_data_works_as_usual() {
    shared_cache(CLOUD);
    let place = Place::new();
    let mut command = place.xtask(&[
        "smoke",
        "--base",
        "debian",
        "--profile",
        CLOUD,
        "--rows",
        "qemu-bios",
        "--json",
        "--out",
    ]);
    command.arg(shared_out(CLOUD));
    let finished = finish(&command);
    finished.expect_code(0);
    let report: Report = serde_json::from_str(&finished.stdout).unwrap();
    let cloud = report.runs[0].rows.iter().find(|row| row.name == "cloud").unwrap();
    assert_eq!((&cloud.outcome, cloud.last_answer.as_str()), (&Outcome::Passed, "disabled"));
}

#[test]
#[ignore = "it takes minutes: cargo xtask test cloud"]
fn a_no_cloud_seed_sets_key_name_network_and_growth() {
    let (fixture, key) = with_medium(Medium::NoCloud);
    let (instance, ready, _) = fixture.ready_within(LIMIT);
    let ssh = by_own_key(&instance, &ready, &key, "agent");
    // Ready means that user data was applied, except for its own commands.
    assert_eq!(
        output_of(&ssh, "hostname; cat /etc/hostname /etc/rave/from-seed").trim(),
        "box-1\nbox-1\nwritten"
    );
    assert!(output_of(&ssh, "sudo -n true 2>&1 && getent hosts box-1").contains("127.0.1.1"));
    let addresses = output_of(&ssh, "ip -4 -oneline address show dev eth0");
    assert!(addresses.contains(ADDRESS) && addresses.contains("10.0.2.15"), "{addresses}");
    assert!(root_mib(&ssh) > 7000, "{}", root_mib(&ssh));
    // Only once, and by cloud-init.
    let made = output_of(&ssh, "sudo -n journalctl --boot --unit rave-ssh-keys --output cat");
    assert!(!made.contains("made "), "{made}");
    let keys = output_of(&ssh, "ls /etc/ssh/ssh_host_*_key");
    assert_eq!(keys.lines().count(), 2, "{keys}");
    assert_eq!(output_of(&ssh, "sudo -n passwd --status agent").split(' ').nth(1), Some("L"));
    poll("the commands of the user data have run", COMMAND / 100, || {
        ssh.exec("test -e /run/rave-seed-ran", COMMAND).unwrap().success()
    });
    assert_eq!(output_of(&ssh, "cloud-init status --wait").trim(), "status: done");
    output_of(&ssh, "sudo -n cloud-init schema --system");
    assert_eq!(output_of(&ssh, "systemctl list-units --failed --plain --no-legend").trim(), "");

    let socket = &instance.machine().files.agent_socket;
    assert_eq!(ask_agent(socket, "guest-ping"), json!({}));
    assert_eq!(ask_agent(socket, "guest-get-osinfo")["id"], "debian");
    assert_eq!(ask_agent(socket, "guest-get-host-name")["host-name"], "box-1");
    assert!(ask_agent(socket, "guest-network-get-interfaces").to_string().contains(ADDRESS));
    instance.kill().unwrap();
}

#[test]
#[ignore = "it takes minutes: cargo xtask test cloud"]
fn a_config_drive_sets_key_name_and_users_and_may_forbid_growth() {
    let (fixture, key) = with_medium(Medium::ConfigDrive);
    let (instance, ready, _) = fixture.ready_within(LIMIT);
    let ssh = by_own_key(&instance, &ready, &key, "agent");
    assert_eq!(output_of(&ssh, "hostname; id -un").trim(), "drive-1\nagent");
    let other = by_own_key(&instance, &ready, &key, "other");
    assert_eq!(output_of(&other, "id -un").trim(), "other");
    assert!(!other.exec("sudo -n true", COMMAND).unwrap().success(), "it has no privileges");
    assert!(root_mib(&ssh) < 7000, "{}", root_mib(&ssh));
    assert!(output_of(&ssh, "ip -4 -oneline address").contains("10.0.2.15"));
    assert_eq!(output_of(&ssh, "cloud-init status --wait").trim(), "status: done");
    assert_eq!(ask_agent(&instance.machine().files.agent_socket, "guest-ping"), json!({}));
    instance.kill().unwrap();
}
