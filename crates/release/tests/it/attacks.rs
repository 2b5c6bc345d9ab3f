//! Manipulated releases, and the first problem that `verify` reports for each. Nothing panics.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_process::progress::Event;
use rave_release::key::SigningKey;
use rave_release::signers::{self, Signer};
use rave_release::sshsig;
use rave_release::trust::{TrustStore, Trusted};
use rave_release::verify::{self, Request};
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, copy, files, verify_by};

const DISK: &str = "rave-1.2.0-headless-x86_64.qcow2";
const PROVENANCE: &str = "provenance.intoto.jsonl";
const BILL: &str = "sbom/rave-1.2.0-headless-x86_64.cdx.json";

/// A fixture with the smallest release.
fn small() -> Result<Fixture, String> {
    Fixture::of_formats(&[Format::Qemu])
}

/// The problems of a changed release.
fn problems_of(fixture: &Fixture, release: &Utf8Path, change: impl FnOnce(&Utf8Path)) -> Vec<String> {
    let place = fixture.path("changed");
    copy(release, &place);
    change(&place);
    let list = fixture.verify(&place).problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(!list.is_empty(), "it was not refused");
    list
}

/// Updates the list of a changed folder and signs it, which only the releaser could do.
fn resign(fixture: &Fixture, folder: &Utf8Path) {
    let own = ["SHA256SUMS", "SHA256SUMS.sig"];
    let listed = files(folder).into_iter().filter(|file| !own.contains(&file.as_str()));
    let line = |file: String| format!("{}  {file}\n", Digest::of_file(&folder.join(&file)).unwrap());
    let text: String = listed.map(line).collect();
    fs::write(folder.join("SHA256SUMS"), &text).unwrap();
    fs::write(folder.join("SHA256SUMS.sig"), sshsig::sign(&fixture.key, text.as_bytes()).unwrap()).unwrap();
}

fn edit(path: &Utf8Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {path}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn flip(path: &Utf8Path, place: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], place).unwrap();
}

#[test]
fn a_flipped_byte_is_found_in_its_file() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let place = fixture.path("changed");
    copy(&release, &place);
    for file in files(&release) {
        let size = fs::metadata(place.join(&file)).unwrap().len();
        for at in [0, size / 3, size / 2, size - 1] {
            flip(&place.join(&file), at);
            let problems = fixture.verify(&place).problems;
            flip(&place.join(&file), at);
            // A changed list no longer matches its signature; the files are still compared with it.
            let about = if file == "SHA256SUMS" { "SHA256SUMS.sig" } else { file.as_str() };
            assert!(
                problems.iter().any(|problem| problem.about == about),
                "byte {at} of {file}: {problems:?}"
            );
        }
    }
    assert_eq!(fixture.verify(&place).problems, []);
}

#[test]
fn swapped_removed_added_renamed_and_special_files_are_named() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let other = or_skip!(small());
    let mut plan = other.plan("other");
    plan.version = "1.3.0".parse().unwrap();
    // Signed by the same key: another release of the same releaser.
    rave_release::cut::cut(&plan, &other, &fixture.key, &|_| ()).unwrap();
    let of = |change: &dyn Fn(&Utf8Path)| problems_of(&fixture, &release, change);

    let found = of(&|place| drop(fs::copy(plan.out.join("manifest.json"), place.join("manifest.json"))));
    assert_eq!(found[0], "manifest.json: its SHA-256 is not the one in SHA256SUMS");
    let found = of(&|place| fs::remove_file(place.join(DISK)).unwrap());
    assert_eq!(found, [format!("{DISK}: it is missing")]);
    let found = of(&|place| fs::write(place.join("extra.txt"), "extra").unwrap());
    assert_eq!(found, ["extra.txt: it is not in SHA256SUMS"]);
    let found = of(&|place| fs::rename(place.join(DISK), place.join("other.qcow2")).unwrap());
    assert_eq!(found, ["other.qcow2: it is not in SHA256SUMS".to_owned(), format!("{DISK}: it is missing")]);
    let found = of(&|place| {
        fs::rename(place.join(DISK), fixture.path("elsewhere")).unwrap();
        symlink(fixture.path("elsewhere"), place.join(DISK)).unwrap();
    });
    assert_eq!(found, [format!("{DISK}: it is a symbolic link")]);
    let found = of(&|place| {
        fs::rename(place.join("sbom"), fixture.path("bills")).unwrap();
        symlink(fixture.path("bills"), place.join("sbom")).unwrap();
    });
    assert_eq!(found[0], "sbom: it is a symbolic link");
    for name in [DISK, "manifest.json", "SHA256SUMS", "SHA256SUMS.sig", PROVENANCE] {
        let found = of(&|place| {
            fs::remove_file(place.join(name)).unwrap();
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mknodat(
                rustix::fs::CWD,
                place.join(name).as_std_path(),
                rustix::fs::FileType::Fifo,
                mode,
                0,
            )
            .unwrap();
        });
        assert_eq!(found[0], format!("{name}: it is not a regular file"));
    }
    for name in [DISK, "manifest.json", "SHA256SUMS", "SHA256SUMS.sig"] {
        let found = of(&|place| {
            fs::remove_file(place.join(name)).unwrap();
            fs::create_dir(place.join(name)).unwrap();
        });
        assert!(found.iter().any(|line| line.starts_with(name)), "{name}: {found:?}");
    }
}

