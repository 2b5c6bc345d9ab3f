//! Which files are copied, and what a second push sends.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use rave_workspace::{BytePath, Error};

use crate::fixture::{Bench, git, link, mode, tree, write};

/// A repository with every kind of file.
fn repository() -> Bench {
    let bench = Bench::with_git();
    bench.ours("committed.txt", "one\n");
    bench.ours(".gitignore", "target/\n*.log\n");
    bench.ours("kept.log", "tracked although it is ignored\n");
    bench.commit();
    bench.ours("committed.txt", "one, changed and not committed\n");
    bench.ours("new/untracked.txt", "two\n");
    bench.ours("target/debug/big.o", "ignored");
    bench.ours("noise.log", "ignored");
    bench.ours("run.sh", "#!/bin/sh\n");
    mode(&bench.host().join("run.sh"), 0o755);
    bench.ours("private.txt", "x");
    mode(&bench.host().join("private.txt"), 0o600);
    fs::create_dir_all(bench.host().join("empty/inside")).unwrap();
    mode(&bench.host().join("empty/inside"), 0o700);
    link("new/untracked.txt", &bench.host().join("link"));
    link("/nowhere", &bench.host().join("dangling"));
    let odd = bench.host().as_std_path().join(OsStr::from_bytes(b"odd \xff\n\xe2\x80\xae%.txt"));
    fs::write(odd, "three").unwrap();
    bench
}

#[test]
fn a_repository_is_copied_with_uncommitted_and_without_ignored_files() {
    let bench = repository();
    let before = tree(&bench.host().join(".git"), &[]);
    let pushed = bench.push();
    assert!(pushed.is_first && pushed.left.is_empty() && pushed.withheld.is_empty(), "{pushed:?}");
    let guest = tree(&bench.guest(), &[".git"]);
    assert_eq!(guest, tree(&bench.host(), &[".git", "target", "noise.log"]));
    assert!(guest.keys().any(|path| path.as_os_str().as_bytes().contains(&0xff)));
    assert_eq!(tree(&bench.host().join(".git"), &[]), before, "the repository of the user is as it was");
    assert_eq!(bench.changed(), [""; 0]);
    // One commit in the guest's own repository.
    assert_eq!(git(&bench.guest(), &["log", "--format=%s"]), "As it was pushed");
    assert_eq!(git(&bench.guest(), &["status", "--porcelain"]), "");
}

#[test]
fn a_plain_folder_is_copied_completely() {
    let bench = Bench::new();
    bench.ours("a/b.txt", "1");
    bench.ours("target/x", "2");
    let pushed = bench.push();
    assert_eq!((pushed.bytes, tree(&bench.guest(), &[])), (2, tree(&bench.host(), &[])));
}

#[test]
fn a_submodule_is_copied_with_its_own_ignore_rules() {
    let bench = Bench::with_git();
    let inner = bench.sandbox().join("inner");
    write(&inner.join("lib.txt"), "lib");
    write(&inner.join(".gitignore"), "*.tmp\n");
    for arguments in [["init", "--quiet"].as_slice(), &["add", "--all"], &["commit", "--quiet", "-m", "x"]] {
        git(&inner, arguments);
    }
    bench.git(&["submodule", "--quiet", "add", inner.as_str(), "sub"]);
    bench.commit();
    bench.ours("sub/new.txt", "uncommitted");
    bench.ours("sub/x.tmp", "ignored there");
    bench.ours("x.tmp", "not ignored here");
    bench.push();
    let guest = tree(&bench.guest(), &[".git"]);
    assert_eq!(guest, {
        let mut host = tree(&bench.host(), &[".git"]);
        host.remove(std::path::Path::new("sub/x.tmp")).unwrap();
        host
    });
}

#[test]
fn named_files_are_copied_too() {
    let bench = repository();
    let pushed = bench.try_push(&["target/debug", "nothing.here"], false).unwrap();
    assert_eq!(pushed.unused, ["nothing.here"]);
    assert!(bench.guest().join("target/debug/big.o").exists() && !bench.guest().join("noise.log").exists());
    bench.theirs("target/debug/big.o", "rebuilt");
    bench.theirs("target/other.o", "new and ignored");
    bench.theirs("sub/target/x", "a new folder that is ignored");
    bench.theirs("logs/deep/x.log", "new folders of which everything is ignored");
    assert_eq!(bench.changed(), ["target/debug/big.o"]);
}

