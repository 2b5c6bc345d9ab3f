//! Changes as a branch, and a history that is copied too.

use std::fs;

use rave_workspace::apply::Outcome;
use rave_workspace::branch::branch;

use crate::fixture::{Bench, git, tree};

#[test]
fn a_branch_has_one_commit_and_nothing_else_is_changed() {
    let bench = Bench::with_git();
    bench.ours("a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    bench.ours("b", "b\n");
    bench.commit();
    bench.ours("a", "1\n2\n3\n4\n5\n6\n7\n8\nnot committed\n");
    // These would run during ordinary use of the repository.
    let hook = bench.host().join(".git/hooks/reference-transaction");
    crate::fixture::write(&hook, "#!/bin/sh\ntouch ../ran\n");
    crate::fixture::mode(&hook, 0o755);
    bench.git(&["config", "filter.evil.clean", "touch ran"]);
    bench.ours(".git/info/attributes", "* filter=evil\n");
    bench.push();
    bench.theirs("a", "one\n2\n3\n4\n5\n6\n7\n8\nnot committed\n");
    fs::remove_file(bench.guest().join("b")).unwrap();
    bench.theirs("c/d", "new\n");
    crate::fixture::link("c/d", &bench.guest().join("link"));
    let before = tree(&bench.host(), &[".git"]);
    let chosen = bench.choose(&[]);
    let mut record = bench.record();
    let made = branch(&bench.place, &mut record, &chosen.wanted, "agent/work", "Work of an agent").unwrap();
    assert_eq!(made.outcomes[b"a".as_slice()], Outcome::Merged);
    assert_eq!(tree(&bench.host(), &[".git"]), before);
    assert_eq!(bench.git(&["log", "--format=%s", "agent/work"]), "Work of an agent\nx");
    assert_eq!(bench.git(&["show", "agent/work:a"]), "one\n2\n3\n4\n5\n6\n7\n8\n9");
    assert_eq!(bench.git(&["show", "agent/work:c/d"]), "new");
    assert_eq!(bench.git(&["ls-tree", "-r", "--name-only", "agent/work"]), "a\nc/d\nlink");
    assert_eq!(bench.git(&["fsck", "--strict"]), "");
    // The change counts as taken, but can still be applied.
    assert!(bench.pull().unapplied(&bench.record()).is_empty());
    assert_eq!(bench.changed().len(), 4);
    let second = branch(&bench.place, &mut record, &chosen.wanted, "agent/work", "x").unwrap_err();
    assert_eq!(second.to_string(), "the branch agent/work already exists");
    assert!(branch(&bench.place, &mut record, &chosen.wanted, "a..b", "x").is_err());
}

/// A token in a common format, assembled so that secret scanners do not report it.
fn token() -> String {
    format!("gh{}_{}", 'p', "abcdefghijklmnopqrstuvwxyz0123456789AB")
}

#[test]
fn a_history_is_copied_with_uncommitted_changes_and_its_secrets_reported() {
    let bench = Bench::with_git();
    bench.ours("a", "first\n");
    bench.ours(".env", "PASSWORD=x\n");
    bench.ours("notes", &format!("token: {}\n", token()));
    bench.commit();
    fs::remove_file(bench.host().join(".env")).unwrap();
    bench.ours("notes", "nothing\n");
    bench.ours("a", "second\n");
    bench.commit();
    bench.ours("a", "not committed\n");
    bench.ours("new", "not tracked\n");
    let before = tree(&bench.host(), &[]);
    let pushed = bench.push_with_history(&[]).unwrap();
    assert_eq!(tree(&bench.host(), &[]), before, "the repository is only read");

    let history = pushed.history.unwrap();
    let secrets: Vec<String> = history.secrets.iter().map(|(path, ..)| path.to_string()).collect();
    assert_eq!((history.blobs, secrets), (5, vec![".env".to_owned(), "notes".to_owned()]));
    let theirs = |arguments: &[&str]| git(&bench.guest(), arguments);
    assert_eq!(theirs(&["rev-parse", "HEAD"]), bench.git(&["rev-parse", "HEAD"]));
    assert_eq!(theirs(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(theirs(&["show", "HEAD~:a"]), "first");
    assert_eq!(theirs(&["status", "--porcelain"]), " M a\n?? new");
    assert_eq!(theirs(&["fsck", "--strict"]), "");

    // Changes are relative to what was pushed, not to the history.
    assert!(bench.changed().is_empty());
    bench.theirs("a", "of the guest\n");
    theirs(&["commit", "--all", "--quiet", "-m", "theirs"]);
    assert_eq!(bench.changed(), ["a"]);
    bench.apply();
    assert_eq!(bench.read("a"), "of the guest\n");

    let second = bench.push_with_history(&[]).unwrap_err();
    assert_eq!(second.to_string(), "the copy in the sandbox already has a history");
    assert_eq!(bench.push().history, None);
}

#[test]
fn a_detached_shallow_history_is_copied_and_named_files_are_not_secrets() {
    let bench = Bench::with_git();
    for content in ["1\n", "2\n", "3\n"] {
        bench.ours("a.key", content);
        bench.commit();
    }
    let shallow = bench.git(&["rev-parse", "HEAD~"]);
    bench.git(&["checkout", "--quiet", "--detach"]);
    fs::write(bench.host().join(".git/shallow"), format!("{shallow}\n")).unwrap();
    let history = bench.push_with_history(&["a.key"]).unwrap().history.unwrap();
    assert_eq!((history.blobs, history.secrets.len()), (2, 0));
    let theirs = |arguments: &[&str]| git(&bench.guest(), arguments);
    assert_eq!(theirs(&["rev-list", "--count", "HEAD"]), "2");
    assert_eq!(theirs(&["rev-parse", "--abbrev-ref", "HEAD"]), "HEAD");
    assert_eq!(theirs(&["status", "--porcelain"]), "");
    assert_eq!(theirs(&["fsck"]), "");
}

#[test]
fn a_folder_without_history_is_reported_before_copying() {
    let plain = Bench::new();
    plain.ours("a", "a\n");
    let error = plain.push_with_history(&[]).unwrap_err();
    assert!(error.to_string().contains("is not in a git repository"), "{error}");
    assert!(!plain.guest().join("a").exists());

    let unborn = Bench::with_git();
    unborn.ours("a", "a\n");
    let pushed = unborn.push_with_history(&[]).unwrap();
    assert_eq!((pushed.sent, pushed.history), (1, None));
    assert_eq!(git(&unborn.guest(), &["log", "--format=%s"]), "As it was pushed");
}