#[test]
fn invalid_lists_and_manifests_are_refused_even_if_signed() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let signed = |change: &dyn Fn(&Utf8Path)| {
        problems_of(&fixture, &release, |place| {
            change(place);
            resign(&fixture, place);
        })
    };
    let manifest = |from: &str, to: &str| {
        let found = signed(&|place| edit(&place.join("manifest.json"), from, to));
        found.into_iter().find(|line| line.starts_with("manifest.json: ")).unwrap()
    };
    let leading =
        "manifest.json: \"../rave-1.2.0-headless-x86_64.qcow2\" is not a path inside a release: it leads out";
    assert!(manifest(&format!("\"{DISK}\""), &format!("\"../{DISK}\"")).starts_with(leading));
    assert!(manifest(&format!("\"{DISK}\""), "\"/etc/passwd\"").contains("it is absolute"));
    assert!(manifest("\"schema\": 1", "\"schema\": 1, \"schema\": 1").contains("\"schema\" occurs twice"));
    assert!(manifest("\"schema\": 1", "\"schema\": 2").contains("its schema is 2"));
    assert!(manifest("\"schema\": 1", "\"schema\": \"1\"").contains("it has no schema"));
    assert!(manifest("\"version\": \"1.2.0\"", "\"version\": 12").contains("invalid type"));
    let escaped = manifest("\"profile\": \"headless\"", "\"profile\": \"\\u001b[2Jheadless\"");
    assert!(escaped.contains("characters other than letters") && !escaped.contains('\u{1b}'), "{escaped}");
    assert!(manifest("\"profiles\": [", "\"more\": 1, \"profiles\": [").contains("unknown field"));
    let deep = format!("\"profiles\": {}[", "[".repeat(10_000));
    assert!(manifest("\"profiles\": [", &deep).contains("recursion limit"));

    // A list with a path that leads elsewhere, or with a duplicate file.
    for (line, why) in [
        (format!("{}  ../outside\n", "0".repeat(64)), "it leads out of its folder"),
        (format!("{}  /etc/passwd\n", "0".repeat(64)), "it is absolute"),
        (format!("{}  manifest.json\n", "0".repeat(64)), "is listed twice"),
    ] {
        let found = problems_of(&fixture, &release, |place| {
            let path = place.join("SHA256SUMS");
            let text = fs::read_to_string(&path).unwrap() + &line;
            fs::write(&path, &text).unwrap();
            let signature = sshsig::sign(&fixture.key, text.as_bytes()).unwrap();
            fs::write(place.join("SHA256SUMS.sig"), signature).unwrap();
        });
        assert!(found[0].starts_with("SHA256SUMS: line ") && found[0].contains(why), "{found:?}");
    }
    // A second manifest, and anything else that the first does not list.
    for name in ["sbom/manifest.json", "manifest.json.bak"] {
        let found = signed(&|place| _ = fs::copy(place.join("manifest.json"), place.join(name)).unwrap());
        assert_eq!(found, [format!("{name}: it is not in the manifest")]);
    }
}

