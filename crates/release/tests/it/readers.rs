//! Third-party readers accept a release's files: only if they are installed.

use rave_process::Cmd;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::Fixture;

/// The variable that names the Python with these packages.
const PYTHON: &str = "RAVE_RELEASE_READERS";

#[test]
#[ignore = "needs packages of PyPI: cargo xtask test release installs them"]
fn third_party_tools_read_statements_and_sboms() {
    let python = or_skip!(std::env::var(PYTHON).map_err(|_| format!("{PYTHON} is not set")));
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let folder = fixture.release();
    let key = fixture.key.public();
    let public = key.key_data().ed25519().unwrap().0.iter().map(|byte| format!("{byte:02x}"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/readers.py");
    let output = Cmd::new(python)
        .args([script, folder.as_str(), &rave_release::key::fingerprint(key), &public.collect::<String>()])
        .output()
        .unwrap();
    let message = output.text();
    for line in ["statements: 2", "CycloneDX components: ", "SPDX packages: "] {
        assert!(message.contains(line), "no {line:?} in {message}");
    }
}
