//! Guests that print endlessly do not fill the disk.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8Path;
use rave_guest::protocol::GuestStage;
use rave_process::Cmd;
use rave_vm::Detached;
use rave_vm::qmp::Client;
use rave_vm::ring::DETACHED_LOG;
use serde_json::json;

use crate::guest::{Bench, sector_that_prints_endlessly};

const PATIENCE: Duration = Duration::from_secs(120);
const ANSWER: Duration = Duration::from_secs(10);

/// A detached machine, ended with the test.
struct Alone {
    detached: Detached,
    qmp: Client,
}

impl Alone {
    fn new(detached: Detached) -> Self {
        let qmp = Client::connect(&detached.machine.files.qmp_socket, ANSWER).unwrap();
        Self { detached, qmp }
    }

    /// Reads a log in QEMU's memory until it has read more than QEMU keeps of it, counting from the first `byte`.
    fn prints_endlessly(&mut self, log: &str, byte: u8) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        while seen <= DETACHED_LOG {
            if Instant::now() >= deadline {
                let console = self.ring("serial");
                panic!("{log}: {seen} bytes so far; console: {}", String::from_utf8_lossy(&console));
            }
            let bytes = self.ring(log);
            // Output before the guest's own bytes does not count.
            let start = bytes.iter().position(|found| *found == byte).unwrap_or(bytes.len());
            seen += (bytes.len() - start) as u64;
        }
    }

    /// What was added to a log in QEMU's memory since the last call.
    fn ring(&mut self, log: &str) -> Vec<u8> {
        let request = json!({ "device": log, "size": DETACHED_LOG, "format": "base64" });
        let answer = self.qmp.execute("ringbuf-read", request, ANSWER).unwrap();
        STANDARD.decode(answer.as_str().unwrap()).unwrap()
    }

    fn on_disk(&self) -> u64 {
        sizes(&self.detached.machine.files.run_dir)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        Cmd::new("kill").args(["-KILL", &self.detached.pid.to_string()]).output().unwrap();
    }
}

fn sizes(folder: &Utf8Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn the_debug_log_is_bounded() {
    let bench = Bench::new();
    let instance = bench.boot(bench.with_disk(&sector_that_prints_endlessly())).unwrap();
    let mut alone = Alone::new(instance.detach().unwrap());
    let before = alone.on_disk();
    alone.prints_endlessly("firmware", b'x');
    assert_eq!(alone.on_disk(), before);
}

#[test]
fn the_readiness_log_of_a_detached_machine_is_bounded() {
    let bench = Bench::new();
    // It writes to the first port until that is removed, and then to the new one. Opened before the host knows of it,
    // for a shell makes a regular file of a port that is just missing, in whose place no port appears.
    let script = "ports\nexec 3>$port\n\
                  echo \"{\\\"stage\\\":\\\"userspace\\\",\\\"state\\\":\\\"ok\\\",\\\"detail\\\":\\\"\\\",\\\"boot_id\\\":\\\"$boot\\\"}\" >&3\n\
                  while $b echo >&3; do $b usleep 20000; done\nexec 3>&-\n$b sleep 1\n\
                  while $b usleep 20000; do [ -c $port ] && $b yes zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz >$port; done\n";
    let mut instance = bench.boot(bench.linux(script, "")).unwrap();
    instance.wait_for(GuestStage::Userspace, PATIENCE, &mut |_| {}).unwrap();
    let mut alone = Alone::new(instance.detach().unwrap());
    let before = alone.on_disk();
    alone.prints_endlessly("ready", b'z');
    assert!(alone.on_disk() < before + 100_000, "{} bytes", alone.on_disk());
}