#[test]
fn statements_about_something_else_are_refused_even_if_signed() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let mut plan = fixture.plan("another commit");
    plan.commit = "f".repeat(40);
    fixture.cut(&plan).unwrap();
    let signed = |change: &dyn Fn(&Utf8Path)| {
        let found = problems_of(&fixture, &release, |place| {
            change(place);
            resign(&fixture, place);
        });
        found.into_iter().find(|line| line.starts_with(PROVENANCE)).unwrap()
    };
    let found = signed(&|place| _ = fs::copy(plan.out.join(PROVENANCE), place.join(PROVENANCE)).unwrap());
    assert!(found.contains("the commit in its provenance differs from the manifest"), "{found}");
    let found = signed(&|place| {
        let text = fs::read_to_string(place.join(PROVENANCE)).unwrap();
        fs::write(place.join(PROVENANCE), text.split_inclusive('\n').skip(1).collect::<String>()).unwrap();
    });
    assert!(found.contains("it has no provenance"), "{found}");
    let found = signed(&|place| {
        let text = fs::read_to_string(place.join(PROVENANCE)).unwrap();
        fs::write(place.join(PROVENANCE), text.repeat(2)).unwrap();
    });
    assert!(found.contains("provenance twice"), "{found}");
    // The signature of another key under the right id.
    let other = SigningKey::in_memory("other").unwrap();
    let foreign = fixture.plan("foreign");
    rave_release::cut::cut(&foreign, &fixture, &other, &|_| ()).unwrap();
    let ids = [&other, &fixture.key].map(|key| rave_release::key::fingerprint(key.public()));
    let found = signed(&|place| {
        let text = fs::read_to_string(foreign.out.join(PROVENANCE)).unwrap();
        fs::write(place.join(PROVENANCE), text.replace(&ids[0], &ids[1])).unwrap();
    });
    assert!(found.contains("whose signature it does not have"), "{found}");
}

#[test]
fn the_signer_must_be_trusted_at_the_time() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let state = fixture.path("state");
    let cause = |signers: Vec<Signer>, now: i64| {
        let verdict = verify_by(&release, signers, &fixture.path(&format!("state-{now}")), now);
        verdict.problems.into_iter().map(|problem| format!("{}: {}", problem.about, problem.cause)).next()
    };
    let other = SigningKey::in_memory("other").unwrap();
    let found = cause(Vec::new(), NOW).unwrap();
    assert!(found.starts_with("SHA256SUMS.sig: signature unchecked"), "{found}");
    let unsigned = verify_by(&release, Vec::new(), &state, NOW);
    assert!(!unsigned.files.is_empty() && unsigned.files.iter().all(|row| !row.holds));
    let found = cause(vec![Signer::new("other", other.public().clone())], NOW).unwrap();
    assert!(found.ends_with("is not trusted"), "{found}");
    let line = signers::line("releases", fixture.key.public());
    let limited = |option: &str| {
        let text = line.replace("namespaces=\"rave-release\"", option);
        signers::parse(&text).unwrap()
    };
    // NOW is 2026-11-28.
    let found = cause(limited("valid-before=\"20261128\""), NOW).unwrap();
    assert!(found.ends_with("the key of releases has expired"), "{found}");
    assert_eq!(cause(limited("valid-before=\"20261129\""), NOW), None);
    let found = cause(limited("namespaces=\"git\""), NOW).unwrap();
    assert!(found.ends_with("may not sign releases (namespaces)"), "{found}");
    // The clock was set back to before the key's end, but the release says when it was made.
    let found = cause(limited("valid-before=\"20261128\""), NOW - 40 * 86_400).unwrap();
    assert!(found.ends_with("has expired"), "{found}");
    // And back to before a release that was already seen.
    verify_by(&release, vec![fixture.signer()], &state, NOW);
    assert_eq!(TrustStore::open(&state).unwrap().latest(), NOW);
    // A release of a distant future does not make every limited key expire.
    let long_ago = NOW - 4000 * 86_400;
    verify_by(&release, vec![fixture.signer()], &fixture.path("long-ago"), long_ago);
    assert_eq!(TrustStore::open(&fixture.path("long-ago")).unwrap().latest(), long_ago + 366 * 86_400);
    // Of two processes that save at the same time, neither overwrites what the other learned.
    let (mut one, mut other) = (TrustStore::open(&state).unwrap(), TrustStore::open(&state).unwrap());
    one.saw(NOW + 2);
    other.saw(NOW + 1);
    other.pin(&line).unwrap();
    one.save().unwrap();
    other.save().unwrap();
    let both = TrustStore::open(&state).unwrap();
    assert_eq!((both.latest(), both.pinned().unwrap().len()), (NOW + 2, 1));

    // A truncated signature.
    let text = fs::read_to_string(release.join("SHA256SUMS.sig")).unwrap();
    for length in [0, 1, 40, text.len() / 2, text.len() - 30] {
        let found = problems_of(&fixture, &release, |place| {
            fs::write(place.join("SHA256SUMS.sig"), &text[..length]).unwrap();
        });
        assert!(found[0].starts_with("SHA256SUMS.sig: it is not an OpenSSH signature"), "{found:?}");
    }
}

