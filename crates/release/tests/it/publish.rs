//! A release in a published tree: complete, once, and immutable.

use std::fs;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_release::Error;
use rave_release::cut;
use rave_release::key::SigningKey;
use rave_release::publish::{self, Latest, Published, Request};
use rave_release::signers::Signer;
use rave_release::trust::{TrustStore, Trusted};
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, copy, files};

fn small() -> Result<Fixture, String> {
    Fixture::of_formats(&[Format::Qemu])
}

/// Publishes into the fixture's folder `tree`, with these signers trusted.
pub(crate) fn publish_by(
    fixture: &Fixture,
    folder: &Utf8Path,
    signers: Vec<Signer>,
    make_latest: bool,
    sink: rave_process::progress::Sink<'_>,
) -> Result<Published, Error> {
    let mut store = TrustStore::open(&fixture.path("state")).unwrap();
    let mut trusted = Trusted::new(signers, &store);
    let tree = fixture.path("tree");
    let request = Request { folder, tree: &tree, now: NOW, statements: &[], make_latest };
    publish::publish(&request, &mut trusted, &mut store, sink)
}

fn publish(fixture: &Fixture, folder: &Utf8Path) -> Result<Published, Error> {
    publish_by(fixture, folder, vec![fixture.signer()], false, &|_| ())
}

fn release_of(fixture: &Fixture, version: &str) -> Utf8PathBuf {
    let mut plan = fixture.plan(&format!("release-{version}"));
    plan.version = version.parse().unwrap();
    fixture.cut(&plan).unwrap();
    plan.out
}

fn latest(fixture: &Fixture) -> String {
    fixture.path("tree/latest").read_link_utf8().unwrap().into_string()
}

fn contents(folder: &Utf8Path) -> Vec<(String, Digest)> {
    files(folder)
        .into_iter()
        .map(|file| (file.clone(), Digest::of_file(&folder.join(file)).unwrap()))
        .collect()
}

#[test]
fn a_release_is_published_completely_and_repeating_changes_nothing() {
    let fixture = or_skip!(Fixture::new());
    let release = fixture.release();
    let published = publish(&fixture, &release).unwrap();
    assert!(published.is_new);
    assert_eq!((published.latest, latest(&fixture).as_str()), (Latest::Moved(None), "1.2.0"));
    assert_eq!(published.folder, fixture.path("tree/1.2.0"));
    assert_eq!(contents(&published.folder), contents(&release));
    assert_eq!(fixture.verify(&fixture.path("tree/latest")).problems, []);
    let before = contents(&fixture.path("tree"));
    let second = publish(&fixture, &release).unwrap();
    assert_eq!((second.is_new, second.latest), (false, Latest::Already));
    assert_eq!(contents(&fixture.path("tree")), before);
    // The tree may be the folder that the release was cut into.
    let own = publish(&fixture, &published.folder).unwrap();
    assert_eq!((own.is_new, own.latest), (false, Latest::Already));
}

#[test]
fn a_version_never_changes_its_content() {
    let fixture = or_skip!(small());
    publish(&fixture, &fixture.release()).unwrap();
    let before = contents(&fixture.path("tree"));
    let mut plan = fixture.plan("another");
    plan.commit = "f".repeat(40);
    fixture.cut(&plan).unwrap();
    let error = publish(&fixture, &plan.out).unwrap_err();
    let digest = |folder: &Utf8Path| Digest::of_file(&folder.join("SHA256SUMS")).unwrap();
    let (in_tree, offered) = (digest(&fixture.path("tree/1.2.0")), digest(&plan.out));
    let expected = format!("its SHA256SUMS is {in_tree}, that of the release is {offered}");
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert!(error.remedy().unwrap().contains("a new version"));
    assert_eq!(contents(&fixture.path("tree")), before);

    // The same list with another signature is refused: its statements are signed by the first key.
    let other = SigningKey::in_memory("other").unwrap();
    let resigned = fixture.path("resigned");
    copy(&fixture.path("release"), &resigned);
    let list = fs::read(resigned.join("SHA256SUMS")).unwrap();
    let signature = rave_release::sshsig::sign(&other, &list).unwrap();
    fs::write(resigned.join("SHA256SUMS.sig"), signature).unwrap();
    let both = || vec![fixture.signer(), Signer::new("other", other.public().clone())];
    let error = publish_by(&fixture, &resigned, both(), false, &|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unverified { .. }), "{error}");
    assert_eq!(contents(&fixture.path("tree")), before);

    // A published release that was changed is reported, not repaired.
    fs::write(fixture.path("tree/1.2.0/RELEASE_NOTES.md"), "other notes").unwrap();
    let error = publish(&fixture, &fixture.path("release")).unwrap_err().to_string();
    assert!(error.contains("tree/1.2.0 does not verify: RELEASE_NOTES.md: "), "{error}");
}

