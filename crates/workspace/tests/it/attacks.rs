//! A guest that sends arbitrary answers.

use std::io::{Read, Write};

use rave_guest::tree::wire::{Record as Wire, Stamp, Writer};
use rave_workspace::apply::{Outcome, apply};
use rave_workspace::changes::changes;
use rave_workspace::choose::choose;
use rave_workspace::copy::from_guest;
use rave_workspace::pull::{MAX_FILE, pull};
use rave_workspace::record::Pull;
use rave_workspace::{Error, Guest};

use crate::fixture::{Bench, quarantine, tree};

type Answer = Box<dyn Fn(&mut Writer<&mut (dyn Write + Send)>) -> std::io::Result<()> + Sync>;

/// Answers each task with a fixed answer.
struct Liar {
    list: Answer,
    get: Answer,
}

impl Guest for Liar {
    fn run(
        &self,
        command: &[String],
        input: Option<Box<dyn Read + Send>>,
        output: &mut (dyn Write + Send),
    ) -> Result<(), String> {
        // Reads its input, as the honest guest does.
        if let Some(mut input) = input {
            let _ = std::io::copy(&mut input, &mut std::io::sink());
        }
        let mut writer = Writer::new(output).map_err(|error| error.to_string())?;
        let answer = if command[2] == "list" { &self.list } else { &self.get };
        // The host stops reading when it refuses.
        answer(&mut writer).and_then(|()| writer.finish()).map_err(|error| error.to_string())
    }
}

fn stat(path: &str, size: u64) -> Wire {
    Wire::Stat { path: path.into(), mode: 0o644, stamp: Stamp { size, changed: 1, inode: 1 } }
}

fn folder(path: &str) -> Wire {
    Wire::Folder { path: path.into(), mode: 0o755 }
}

fn records(records: Vec<Wire>) -> Answer {
    Box::new(move |writer| records.iter().try_for_each(|record| writer.record(record)))
}

fn content(path: &'static str, length: usize) -> Answer {
    Box::new(move |writer| {
        writer.record(&Wire::File { path: path.into(), mode: 0o4777 })?;
        writer.piece(&vec![b'x'; length])?;
        writer.end_content()
    })
}

fn nothing() -> Answer {
    records(Vec::new())
}

fn bench() -> Bench {
    let bench = Bench::with_git();
    bench.ours("a", "base\n");
    bench.commit();
    bench.push();
    bench
}

fn refused(bench: &Bench, liar: &Liar) -> String {
    let before = tree(&bench.sandbox(), &["contents"]);
    let error = pull(&bench.place, &mut bench.record(), liar).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(tree(&bench.sandbox(), &["contents"]), before, "none of it was recorded");
    error.to_string()
}

#[test]
fn invalid_lists_are_refused() {
    let bench = bench();
    for (list, why) in [
        (vec![stat("../a", 1)], "a path that is refused"),
        (vec![stat("/etc/passwd", 1)], "a path that is refused"),
        (vec![stat("a", 1), stat("a", 1)], "as two things"),
        (vec![stat("b", 1), stat("b/c", 1)], "as two things"),
        (vec![Wire::Link { path: "l".into(), target: "/".into() }, stat("l/c", 1)], "as two things"),
        (vec![stat("none/c", 1)], "as two things"),
        (vec![Wire::File { path: "a".into(), mode: 0 }], "as two things"),
        (vec![folder(&"x/".repeat(200)[..399])], "a path that is refused"),
    ] {
        let message = refused(&bench, &Liar { list: records(list), get: nothing() });
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn endless_lists_are_bounded() {
    let bench = bench();
    let endless: Answer = Box::new(|writer| {
        (0..u64::MAX).try_for_each(|number| writer.record(&folder(&format!("{number}{}", "x".repeat(240)))))
    });
    let message = refused(&bench, &Liar { list: endless, get: nothing() });
    assert!(message.contains("more than"), "{message}");
}

#[test]
fn unrequested_contents_are_refused() {
    let bench = bench();
    let asked = || records(vec![stat("a", 9)]);
    for (get, why) in [
        (content("b", 1), "it was not requested"),
        (content("../b", 1), "a path that is refused"),
        (content("a", 100_000), "more than 9 bytes"),
        (records(vec![folder("a")]), "it was not requested"),
    ] {
        let message = refused(&bench, &Liar { list: asked(), get });
        assert!(message.contains(why), "{message}");
    }
    // A file that was not sent is neither a change nor a proof that there is none.
    let left = pull(&bench.place, &mut bench.record(), &Liar { list: asked(), get: nothing() }).unwrap();
    assert_eq!(
        (left.changes.len(), left.left.values().next().unwrap().as_str()),
        (0, "the guest did not send it")
    );
}

#[test]
fn a_terabyte_file_is_not_fetched() {
    let bench = bench();
    let list = records(vec![stat("a", 1 << 40), stat("b", MAX_FILE + 1), stat("c", u64::MAX)]);
    let pulled = pull(&bench.place, &mut bench.record(), &Liar { list, get: nothing() }).unwrap();
    assert_eq!((pulled.changes.len(), pulled.left.len()), (0, 3));
    assert!(pulled.left.values().all(|why| why.contains("more than")), "{:?}", pulled.left);
}

#[test]
fn the_git_folder_is_never_fetched_or_written() {
    let bench = bench();
    let before = tree(&bench.host().join(".git"), &[]);
    let names = [".git", ".GIT", ".git ", "git~1", "sub"];
    let mut list: Vec<Wire> = names.iter().map(|name| folder(name)).collect();
    list.extend([stat(".git/config", 1), stat(".GIT/config", 1), stat("git~1/config", 1)]);
    list.extend([folder("sub/.git"), stat("sub/.git/config", 1)]);
    let pulled =
        pull(&bench.place, &mut bench.record(), &Liar { list: records(list), get: nothing() }).unwrap();
    let found = changes(&bench.record(), &pulled, &quarantine(), &bench.place.blobs(), false).unwrap();
    let paths: Vec<String> = found.iter().map(|change| change.path.to_string()).collect();
    assert_eq!(paths, ["a", "sub"]);
    assert_eq!(tree(&bench.host().join(".git"), &[]), before);
}

/// Names that git could interpret as something else.
#[test]
fn unusual_names_do_not_stop_a_fetch() {
    let bench = bench();
    let names = [":(glob)x", ":!y", "-z", "--stdin", "a\nb", "\u{202e}txt", "back\\slash"];
    let list = records(names.iter().map(|name| stat(name, 1)).collect());
    let get: Answer = Box::new(move |writer| {
        names.iter().try_for_each(|name| {
            writer.record(&Wire::File { path: (*name).into(), mode: 0o644 })?;
            writer.piece(b"1")?;
            writer.end_content()
        })
    });
    let pulled = pull(&bench.place, &mut bench.record(), &Liar { list, get }).unwrap();
    assert_eq!(pulled.changes.len(), names.len() + 1, "{:?}", pulled.left);
}

#[test]
fn set_user_id_and_special_modes_are_not_copied() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = bench();
    let liar = Liar {
        list: records(vec![stat("a", 9), stat("b", 9)]),
        get: Box::new(|writer| {
            for path in ["a", "b"] {
                writer.record(&Wire::File { path: path.into(), mode: 0o6777 })?;
                writer.piece(b"#!")?;
                writer.end_content()?;
            }
            Ok(())
        }),
    };
    crate::fixture::mode(&bench.host().join("a"), 0o640);
    let mut record = bench.record();
    let mut pulled = pull(&bench.place, &mut record, &liar).unwrap();
    let found = changes(&record, &pulled, &quarantine(), &bench.place.blobs(), false).unwrap();
    let only = ["a", "b"].map(rave_workspace::BytePath::from);
    let chosen = choose(found, &only, &quarantine()).unwrap();
    apply(&bench.place, &mut record, &mut pulled, &chosen.wanted).unwrap();
    let mode = |name: &str| bench.host().join(name).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("b") & 0o7022), (0o750, 0));
}

