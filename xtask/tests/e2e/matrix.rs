//! Rows of the matrix in parallel.

use crate::tool::{HEADLESS, Place, finish, shared_cache, shared_out};

/// Also the only test that boots with UEFI.
#[test]
fn two_rows_run_in_parallel_on_their_own_ports() {
    shared_cache(HEADLESS);
    let place = Place::new();
    let mut command =
        place.xtask(&["smoke", "--base", "debian", "--rows", "qemu-bios,qemu-uefi", "--jobs", "2"]);
    command.args(["--only", "kanban-answers,ssh-key", "--json", "--out"]).arg(shared_out(HEADLESS));
    let finished = finish(&command);
    finished.expect_code(0).expect_said("qemu-bios: done in").expect_said("qemu-uefi: done in");
    // Both start before either ends.
    let at = |text: &str| finished.stderr.find(text).unwrap();
    assert!(at("qemu-uefi: started") < at(": done in"), "{}", finished.stderr);
    let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let rows: Vec<(&str, &str)> = report["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            let subject = &run["subject"];
            (subject["row"].as_str().unwrap(), subject["firmware"].as_str().unwrap())
        })
        .collect();
    assert_eq!(rows, [("qemu-bios", "bios"), ("qemu-uefi", "uefi")]);
    assert_eq!(report["counts"]["passed"], 4, "{}", finished.stdout);
    place.expect_no_process();
}