#[test]
fn releases_that_do_not_verify_are_not_published() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let refused = |folder: &Utf8Path, signers: Vec<Signer>, why: &str| {
        let error = publish_by(&fixture, folder, signers, false, &|_| ()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(!fixture.path("tree").exists(), "{why}");
    };
    let other = SigningKey::in_memory("other").unwrap();
    refused(&release, Vec::new(), "signature unchecked");
    refused(&release, vec![Signer::new("other", other.public().clone())], "is not trusted");
    let changed = |change: &dyn Fn(&Utf8Path)| {
        let folder = fixture.path("changed");
        copy(&release, &folder);
        change(&folder);
        folder
    };
    let folder = changed(&|folder| fs::write(folder.join("manifest.json"), "{}").unwrap());
    refused(&folder, vec![fixture.signer()], "manifest.json: its SHA-256 is not");
    let folder = changed(&|folder| fs::write(folder.join("extra"), "").unwrap());
    refused(&folder, vec![fixture.signer()], "extra: it is not in SHA256SUMS");
    let folder = changed(&|folder| symlink("/etc/passwd", folder.join("link")).unwrap());
    refused(&folder, vec![fixture.signer()], "link: it is a symbolic link");
    let folder = changed(&|folder| fifo(&folder.join("pipe")));
    refused(&folder, vec![fixture.signer()], "pipe: it is not a regular file");
    refused(&fixture.path("nowhere"), vec![fixture.signer()], "cannot be opened");
}

fn fifo(path: &Utf8Path) {
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, path.as_std_path(), kind, mode, 0).unwrap();
}

#[test]
fn older_versions_and_pre_releases_move_the_link_only_on_request() {
    let fixture = or_skip!(small());
    let [old, new, next] = ["1.2.0", "1.10.0", "1.11.0-rc.1"].map(|version| release_of(&fixture, version));
    let version = |text: &str| text.parse::<semver::Version>().unwrap();
    assert_eq!(publish(&fixture, &new).unwrap().latest, Latest::Moved(None));
    let published = publish(&fixture, &old).unwrap();
    assert!(published.is_new);
    assert_eq!(published.latest, Latest::StaysAtNewer(version("1.10.0")));
    assert_eq!(latest(&fixture), "1.10.0");
    assert_eq!(publish(&fixture, &next).unwrap().latest, Latest::IsPreRelease(Some(version("1.10.0"))));
    let back = publish_by(&fixture, &old, vec![fixture.signer()], true, &|_| ()).unwrap();
    assert_eq!((back.is_new, back.latest), (false, Latest::Moved(Some(version("1.10.0")))));
    assert_eq!(latest(&fixture), "1.2.0");
    assert_eq!(publish(&fixture, &new).unwrap().latest, Latest::Moved(Some(version("1.2.0"))));
    // A version that was withdrawn is not newer than anything.
    fs::remove_dir_all(fixture.path("tree/1.10.0")).unwrap();
    assert_eq!(publish(&fixture, &old).unwrap().latest, Latest::Moved(Some(version("1.10.0"))));
    assert_eq!(latest(&fixture), "1.2.0");
}

#[test]
fn obstacles_are_refused_and_neither_followed_nor_waited_for() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let elsewhere = fixture.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let refused = |name: &str, make: &dyn Fn(&Utf8Path), why: &str| {
        let tree = fixture.path("tree");
        let _ = fs::remove_dir_all(&tree);
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make(&path);
        let error = publish(&fixture, &release).unwrap_err();
        assert!(
            matches!(error, Error::NotATree { .. }) && error.to_string().ends_with(why),
            "{name}: {error}"
        );
        assert!(error.remedy().is_some());
        assert!(elsewhere.read_dir_utf8().unwrap().next().is_none(), "{name} was followed");
    };
    let link = |path: &Utf8Path| symlink(&elsewhere, path).unwrap();
    for name in ["1.2.0", ".publish"] {
        refused(name, &link, "it is not a folder");
        refused(name, &|path| fifo(path), "it is not a folder");
        refused(name, &|path| fs::write(path, "").unwrap(), "it is not a folder");
    }
    refused("latest", &link, "it does not lead to a version of this tree");
    refused(
        "latest",
        &|path| symlink("../1.2.0", path).unwrap(),
        "it does not lead to a version of this tree",
    );
    refused("latest", &|path| fs::create_dir(path).unwrap(), "it is not a symbolic link");
    refused("latest", &|path| fifo(path), "it is not a symbolic link");
    refused(".publish/lock", &|path| fifo(path), "it is not a regular file");
    refused(
        ".publish/lock",
        &|path| symlink(elsewhere.join("lock"), path).unwrap(),
        "it is not a regular file",
    );
    let _ = fs::remove_dir_all(fixture.path("tree"));
    symlink(release.join("smoke"), fixture.path("tree")).unwrap();
    let error = publish(&fixture, &release).unwrap_err().to_string();
    assert!(error.ends_with("it is inside the release's own folder"), "{error}");
    assert_eq!(fixture.verify(&release).problems, []);
}

#[test]
fn a_release_in_parts_is_published_unchanged() {
    let fixture = or_skip!(small());
    let mut plan = fixture.plan("release");
    plan.part_limit = 20_000;
    cut::cut(&plan, &fixture, &fixture.key, &|_| ()).unwrap();
    let parts: Vec<String> =
        files(&plan.out).into_iter().filter(|file| file.contains(".qcow2.part-")).collect();
    assert!(parts.len() > 1, "{parts:?}");
    let cut: Vec<_> = contents(&plan.out);
    let whole: Vec<u8> = parts.iter().flat_map(|part| fs::read(plan.out.join(part)).unwrap()).collect();
    fs::write(plan.out.join(parts[0].split(".part-").next().unwrap()), whole).unwrap();
    let published = publish(&fixture, &plan.out).unwrap();
    assert_eq!(contents(&published.folder), cut, "the whole is not part of the release");
    let _ = fs::remove_dir_all(fixture.path("tree"));
    fs::remove_file(plan.out.join(&parts[0])).unwrap();
    let error = publish(&fixture, &plan.out).unwrap_err().to_string();
    assert!(error.contains("part-000 is damaged: it is missing"), "{error}");
    assert!(!fixture.path("tree/1.2.0").exists());
}