#[test]
fn a_second_push_sends_only_changes() {
    let bench = repository();
    bench.push();
    // Stamps of files that changed a moment ago prove nothing.
    let second = bench.push();
    assert_eq!((second.is_first, second.sent, second.bytes, second.removed), (false, 0, 0, 0), "{second:?}");
    bench.ours("committed.txt", "three\n");
    bench.ours("new/more.txt", "four\n");
    fs::remove_file(bench.host().join("link")).unwrap();
    fs::remove_dir_all(bench.host().join("empty")).unwrap();
    mode(&bench.host().join("private.txt"), 0o755);
    let pushed = bench.push();
    assert_eq!((pushed.sent, pushed.removed), (3, 3), "{pushed:?}");
    assert_eq!(tree(&bench.guest(), &[".git"]), tree(&bench.host(), &[".git", "target", "noise.log"]));
    assert_eq!(bench.changed(), [""; 0]);
}

#[test]
fn a_push_never_overwrites_changes_of_the_guest() {
    let bench = Bench::new();
    for name in ["a", "b", "c", "d/e"] {
        bench.ours(name, "base\n");
    }
    bench.push();
    bench.theirs("a", "theirs\n");
    bench.theirs("c", "theirs\n");
    bench.theirs("d/new", "theirs\n");
    for name in ["a", "b"] {
        bench.ours(name, "ours\n");
    }
    fs::remove_file(bench.host().join("c")).unwrap();
    fs::remove_dir_all(bench.host().join("d")).unwrap();
    let pushed = bench.push();
    let conflicts: Vec<String> = pushed.conflicts.iter().map(ToString::to_string).collect();
    assert_eq!((conflicts.as_slice(), pushed.sent), (["a".to_owned(), "c".to_owned()].as_slice(), 1));
    let read = |name: &str| fs::read_to_string(bench.guest().join(name)).unwrap();
    assert_eq!(
        (read("a"), read("b"), read("c"), read("d/new")),
        ("theirs\n".into(), "ours\n".into(), "theirs\n".into(), "theirs\n".into())
    );
    let forced = bench.try_push(&[], true).unwrap();
    assert!(forced.conflicts.is_empty());
    assert_eq!(read("a"), "ours\n");
    assert!(!bench.guest().join("c").exists());
}

#[test]
fn a_different_folder_is_refused() {
    let bench = Bench::new();
    bench.ours("a", "");
    bench.push();
    let secrets = rave_workspace::secrets::Secrets::new(None).unwrap();
    let other = bench.sandbox();
    let how = rave_workspace::push::Push {
        source: Some(&other),
        folder: "x",
        include: &[],
        secrets: &secrets,
        force: false,
        history: false,
    };
    let error = rave_workspace::push::push(&bench.place, how, &crate::fixture::Honest).unwrap_err();
    assert!(matches!(error, Error::OtherFolder { .. }));
    assert_eq!(BytePath::from("a").to_string(), "a");
}

/// A guest whose programs other than `rave-guest` are killed.
struct Interrupted;

impl rave_workspace::Guest for Interrupted {
    fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn std::io::Read + Send>>,
        output: &mut (dyn std::io::Write + Send),
    ) -> Result<(), String> {
        match command[0].as_str() {
            "rave-guest" => crate::fixture::Honest.run(command, input, output),
            _ => Err("killed".to_owned()),
        }
    }
}

#[test]
fn a_push_killed_before_the_first_commit_is_completed() {
    let bench = repository();
    let secrets = rave_workspace::secrets::Secrets::new(None).unwrap();
    let (host, guest) = (bench.host(), bench.guest());
    let how = rave_workspace::push::Push {
        source: Some(&host),
        folder: guest.as_str(),
        include: &[],
        secrets: &secrets,
        force: false,
        history: false,
    };
    assert!(rave_workspace::push::push(&bench.place, how, &Interrupted).is_err());
    write(&bench.guest().join(".git/index.lock"), "");
    assert_eq!(bench.push().sent, 0);
    assert_eq!(git(&bench.guest(), &["log", "--format=%s"]), "As it was pushed");
    bench.theirs("committed.txt", "the agent's");
    git(&bench.guest(), &["commit", "--quiet", "--all", "-m", "the agent's"]);
    bench.push();
    assert_eq!(git(&bench.guest(), &["rev-list", "--count", "HEAD"]), "2");
}
