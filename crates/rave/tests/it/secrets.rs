//! Secrets of the user's configuration, with a real supervisor and QEMU, and without a guest.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use rave_net::Policy;
use rave_sandbox::{Place, network};

use crate::sandbox::{State, pid, wait_until};

const SSH: [(&str, u16, Option<u16>); 1] = [("ssh", 22, None)];
const REAL: &str = "the-users-real-secret";
const SECRET: &str = "[[secret]]\nname = \"forge\"\nhost = \"git.example\"\nvalue.environment = \"FORGE_REAL\"\ngit = \"me\"\n";

/// A sandbox that may reach the secret's host.
fn created(state: &State) -> Place {
    let place = state.make("demo", &SSH);
    let policy = Policy { allow: vec!["git.example".parse().unwrap()], ..Policy::default() };
    network::write(&place, &policy).unwrap();
    place
}

fn configure(state: &State, text: &str) {
    let folder = state.path().join("config/rave");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("secrets.toml"), text).unwrap();
}

/// Every file below a folder that contains a text.
fn holding(folder: &Utf8Path, text: &str, found: &mut Vec<String>) {
    for entry in folder.read_dir_utf8().unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            holding(entry.path(), text, found);
        } else if kind.is_file() && fs::read(entry.path()).is_ok_and(|bytes| has(&bytes, text)) {
            found.push(entry.path().to_string());
        }
    }
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn secrets_stay_in_the_supervisor_and_a_workspace_cannot_name_any() {
    let state = State::new();
    let place = created(&state);
    configure(&state, SECRET);
    // If it were read, the supervisor would not start: it is not a valid list of secrets.
    let hostile = state.path().join("hostile");
    fs::create_dir(&hostile).unwrap();
    for file in ["secrets.toml", "rave.toml", ".rave.toml", "rave.local.toml"] {
        fs::write(hostile.join(file), "[[secret]]\nname = \"hostile\"\n").unwrap();
    }
    let start = state.start_in(&hostile, &[("FORGE_REAL", REAL)], &["start", "demo"]);
    wait_until("it starts", || state.state_of("demo") == "starting");
    start.kill();
    let show = state.run(&["net", "demo", "show"]);
    let row = "forge for git.example; $FORGE in the guest";
    assert!(show.expect(0).stdout.contains(row) && !show.stdout.contains("hostile"), "{}", show.stdout);
    let placeholders = place.folder().join("placeholders.json");
    assert_eq!(fs::metadata(&placeholders).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&placeholders).unwrap();
    let placeholder = text.split('"').nth(3).unwrap();
    assert!(text.contains("forge") && placeholder.starts_with("rave-"), "{text}");

    let mut found = Vec::new();
    holding(place.folder(), REAL, &mut found);
    assert!(found.is_empty(), "{found:?}");
    holding(place.folder(), placeholder, &mut found);
    assert!(!found.is_empty(), "the search finds what is there");
    let qemu = pid(&state.row("demo")["qemu"]);
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{qemu}/{file}")).unwrap();
        assert!(!has(&bytes, REAL), "{file}");
    }
    state.run(&["net", "demo", "forget", "git.example"]).expect(0);
    let show = state.run(&["net", "demo", "show"]);
    assert!(!show.expect(0).stdout.contains("forge"), "it is useless while its host is closed");
    state.run(&["stop", "demo", "--timeout", "1s"]).expect(0);
    let record = state.run(&["audit", "demo"]);
    assert!(!record.expect(0).stdout.contains(REAL));
}

#[test]
fn an_invalid_secrets_file_is_reported_and_nothing_starts() {
    let state = State::new();
    created(&state);
    configure(
        &state,
        "[[secret]]\nname = \"forge\"\nhost = \"git.example\"\nvalue = \"the secret itself\"\n",
    );
    let done = state.run(&["start", "demo"]);
    assert_ne!(done.code, Some(0));
    done.expect_output("secrets.toml");
    assert!(!done.stderr.contains("itself"), "{}", done.stderr);
    assert_eq!(state.state_of("demo"), "stopped");
}
