//! The network of `run` and `smoke`: attacks from inside real guests, and a machine that outlives its command.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rave_smoke::isolation::ATTACKS;

use crate::command::Command;
use crate::tool::{HEADLESS, Place, finish, shared_cache, shared_out, wait_until};

/// The number of rows that passed and were not run, and all others with their reasons.
fn rows(stdout: &str) -> (usize, usize, Vec<String>) {
    let report: serde_json::Value = serde_json::from_str(stdout).unwrap();
    let rows = report["runs"][0]["rows"].as_array().unwrap();
    let is = |row: &serde_json::Value, result: &str| row["outcome"]["result"] == result;
    let count = |result| rows.iter().filter(|row| is(row, result)).count();
    let other = rows.iter().filter(|row| !is(row, "passed") && !is(row, "not_run"));
    let other = other.map(|row| format!("{}: {}", row["name"], row["outcome"])).collect();
    (count("passed"), count("not_run"), other)
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn no_attack_gets_out_of_a_guest_that_booted() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let mut command = place.xtask(&["smoke", "--base", "debian", "--isolation", "--json", "--out"]);
    command.arg(shared_out(HEADLESS));
    let finished = finish(&command);
    let (passed, not_run, other) = rows(&finished.stdout);
    assert!(other.is_empty(), "{other:#?}\n{}", finished.stderr);
    assert_eq!(passed + not_run, ATTACKS.len(), "{}", finished.stdout);
    // A host with only loopback cannot try its own address.
    assert!(not_run <= 1, "{}", finished.stdout);
    place.expect_no_process();
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn no_attack_gets_out_of_a_clone() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let mut command =
        place.xtask(&["smoke", "--base", "debian", "--isolation", "--clone", "--json", "--out"]);
    command.arg(shared_out(HEADLESS));
    let finished = finish(&command);
    let (passed, not_run, other) = rows(&finished.stdout);
    assert!(other.is_empty(), "{other:#?}\n{}", finished.stderr);
    // The first row says that it is a clone; its supervisor cannot resolve the attacks' servers.
    assert_eq!(passed + not_run, 1 + ATTACKS.len(), "{}", finished.stdout);
    let with_names = ATTACKS.iter().filter(|attack| attack.needs_names).count();
    assert!((with_names..=with_names + 1).contains(&not_run), "{}", finished.stdout);
    place.expect_no_process();
}

/// The number after these words.
fn number_after(text: &str, words: &str) -> u32 {
    let rest = text.split(words).nth(1).unwrap_or_else(|| panic!("no {words:?} in:\n{text}"));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn a_detached_machine_keeps_its_network_until_that_is_killed_and_gets_it_back() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let ports = ["gateway", "kanban", "router", "ssh"].map(|name| format!("{name}=auto"));
    let mut command = place.xtask(&["run", "--base", "debian", "--detach", "--headless", "--out"]);
    command.arg(shared_out(HEADLESS));
    for port in &ports {
        command.args(["--port", port]);
    }
    let started = finish(&command);
    started.expect_code(0).expect_said("network open: the guest reaches every public address");
    let gateway = u16::try_from(number_after(&started.stdout, "gateway  http://127.0.0.1:")).unwrap();
    let answers = || is_answered(gateway).unwrap_or(false);
    let (qemu, network) = (
        number_after(&started.stderr, "it keeps running as process "),
        number_after(&started.stderr, "its network is process "),
    );
    let _guard = EndOnDrop([qemu, network]);
    assert!(answers());
    kill(network);
    wait_until("nothing answers", || !answers());
    let run_dir = started.stderr.split("serve-network ").nth(1).unwrap().lines().next().unwrap();
    let again = place.xtask(&["serve-network", run_dir]);
    let server = std::thread::spawn(move || finish(&again));
    wait_until("the guest answers again", answers);
    kill(qemu);
    server.join().unwrap().expect_code(0);
    assert!(!answers());
    place.expect_no_process();
}

/// Whether the guest answers on this port. The host's end of it is open before the network is attached.
fn is_answered(port: u16) -> io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    Ok(stream.read(&mut [0])? > 0)
}

/// Processes that a failed test would leave behind.
struct EndOnDrop([u32; 2]);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        for process in self.0 {
            let mut kill = Command::new("kill");
            kill.args(["-KILL", &process.to_string()]);
            finish(&kill);
        }
    }
}

fn kill(process: u32) {
    let mut kill = Command::new("kill");
    kill.args(["-KILL", &process.to_string()]);
    finish(&kill).expect_code(0);
}
