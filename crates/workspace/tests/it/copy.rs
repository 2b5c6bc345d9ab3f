//! `cp`.

use std::fs;

use camino::Utf8PathBuf;
use rave_workspace::copy::{from_guest, into_guest};

use crate::fixture::{Bench, Honest, link, mode, tree};

fn bench() -> (Bench, Utf8PathBuf) {
    let bench = Bench::new();
    bench.ours("src/a", "1");
    bench.ours("src/deep/b", "2");
    mode(&bench.host().join("src/a"), 0o755);
    fs::create_dir(bench.host().join("src/empty")).unwrap();
    link("deep/b", &bench.host().join("src/link"));
    fs::create_dir_all(bench.guest()).unwrap();
    let to = bench.sandbox().join("to");
    fs::create_dir(&to).unwrap();
    (bench, to)
}

#[test]
fn folders_and_files_are_copied_both_ways() {
    let (bench, to) = bench();
    let folder = bench.guest();
    let copied = into_guest(&Honest, &bench.host().join("src"), folder.as_str()).unwrap();
    assert!(copied.left.is_empty() && copied.bytes > 2);
    into_guest(&Honest, &bench.host().join("src"), folder.join("renamed").as_str()).unwrap();
    into_guest(&Honest, &bench.host().join("src/a"), folder.join("b").as_str()).unwrap();
    for name in ["src", "renamed"] {
        assert_eq!(tree(&folder.join(name), &[]), tree(&bench.host().join("src"), &[]));
    }
    assert_eq!(fs::read_to_string(folder.join("b")).unwrap(), "1");

    let copied = from_guest(&Honest, folder.join("src").as_str(), &to).unwrap();
    assert_eq!((copied.entries, copied.bytes, copied.left.len()), (6, 2, 0));
    from_guest(&Honest, folder.join("src").as_str(), &to.join("other")).unwrap();
    for name in ["src", "other"] {
        assert_eq!(tree(&to.join(name), &[]), tree(&bench.host().join("src"), &[]));
    }
    from_guest(&Honest, folder.join("b").as_str(), &to.join("b")).unwrap();
    assert_eq!(fs::read_to_string(to.join("b")).unwrap(), "1");
    let error = from_guest(&Honest, folder.join("none").as_str(), &to).unwrap_err().to_string();
    assert!(error.starts_with("the guest: "), "{error}");
    assert!(from_guest(&Honest, "..", &to).is_err());
}

#[test]
fn host_files_are_not_replaced_by_another_type_or_through_links() {
    let (bench, to) = bench();
    let folder = bench.guest();
    crate::fixture::write(&to.join("src/keep"), "mine");
    bench.theirs("src", "a file");
    let copied = from_guest(&Honest, folder.join("src").as_str(), &to).unwrap();
    assert_eq!(copied.left[0].1, "a folder has the same name");
    assert_eq!(fs::read_to_string(to.join("src/keep")).unwrap(), "mine");
    bench.theirs("evil/.git/hooks/post-checkout", "x");
    bench.theirs("evil/fine", "x");
    link("../../../outside", &folder.join("evil/out"));
    let copied = from_guest(&Honest, folder.join("evil").as_str(), &to).unwrap();
    assert!(to.join("evil/fine").exists() && to.join("evil/out").symlink_metadata().is_err());
    assert!(!to.join("evil/.git").exists(), "{copied:?}");
    // An existing link on the host is not followed.
    link("../host", &to.join("linked"));
    bench.theirs("linked/a", "x");
    from_guest(&Honest, folder.join("linked").as_str(), &to).unwrap();
    assert!(!bench.host().join("a").exists());
}
