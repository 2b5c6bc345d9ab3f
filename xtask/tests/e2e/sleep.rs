//! The host is suspended for two hours while a sandbox runs: afterwards the guest has the host's time within a second,
//! and TLS with a certificate of that time works.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use rave_testing::tls::{Authority, Behind, Proxy};
use rave_vm::qmp::Client;
use serde_json::Value;

use crate::command::{Command, signal};
use crate::tool::{
    DEADLINE, Finished, HEADLESS, Place, checkout, finish, shared_cache, shared_out, wait_until,
};

const NAME: &str = "demo";
/// How long the host sleeps.
const SLEEP: Duration = Duration::from_secs(2 * 60 * 60);
/// How far the guest's clock may be off afterwards, ms.
const CLOSE: u128 = 1000;
/// A certificate's validity around its time.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// A sandbox on a host whose wall clock is the real one plus an offset.
struct Host {
    place: Place,
    moved: Duration,
}

impl Host {
    fn new() -> Self {
        let place = Place::new();
        place.share_templates();
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-o"]).arg(place.path("wall_clock.so"));
        compile.arg(checkout().join("xtask/tests/fixtures/wall_clock.c"));
        finish(&compile).expect_code(0);
        let host = Self { place, moved: Duration::ZERO };
        fs::write(host.file(), [0; 8]).unwrap();
        host
    }

    fn file(&self) -> PathBuf {
        self.place.path("moved")
    }

    /// Moves its wall clock, as seen by its programs, by two hours; other clocks are not moved.
    fn sleeps(&mut self) {
        self.moved += SLEEP;
        // In place: the file is mapped.
        let file = fs::OpenOptions::new().write(true).open(self.file()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &self.moved.as_secs().to_ne_bytes(), 0).unwrap();
    }

    fn now(&self) -> SystemTime {
        SystemTime::now() + self.moved
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.xtask(arguments);
        command.env("LD_PRELOAD", self.place.path("wall_clock.so")).env("WALL_CLOCK_FILE", self.file());
        command
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        finish(&self.command(arguments))
    }

    fn row(&self) -> Value {
        let row = self.run(&["inspect", NAME, "--json"]);
        serde_json::from_str(&row.expect_code(0).stdout).unwrap()
    }

    fn pids(&self) -> [u32; 2] {
        let row = self.row();
        [&row["qemu"], &row["status"]["supervisor"]].map(|pid| pid.as_u64().unwrap().try_into().unwrap())
    }

    /// The guest's clock is between the host's before and after the query.
    fn has_the_time(&self) {
        let millis = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_millis();
        let before = millis(self.now());
        let guest = self.run(&["exec", NAME, "--", "date", "+%s%3N"]);
        let guest: u128 = guest.expect_code(0).stdout.trim().parse().unwrap();
        let after = millis(self.now());
        assert!(before <= guest + CLOSE && guest <= after + CLOSE, "{before} {guest} {after}");
    }

    /// A server whose certificate is valid at this time.
    fn server(&self, at: SystemTime) -> Proxy {
        let authority = Authority::new("short").valid(at - LIFE..at + LIFE);
        fs::write(self.place.path("page"), "answered").unwrap();
        let server = Proxy::start(authority, Behind::Folder(self.place.path("")));
        let port = server.url().rsplit(':').next().unwrap().to_owned();
        let rule = format!("127.0.0.1:{port}/tcp,private");
        self.run(&["net", NAME, "allow", &rule]).expect_code(0);
        server
    }

    /// The result of curl in the guest.
    fn fetch(&self, server: &Proxy) -> Finished {
        let port = server.url().rsplit(':').next().unwrap().to_owned();
        let script = format!(
            "cat > /tmp/authority.pem; curl --silent --show-error --fail --max-time 60 --noproxy '' --cacert /tmp/authority.pem \
             --proxy http://10.0.2.2:{port} https://short.example/page"
        );
        let mut fetch = self.command(&["exec", NAME, "--", "sh", "-c", &script]);
        fetch.stdin(server.authority().pem().as_bytes().to_vec());
        finish(&fetch)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.run(&["rm", "--force", NAME]);
    }
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn the_clock_is_right_and_tls_works_after_two_hours_of_suspend() {
    shared_cache(HEADLESS);
    let mut host = Host::new();
    let mut up = host.command(&["up", NAME, "--base", "debian", "--no-build", "--out"]);
    finish(up.arg(shared_out(HEADLESS))).expect_code(0);
    host.has_the_time();
    let first = host.server(host.now() + SLEEP);
    // CURLE_PEER_FAILED_VERIFICATION of libcurl-errors(3).
    host.fetch(&first).expect_code(60).expect_said("not yet valid");

    // The machine was paused, and has no supervisor.
    let [_, supervisor] = host.pids();
    signal("KILL", supervisor);
    wait_until("the supervisor is gone", || host.row()["state"] == "unattended");
    let socket = host.place.path("state/sandboxes").join(NAME).join("run/qmp.sock");
    let mut qemu = Client::connect(Utf8Path::from_path(&socket).unwrap(), DEADLINE).unwrap();
    qemu.execute("stop", Value::Null, DEADLINE).unwrap();
    host.sleeps();
    qemu.execute("cont", Value::Null, DEADLINE).unwrap();
    drop(qemu);
    is_set(&host, 0);
    assert_eq!(host.fetch(&first).expect_code(0).stdout, "answered");

    // All processes are paused, as during a real suspend.
    let at = host.row()["status"]["clock"]["at"].as_u64().unwrap();
    let second = host.server(host.now() + SLEEP);
    host.fetch(&second).expect_code(60);
    let pids = host.pids();
    for pid in &pids {
        signal("STOP", *pid);
    }
    host.sleeps();
    for pid in &pids {
        signal("CONT", *pid);
    }
    is_set(&host, at);
    assert_eq!(host.fetch(&second).expect_code(0).stdout, "answered");
    host.fetch(&first).expect_code(60).expect_said("expired");
}

/// The supervisor has set the clock since then, and it is correct.
fn is_set(host: &Host, since: u64) {
    host.run(&["exec", NAME, "--", "true"]).expect_code(0);
    let at = || host.row()["status"]["clock"]["at"].as_u64();
    wait_until("the clock is set", || at().is_some_and(|at| at > since));
    let clock = host.row()["status"]["clock"].clone();
    let sleep = i64::try_from(SLEEP.as_millis()).unwrap();
    assert!(clock["behind_ms"].as_i64().unwrap() > sleep - 60_000, "{clock}");
    host.has_the_time();
}
