//! Memory, and the terminal.

use std::time::Duration;

use rave_process::{Cmd, find_program};

use crate::helper::{cmd, note, start};

/// What streaming may add to the peak, in KiB: two 64 KiB buffers, 40 lines of at most 8 KiB, and slack for the
/// allocator.
const GROWTH: u64 = 4096;

#[test]
fn memory_does_not_grow_with_streamed_data() {
    let scratch = tempfile::tempdir().unwrap();
    let _helper = start("stream", scratch.path());
    let end = note(scratch.path(), "end");
    let (seen, growth) = end.split_once(' ').unwrap();
    assert!((130..=131).contains(&seen.parse::<u64>().unwrap()), "{seen} MiB seen");
    assert!(growth.parse::<u64>().unwrap() < GROWTH, "grew by {growth} KiB");
}

#[test]
fn an_interactive_command_can_read_from_the_terminal() {
    let scratch = tempfile::tempdir().unwrap();
    assert!(find_program("script").is_some(), "script(1) of bsdutils makes the terminal");
    let helper = cmd("ask the terminal", scratch.path());
    let typed = b"typed\n".to_vec();
    Cmd::new("script")
        .args(["-q", "-e", "-c", &format!("env {helper}"), "/dev/null"])
        .stdin_bytes(typed)
        .timeout(Duration::from_secs(20))
        .output()
        .unwrap();
    assert_eq!(note(scratch.path(), "answer"), "typed");
}