#[test]
fn a_rollback_is_refused_if_a_version_is_named() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let cause = |expect: Option<&str>, oldest: Option<&str>| {
        let [expect, oldest] = [expect, oldest].map(|text| text.map(|text| text.parse().unwrap()));
        let mut store = TrustStore::open(&fixture.path("state")).unwrap();
        let mut trusted = Trusted::new(vec![fixture.signer()], &store);
        let request = Request {
            folder: &release,
            now: NOW,
            expect: expect.as_ref(),
            not_older_than: oldest.as_ref(),
            commit: None,
            statements: &[],
        };
        let verdict = verify::verify(&request, &mut trusted, &mut store, &|_| ());
        verdict.problems.first().map(ToString::to_string)
    };
    assert_eq!(cause(Some("1.2.0"), Some("1.2.0")), None);
    assert_eq!(cause(Some("1.2.1"), None).unwrap(), "version: it is 1.2.0, expected is 1.2.1");
    assert_eq!(cause(None, Some("1.10.0")).unwrap(), "version: it is 1.2.0, which is older than 1.10.0");
}

#[test]
fn a_file_that_grows_while_it_is_read_does_not_hold() {
    use std::io::Write as _;
    let fixture = or_skip!(small());
    let release = fixture.release();
    let notes = release.join("RELEASE_NOTES.md");
    // The first file that is read.
    let grow = |event: Event<'_>| {
        if matches!(event, Event::StageProgress { stage: verify::STAGE, .. }) {
            File::options().append(true).open(&notes).unwrap().write_all(b"more").unwrap();
        }
    };
    let mut store = TrustStore::open(&fixture.path("state")).unwrap();
    let mut trusted = Trusted::new(vec![fixture.signer()], &store);
    let request = Request {
        folder: &release,
        now: NOW,
        expect: None,
        not_older_than: None,
        commit: None,
        statements: &[],
    };
    let problems = verify::verify(&request, &mut trusted, &mut store, &grow).problems;
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["RELEASE_NOTES.md: its SHA-256 is not the one in SHA256SUMS"]);
}

#[test]
fn sizes_without_bounds_cost_no_time() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let quick = |change: &dyn Fn(&Utf8Path), expected: &str| {
        let started = Instant::now();
        let found = problems_of(&fixture, &release, change);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    };
    let grow = |place: &Utf8Path, name: &str, size: u64| {
        File::options().create(true).append(true).open(place.join(name)).unwrap().set_len(size).unwrap();
    };
    quick(&|place| grow(place, DISK, 10 << 30), "it has 10737418240 bytes, the manifest says");
    quick(&|place| grow(place, "more.img", 10 << 30), "more.img: it is not in SHA256SUMS");
    quick(
        &|place| grow(place, "manifest.json", 100 << 20),
        "manifest.json: cannot be read: it has more than",
    );
    quick(&|place| grow(place, "SHA256SUMS", 10 << 30), "SHA256SUMS: cannot be read: it has more than");
    quick(&|place| grow(place, "SHA256SUMS.sig", 10 << 30), "it has more than");
    quick(&|place| grow(place, PROVENANCE, 10 << 30), "at most");
    quick(&|place| grow(place, "RELEASE_NOTES.md", 10 << 30), "at most");
    quick(&|place| grow(place, "smoke/headless/report.json", 10 << 30), "at most");
    quick(&|place| grow(place, BILL, 10 << 30), "the manifest says");
}
