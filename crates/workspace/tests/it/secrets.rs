//! What is not copied is never seen and never touched.

use std::fs;

use rave_workspace::apply::Outcome;

use crate::fixture::{Bench, tree};

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nabcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ\n";

fn with_secrets() -> Bench {
    let bench = Bench::with_git();
    bench.ours(".gitignore", ".env\n");
    bench.ours("src/main.rs", "fn main() {}\n");
    bench.ours("deploy/server.key", "tracked key");
    bench.ours("deploy/notes.txt", KEY);
    bench.ours("deploy/readme.md", "text");
    bench.commit();
    bench.ours(".env", "TOKEN=1");
    bench
}

#[test]
fn secrets_are_not_copied_and_are_reported() {
    let bench = with_secrets();
    let pushed = bench.push();
    let withheld: Vec<String> = pushed.withheld.keys().map(ToString::to_string).collect();
    assert_eq!(withheld, [".env", "deploy/notes.txt", "deploy/server.key"]);
    for path in withheld {
        assert!(!bench.guest().join(path).exists());
    }
    assert!(bench.try_push(&["deploy/server.key"], false).unwrap().sent == 1);
    assert!(bench.guest().join("deploy/server.key").exists());
}

#[test]
fn a_secret_that_is_added_to_a_copied_file_is_not_sent() {
    let bench = with_secrets();
    bench.push();
    bench.ours("src/main.rs", KEY);
    let pushed = bench.push();
    assert!(pushed.withheld.contains_key(b"src/main.rs".as_slice()), "{pushed:?}");
    let theirs = || fs::read_to_string(bench.guest().join("src/main.rs")).unwrap();
    assert_eq!(theirs(), "fn main() {}\n");
    assert_eq!(bench.changed(), [""; 0], "it does not show as changed by the agent");
    bench.try_push(&["src/main.rs"], false).unwrap();
    assert_eq!(theirs(), KEY, "it was named");
}

/// The merge base is what was pushed, not the commit that contains the key.
#[test]
fn files_that_were_not_copied_are_never_deleted_or_overwritten() {
    let bench = with_secrets();
    bench.push();
    assert_eq!(bench.changed(), [""; 0], "what was not copied does not show as deleted");
    let before = tree(&bench.host(), &[]);
    // The agent deletes the folder around it, and creates files with the same names.
    fs::remove_dir_all(bench.guest().join("deploy")).unwrap();
    assert_eq!(bench.changed(), ["deploy/readme.md"]);
    bench.theirs("deploy/server.key", "the agent's");
    bench.theirs(".env", "TOKEN=the agent's");
    bench.theirs("src/main.rs", "fn main() { /* new */ }\n");
    let outcomes = bench.apply();
    let outcome = &outcomes[b"deploy/server.key".as_slice()];
    assert!(matches!(outcome, Outcome::Refused(why) if why.contains("was not copied")), "{outcome:?}");
    let after = tree(&bench.host(), &[]);
    for path in ["deploy/server.key", "deploy/notes.txt", ".env"] {
        let path = std::path::Path::new(path);
        assert_eq!(after.get(path), before.get(path), "{path:?}");
    }
    assert!(!after.contains_key(std::path::Path::new("deploy/readme.md")));
    assert_eq!(bench.read("src/main.rs"), "fn main() { /* new */ }\n");
    bench.push();
    assert_eq!(fs::read_to_string(bench.guest().join("deploy/server.key")).unwrap(), "the agent's");
}

#[test]
fn a_file_ignored_on_the_host_is_not_overwritten() {
    let bench = Bench::with_git();
    bench.ours(".gitignore", "local.*\n");
    bench.ours("local.txt", "mine");
    bench.push();
    bench.theirs(".gitignore", "");
    bench.theirs("local.txt", "the agent's");
    // The pushed rules apply: rules that a guest adds or removes hide and reveal nothing.
    assert_eq!(bench.changed(), [".gitignore"]);
    bench.apply();
    bench.push();
    let outcomes = bench.apply();
    assert_eq!(bench.read("local.txt"), "mine", "{outcomes:?}");
}
