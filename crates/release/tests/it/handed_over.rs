//! Parts that hosts without a key build, and the release that another host makes of them.

use std::fs;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use rave_release::cut::{self, Finished, Plan, ReleasePart};
use rave_release::{Error, parts};
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, copy, files};

/// A part of the fixture's profile in the folder `part`, with files in several pieces.
fn part(fixture: &Fixture) -> Utf8PathBuf {
    let plan = Plan { part_limit: 20_000, ..fixture.plan("part") };
    let finished = cut::part(&plan, fixture, &|_| ()).unwrap();
    assert_eq!(finished.stages.last().unwrap().name, "describe");
    plan.out
}

/// The plan of the host that signs: what is built it takes from the parts.
fn plan(fixture: &Fixture, parts: &[ReleasePart]) -> Plan {
    Plan {
        profiles: parts.iter().flat_map(ReleasePart::profiles).collect(),
        part_limit: parts[0].part_limit(),
        second_build: parts.iter().all(ReleasePart::second_build),
        ..fixture.plan("release")
    }
}

fn join(fixture: &Fixture, folders: &[&Utf8Path]) -> Result<Finished, Error> {
    let parts: Result<Vec<_>, _> = folders.iter().map(|folder| ReleasePart::read(folder)).collect();
    let parts = parts?;
    cut::join(&plan(fixture, &parts), &parts, &fixture.key, &|| NOW, &|_| ())
}

#[test]
fn a_release_of_parts_is_the_one_that_a_single_host_cuts() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let found = files(&part);
    assert!(found.contains(&"part.json".to_owned()) && found.iter().any(|file| file.ends_with(".part-001")));
    for signed in ["SHA256SUMS.sig", "provenance.intoto.jsonl", "manifest.json"] {
        assert!(!found.contains(&signed.to_owned()), "{signed}");
    }
    let joined = join(&fixture, &[&part]).unwrap();
    let stages: Vec<&str> = joined.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages[..2], ["take headless", "manifest"]);
    assert_eq!(fixture.verify(&fixture.path("release")).problems, []);
    let whole = Plan { part_limit: 20_000, ..fixture.plan("whole") };
    fixture.cut(&whole).unwrap();
    // Times in the statements aside: the fixture's clock stands still.
    let [one, other] = ["release", "whole"].map(|name| fixture.path(name));
    assert_eq!(files(&one), files(&other));
    for file in files(&one) {
        assert!(fs::read(one.join(&file)).unwrap() == fs::read(other.join(&file)).unwrap(), "{file} differs");
    }
    // Neither is done twice.
    assert_eq!(join(&fixture, &[&part]).unwrap().stages, []);
    let again = Plan { part_limit: 20_000, ..fixture.plan("part") };
    assert_eq!(cut::part(&again, &fixture, &|_| ()).unwrap().stages, []);
    let error = cut::part(&Plan { commit: "abc".into(), ..again }, &fixture, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("a part of another release"), "{error}");
}

#[test]
fn parts_of_another_commit_or_of_one_profile_twice_are_refused() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let error = join(&fixture, &[&part, &part]).unwrap_err().to_string();
    assert!(error.ends_with("two parts have the profile headless"), "{error}");
    let other = Plan { commit: "f".repeat(40), ..fixture.plan("other") };
    cut::part(&other, &fixture, &|_| ()).unwrap();
    let error = join(&fixture, &[&other.out]).unwrap_err();
    assert!(error.to_string().contains("is of another commit: ffff"), "{error}");
    assert!(error.remedy().unwrap().contains("the same commit"));
    assert!(!fixture.path("release").exists());
}

#[test]
fn a_part_that_was_changed_on_its_way_is_refused_by_the_name_of_the_file() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let plan = Plan { part_limit: parts::LIMIT, ..fixture.plan("part") };
    cut::part(&plan, &fixture, &|_| ()).unwrap();
    let changed = fixture.path("changed");
    for file in files(&plan.out) {
        let path = changed.join(&file);
        let refused = |change: &dyn Fn()| {
            copy(&plan.out, &changed);
            change();
            let error = join(&fixture, &[&changed]).unwrap_err().to_string();
            assert!(error.contains(&file), "{file}: {error}");
            assert!(!fixture.path("release").exists(), "{file}");
        };
        refused(&|| fs::remove_file(&path).unwrap());
        refused(&|| {
            fs::remove_file(&path).unwrap();
            symlink(plan.out.join(&file), &path).unwrap();
        });
        // The description is what the others are compared with.
        if file != "part.json" {
            refused(&|| {
                let mut bytes = fs::read(&path).unwrap();
                bytes[10] ^= 1;
                fs::write(&path, bytes).unwrap();
            });
        }
    }
    copy(&plan.out, &changed);
    let text = fs::read_to_string(changed.join("part.json")).unwrap();
    let lead_out = text.replacen("\"sbom/", "\"../", 1);
    fs::write(changed.join("part.json"), lead_out).unwrap();
    let error = join(&fixture, &[&changed]).unwrap_err().to_string();
    assert!(error.contains("it leads out of its folder"), "{error}");
}

#[test]
fn what_was_taken_before_a_part_changed_is_not_used() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let read = vec![ReleasePart::read(&part).unwrap()];
    let stop = |event: rave_process::progress::Event<'_>| {
        if matches!(event, rave_process::progress::Event::StageStarted { stage: "sign" }) {
            panic!("stopped");
        }
    };
    let plan = plan(&fixture, &read);
    let stopped = || cut::join(&plan, &read, &fixture.key, &|| NOW, &stop);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stopped()))).unwrap_err();
    let resumed = join(&fixture, &[&part]).unwrap();
    assert!(resumed.stages[0].reused);
    fs::remove_dir_all(fixture.path("release")).unwrap();

    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stopped()))).unwrap_err();
    let text = fs::read_to_string(part.join("part.json")).unwrap();
    fs::write(part.join("part.json"), text + "\n").unwrap();
    assert!(!join(&fixture, &[&part]).unwrap().stages[0].reused);
}
