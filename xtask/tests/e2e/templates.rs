//! Templates and their clones, with the real headless image: what clones do not share, and the effects of damage and
//! killed makers.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::command::{Command, signal};
use crate::named_sandboxes::Sandboxes;
use crate::tool::{Place, finish, wait_until};

/// Programs that may survive from the template: systemd's own early services, and `rave-guest`. None of them has
/// generated a key.
const SURVIVORS: [&str; 8] = [
    "systemd",
    "systemd-journal",
    "systemd-udevd",
    "systemd-network",
    "systemd-resolve",
    "systemd-timesyn",
    "(udev-worker)",
    "rave-guest",
];

/// Programs older than the opening of the barrier, whose file contains the guest's uptime at that moment, ms. The
/// fields of /proc/PID/stat after the name, which may have spaces, are state, parent, and 18 further ones up to the
/// start in ticks of 10 ms: proc(5). Process 2 is the parent of the kernel's threads. No other programs are started,
/// which would be slow under emulation.
const OLDER: &str = r#"
read -r opened < /run/rave/identity
for process in /proc/[0-9]*; do
    { read -r stat < "$process/stat"; } 2>/dev/null || continue
    name=${stat#*(}
    name=${name%)*}
    set -- ${stat##*) }
    [ "$2" -ne 2 ] && [ "$process" != /proc/2 ] && [ $((${20} * 10)) -lt "$opened" ] && echo "$name"
done
true
"#;

/// The folders of templates that look complete.
fn templates(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path("state/templates")).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
}

#[test]
fn clones_share_no_identity_and_change_no_byte_of_their_template() {
    let sandboxes = Sandboxes::new();

    // A killed maker leaves nothing that looks complete.
    let killed = sandboxes.up("killed").start_until("boot: kernel");
    killed.signal("KILL");
    sandboxes.place.expect_no_process();
    assert_eq!(templates(&sandboxes.place), Vec::<PathBuf>::new());

    finish(&sandboxes.up("one")).expect_code(0).expect_said("kept as a template");
    let [template] = templates(&sandboxes.place).try_into().unwrap();
    let saved = digests(&template);
    let mode = fs::metadata(template.join("memory")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
    finish(&sandboxes.up("two")).expect_code(0);
    for name in ["one", "two"] {
        assert_eq!(sandboxes.origin(name), "template", "{name}");
    }

    differ(&sandboxes);
    survivors(&sandboxes, "two");
    for name in ["one", "two"] {
        sandboxes.exec(name, "head -c 30000000 /dev/urandom > /root/mine; sync").expect_code(0);
    }
    assert_eq!(digests(&template), saved);
    restarts(&sandboxes);

    // Damage is reported and repaired. Running clones keep the file open.
    fs::remove_file(template.join("memory")).unwrap();
    fs::write(template.join("memory"), "short").unwrap();
    finish(&sandboxes.up("three")).expect_code(0).expect_said("damaged and is rebuilt");
    assert_eq!(sandboxes.origin("three"), "template");
    let digest = |name: &str| sandboxes.text(name, "cat /etc/machine-id");
    assert_ne!(digest("three"), digest("two"));

    // A clone whose QEMU dies before it has an identity is cloned once more.
    let up = sandboxes.up("four").start_until("");
    let mut qemu = None;
    wait_until("the clone's QEMU runs", || {
        qemu = sandboxes.qemu_of("four");
        qemu.is_some()
    });
    signal("KILL", qemu.unwrap());
    assert_eq!(up.wait().code(), Some(0));
    assert_eq!(sandboxes.origin("four"), "template");

    let cold = finish(sandboxes.up("cold").arg("--cold"));
    cold.expect_code(0);
    assert_eq!(sandboxes.origin("cold"), "disk");
}

fn digests(template: &std::path::Path) -> BTreeMap<String, String> {
    let digest = |name: &str| {
        // The memory is 4 GiB, most of it a hole: its checksum takes a tenth of the time of a digest.
        let mut command = Command::new("cksum");
        let done = finish(command.arg(template.join(name)));
        (name.to_owned(), done.expect_code(0).stdout.split(' ').next().unwrap().to_owned())
    };
    ["memory", "devices", "template.qcow2", "base.qcow2"].map(digest).into()
}

/// Two clones differ in all of these.
fn differ(sandboxes: &Sandboxes) {
    let own = [
        ("machine-id", "cat /etc/machine-id"),
        ("host name", "hostname"),
        ("host key", "cat /etc/ssh/ssh_host_ed25519_key.pub"),
        ("random bytes", "head -c 32 /dev/urandom | od -An -tx1"),
        ("the kernel's UUIDs", "cat /proc/sys/kernel/random/uuid"),
        ("the next boot's seed", "sha256sum < /var/lib/systemd/random-seed"),
        (
            "the router's key",
            "until cat /home/agent/.claude-code-router/config.json; do sleep 1; done | grep APIKEY",
        ),
    ];
    for (what, script) in own {
        let (one, two) = (sandboxes.text("one", script), sandboxes.text("two", script));
        assert!(!one.is_empty() && one != two, "{what}: {one} and {two}");
    }
    // What the documentation lists as the same.
    let boot = |name| sandboxes.text(name, "cat /proc/sys/kernel/random/boot_id");
    assert_eq!(boot("one"), boot("two"));

    for name in ["one", "two"] {
        let row = sandboxes.row(name);
        let identity = &row["identity"];
        assert_eq!(identity["machine_id"], sandboxes.text(name, "cat /etc/machine-id"));
        assert_eq!(identity["host_name"], name);
        let renewed = identity["renewed"].as_array().unwrap();
        for what in ["random", "clock", "machine-id", "hostname", "random-seed", "ssh-host-key"] {
            assert!(renewed.iter().any(|renewed| renewed == what), "{what} is not in {identity}");
        }
        let guest: i128 = sandboxes.text(name, "date +%s%3N").parse().unwrap();
        let host = i128::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        // The command itself takes some time.
        assert!((host - guest).abs() < 5000, "{name}: {host} and {guest}");
        let ssh = finish(&sandboxes.place.xtask(&["ssh", name, "hostname"]));
        assert_eq!(ssh.expect_code(0).stdout.trim(), name, "by the key of its own");
    }
}

fn survivors(sandboxes: &Sandboxes, name: &str) {
    let text = sandboxes.text(name, OLDER);
    let strange: Vec<&str> = text.lines().filter(|line| !SURVIVORS.contains(line)).collect();
    assert!(strange.is_empty() && text.lines().any(|line| line == "rave-guest"), "{text}");
}

/// A clone is an independent machine: it starts from its disk, with its identity.
fn restarts(sandboxes: &Sandboxes) {
    let id = sandboxes.text("one", "cat /etc/machine-id");
    finish(&sandboxes.place.xtask(&["stop", "one"])).expect_code(0);
    finish(&sandboxes.place.xtask(&["start", "one"])).expect_code(0);
    assert_eq!(sandboxes.origin("one"), "disk");
    assert_eq!(sandboxes.text("one", "cat /etc/machine-id; hostname"), format!("{id}\none"));
}