#[test]
fn names_that_differ_only_in_case_are_refused_on_case_insensitive_file_systems() {
    let bench = bench();
    let list = records(vec![stat("A", 1), stat("b", 1), stat("B", 1), stat("c", 1), stat("a", 1)]);
    let get: Answer = Box::new(|writer| {
        for path in ["A", "B", "a", "b", "c"] {
            writer.record(&Wire::File { path: path.into(), mode: 0o644 })?;
            writer.piece(b"1")?;
            writer.end_content()?;
        }
        Ok(())
    });
    let pulled = pull(&bench.place, &mut bench.record(), &Liar { list, get }).unwrap();
    let refused = |folds| {
        let found = changes(&bench.record(), &pulled, &quarantine(), &bench.place.blobs(), folds).unwrap();
        let refused = found.into_iter().filter(|change| change.refused.is_some());
        refused.map(|change| change.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(refused(true), ["A", "B", "a", "b"]);
    assert_eq!(refused(false), [""; 0]);
    assert!(!rave_workspace::apply::folds_case(&bench.record()).unwrap());
    assert_eq!(Pull::find(&bench.place).unwrap(), Some(pulled));
}

/// The host's own link leads out of its folder, and the guest writes to a path through it.
#[test]
fn links_of_the_host_are_not_written_through() {
    let bench = Bench::new();
    std::fs::create_dir(bench.sandbox().join("outside")).unwrap();
    bench.ours("x", "1");
    bench.push();
    crate::fixture::link("../sandbox/outside", &bench.host().join("folder"));
    bench.theirs("folder/file", "evil");
    let outcomes = bench.apply();
    assert!(matches!(outcomes[b"folder/file".as_slice()], Outcome::Refused(_)), "{outcomes:?}");
    assert!(std::fs::read_dir(bench.sandbox().join("outside")).unwrap().next().is_none());
}

#[test]
fn a_copy_has_no_name_from_the_guest() {
    let bench = bench();
    let to = bench.sandbox().join("to");
    std::fs::create_dir(&to).unwrap();
    let get: Answer = Box::new(|writer| {
        for path in [".bashrc", "x", "y/.ssh/authorized_keys"] {
            writer.record(&Wire::File { path: path.into(), mode: 0o4755 })?;
            writer.piece(b"evil")?;
            writer.end_content()?;
        }
        writer.record(&Wire::Link { path: "x/l".into(), target: "../../../etc".into() })
    });
    let _ = from_guest(&Liar { list: nothing(), get }, "work/file", &to);
    let found: Vec<_> = tree(&to, &[]).into_keys().filter(|path| path.components().count() == 1).collect();
    assert_eq!(found, [std::path::Path::new("file")]);
}

#[test]
fn a_copy_removes_nothing_on_the_host() {
    let bench = bench();
    let to = bench.sandbox().join("to");
    crate::fixture::write(&to.join("file/mine"), "mine");
    let get = records(vec![
        Wire::Remove { path: "file/mine".into() },
        Wire::Remove { path: "file".into() },
        Wire::Link { path: "file/link".into(), target: "mine".into() },
    ]);
    let copied = from_guest(&Liar { list: nothing(), get }, "work/file", &to).unwrap();
    assert_eq!((copied.entries, copied.left.len()), (1, 2), "{copied:?}");
    assert_eq!(std::fs::read_to_string(to.join("file/mine")).unwrap(), "mine");
}
