//! Artifacts that are split into parts, and joined by standard tools.

use std::fs;

use rave_process::Cmd;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, files};

const DISK: &str = "rave-1.2.0-headless-x86_64.qcow2";

#[test]
fn parts_verify_as_parts_as_a_whole_and_as_both() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let mut plan = fixture.plan("cut");
    plan.part_limit = 100 << 10;
    fixture.cut(&plan).unwrap();
    let folder = plan.out;
    let parts: Vec<String> =
        files(&folder).into_iter().filter(|file| file.starts_with(&format!("{DISK}.part-"))).collect();
    assert!(parts.len() > 1 && !folder.join(DISK).exists(), "{parts:?}");
    assert_eq!(fixture.verify(&folder).problems, []);
    // The command line from the notes.
    let notes = fs::read_to_string(folder.join("RELEASE_NOTES.md")).unwrap();
    let line = notes.lines().find(|line| line.starts_with("cat ")).unwrap();
    let script = format!("{line} && sha256sum -c SHA256SUMS.joined && sha256sum -c SHA256SUMS");
    Cmd::new("sh").args(["-c", &script]).current_dir(folder.as_std_path()).output().unwrap();
    assert_eq!(fixture.verify(&folder).problems, []);
    for part in &parts {
        fs::remove_file(folder.join(part)).unwrap();
    }
    let verdict = fixture.verify(&folder);
    assert_eq!(verdict.problems, []);
    assert!(verdict.files.iter().any(|row| row.path == DISK && row.holds));

    let mut bytes = fs::read(folder.join(DISK)).unwrap();
    bytes[7] ^= 1;
    fs::write(folder.join(DISK), bytes).unwrap();
    let found = fixture.verify(&folder).problems;
    assert_eq!((found.len(), found[0].about.as_str()), (1, DISK));
    fs::remove_file(folder.join(DISK)).unwrap();
    let found = fixture.verify(&folder).problems;
    assert_eq!(found.len(), parts.len(), "{found:?}");
    assert_eq!(found[0].to_string(), format!("{}: it is missing", parts[0]));
}
