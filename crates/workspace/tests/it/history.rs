//! Changes as a branch.

use std::fs;

use rave_workspace::apply::Outcome;
use rave_workspace::branch::branch;

use crate::fixture::{Bench, tree};

#[test]
fn a_branch_has_one_commit_and_nothing_else_changes() {
    let bench = Bench::with_git();
    bench.ours("a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    bench.ours("b", "b\n");
    bench.commit();
    bench.ours("a", "1\n2\n3\n4\n5\n6\n7\n8\nnot committed\n");
    // What would run in a repository that is used as usual.
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
    // It counts as taken, and is still there to be applied.
    assert!(bench.pull().unapplied(&bench.record()).is_empty());
    assert_eq!(bench.changed().len(), 4);
    let again = branch(&bench.place, &mut record, &chosen.wanted, "agent/work", "x").unwrap_err();
    assert_eq!(again.to_string(), "the branch agent/work already exists");
    assert!(branch(&bench.place, &mut record, &chosen.wanted, "a..b", "x").is_err());
}
