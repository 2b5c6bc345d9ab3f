//! A release that was killed in any stage resumes there, and a finished one is not redone.

use std::fs;
use std::sync::{Barrier, Mutex};

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_image::manifest::{NixPackage, NixosOrigin, Origin};
use rave_process::progress::{Event, StageOutcome};
use rave_release::cut::{self, Finished, Plan, ReleasePart, work_folder};
use rave_release::key::SigningKey;
use rave_release::key_statement::{KeyChange, KeyStatement};
use rave_spec::{Base, Format};
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, files};
use crate::publish::publish_by;
use crate::{killed, small_disk};

/// Stages of a release of one profile, in order.
const STAGES: [&str; 13] = [
    "build headless",
    "second build headless",
    "smoke headless",
    "leak gate headless",
    "pack headless",
    "bills of materials headless",
    "inputs",
    "manifest",
    "provenance",
    "notes",
    "checksums",
    "sign",
    "verification",
];

/// Not a test by itself: the test below starts and kills it.
#[test]
fn killed_child() {
    killed::in_child(cut_until);
}

fn cut_until(fixture: &Fixture, stage: &str) {
    let stop = |event: Event<'_>| {
        if matches!(event, Event::StageStarted { stage: name } if name == stage) {
            // The leftover of a killed copy: half of a file under a temporary name.
            let half = work_folder(&fixture.path("release")).join("folder/half.qcow2.partial");
            fs::write(half, "half").unwrap();
            killed::stop(stage);
        }
    };
    cut::cut(&fixture.plan("release"), fixture, &fixture.key, &stop).unwrap();
}

#[test]
fn a_kill_in_any_stage_leaves_nothing_final_and_the_next_run_resumes() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    let plan = fixture.plan("release");
    for (number, stage) in STAGES.iter().enumerate() {
        killed::kill(&fixture, "stages::killed_child", stage);
        assert!(!plan.out.exists(), "killed in {stage}");

        // Finished stages are kept, and only those.
        let seen = Mutex::new(Vec::new());
        let note = |event: Event<'_>| {
            if let Event::StageFinished { stage, outcome, .. } = event {
                seen.lock().unwrap().push((stage.to_owned(), outcome));
            }
        };
        cut::cut(&plan, &fixture, &fixture.key, &note).unwrap();
        let seen = seen.into_inner().unwrap();
        for (at, name) in STAGES.iter().enumerate() {
            let outcome = seen.iter().find(|(stage, _)| stage == name).map(|(_, outcome)| *outcome);
            let expected = if at < number { StageOutcome::Reused } else { StageOutcome::Built };
            assert_eq!(outcome, Some(expected), "killed in {stage}: {name}");
        }
        assert_eq!(fixture.verify(&plan.out).problems, []);
        assert!(!files(&plan.out).iter().any(|file| file.ends_with(".partial")));
        assert!(!work_folder(&plan.out).exists());
        fs::remove_dir_all(&plan.out).unwrap();
    }
}

#[test]
fn a_finished_release_is_neither_redone_nor_replaced() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let plan = fixture.plan("release");
    assert_eq!(fixture.cut(&plan).unwrap().stages.len(), STAGES.len());
    assert_eq!(fixture.cut(&plan).unwrap().stages, []);
    assert_eq!(fixture.calls.lock().unwrap()["build"], 1);
    let before = files(&plan.out);
    for (version, commit) in [("1.3.0", plan.commit.as_str()), ("1.2.0", "abc")] {
        let other = cut::Plan { version: version.parse().unwrap(), commit: commit.into(), ..plan.clone() };
        let error = fixture.cut(&other).unwrap_err().to_string();
        assert!(error.contains("already exists: it has release 1.2.0"), "{error}");
    }
    let other = SigningKey::in_memory("other").unwrap();
    let error = cut::cut(&plan, &fixture, &other, &|_| ()).unwrap_err().to_string();
    assert!(error.ends_with("which another key signed"), "{error}");
    let keys = fixture.path("keys.jsonl");
    fs::write(&keys, "").unwrap();
    let error = fixture.cut(&Plan { keys: Some(keys), ..plan.clone() }).unwrap_err().to_string();
    assert!(error.ends_with("with other statements about keys"), "{error}");
    let with_password = |default_password| {
        let mut other = plan.clone();
        other.profiles[0].default_password = default_password;
        other
    };
    let earlier = || Some(plan.out.clone());
    for (other, what) in [
        (Plan { second_build: false, ..plan.clone() }, "another secondBuild"),
        (Plan { part_limit: 1 << 20, ..plan.clone() }, "another partLimit"),
        (Plan { own_settings: vec!["guest.user".into()], ..plan.clone() }, "another ownSettings"),
        (Plan { previous: earlier(), ..plan.clone() }, "another previous"),
        (Plan { patch_from: earlier(), ..plan.clone() }, "another patchFrom"),
        (with_password(!plan.profiles[0].default_password), "other contents"),
    ] {
        let error = fixture.cut(&other).unwrap_err().to_string();
        assert!(error.contains(&format!("with {what} than asked for")), "{error}");
    }
    assert_eq!(files(&plan.out), before);
    let other = fixture.plan("notes");
    fs::create_dir(&other.out).unwrap();
    fs::write(other.out.join("mine.txt"), "mine").unwrap();
    let error = fixture.cut(&other).unwrap_err().to_string();
    assert!(error.ends_with("it is not empty, and has no release in it"), "{error}");
    fs::remove_file(other.out.join("mine.txt")).unwrap();
    fixture.cut(&other).unwrap();
    fs::write(plan.out.join("RELEASE_NOTES.md"), "other notes").unwrap();
    let error = fixture.cut(&plan).unwrap_err().to_string();
    assert!(error.contains("which does not verify: RELEASE_NOTES.md"), "{error}");
}

#[test]
fn a_second_process_waits_and_does_not_redo_what_was_finished_meanwhile() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let plan = fixture.plan("release");
    let [holds, waits] = [Barrier::new(2), Barrier::new(2)];
    let first = |event: Event<'_>| {
        let Event::StageStarted { stage } = event else { return };
        match stage {
            "build headless" => _ = holds.wait(),
            "sign" => _ = waits.wait(),
            _ => {}
        }
    };
    let second = |event: Event<'_>| {
        if matches!(event, Event::Note { text } if text.starts_with("waiting for another release")) {
            waits.wait();
        }
    };
    let finished = std::thread::scope(|scope| {
        scope.spawn(|| cut::cut(&plan, &fixture, &fixture.key, &first).unwrap());
        holds.wait();
        cut::cut(&plan, &fixture, &fixture.key, &second).unwrap()
    });
    assert_eq!(finished.stages, []);
    assert_eq!(fixture.calls.lock().unwrap()["build"], 1);
    assert!(!work_folder(&plan.out).exists());
}

#[test]
fn the_announced_number_of_stages_matches() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    for (inputs, second_build) in [(true, true), (false, true), (true, false)] {
        let last = Mutex::new((0, None));
        let note = |event: Event<'_>| {
            if let Event::StageProgress { stage: "release", done, total, .. } = event {
                *last.lock().unwrap() = (done, total);
            }
        };
        let check_progress = |finished: Finished, case: &str| {
            let done = finished.stages.len() as u64;
            assert_eq!(*last.lock().unwrap(), (done, Some(done)), "{case}, {inputs}, {second_build}");
        };
        let plan = |name: &str| Plan { inputs, second_build, ..fixture.plan(name) };
        check_progress(cut::cut(&plan("whole"), &fixture, &fixture.key, &note).unwrap(), "cut");
        check_progress(cut::part(&plan("part"), &fixture, &note).unwrap(), "part");
        let parts = [ReleasePart::read(&fixture.path("part")).unwrap()];
        check_progress(cut::join(&plan("joined"), &parts, &fixture.key, &|| NOW, &note).unwrap(), "join");
        for name in ["whole", "part", "joined"] {
            fs::remove_dir_all(fixture.path(name)).unwrap();
        }
    }
}

#[test]
fn an_unfinished_release_of_another_plan_or_key_restarts() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let plan = fixture.plan("release");
    let stop = |event: Event<'_>| {
        if matches!(event, Event::StageStarted { stage: "sign" }) {
            panic!("stopped");
        }
    };
    let cut = |stop: rave_process::progress::Sink<'_>| cut::cut(&plan, &fixture, &fixture.key, stop);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(cut(&stop)))).unwrap_err();
    let other = SigningKey::in_memory("other").unwrap();
    let finished = cut::cut(&plan, &fixture, &other, &|_| ()).unwrap();
    assert!(finished.stages.iter().all(|stage| !stage.reused), "{finished:?}");
    assert!(fixture.verify(&plan.out).problems[0].cause.ends_with("is not trusted"));
    // Such as another password in rave.local.toml, which no commit has.
    fs::remove_dir_all(&plan.out).unwrap();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(cut(&stop)))).unwrap_err();
    let other = Plan { settings: Digest::of_bytes(b"other settings"), ..plan.clone() };
    let finished = fixture.cut(&other).unwrap();
    assert!(finished.stages.iter().all(|stage| !stage.reused), "{finished:?}");
}

#[test]
fn corrected_paths_of_late_stages_do_not_restart_a_release() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu, Format::Raw]));
    let old = fixture.release();
    let newer = or_skip!(fixture.newer(&[Format::Qemu, Format::Raw]));
    let keys = fixture.path("keys.jsonl");
    fs::write(&keys, "").unwrap();
    let plan = newer.plan("release");
    let wrong = fixture.path("no release");
    let with = |previous: &Utf8Path, keys: Option<&Utf8Path>| Plan {
        previous: Some(previous.to_owned()),
        patch_from: Some(old.clone()),
        keys: keys.map(Utf8Path::to_owned),
        ..plan.clone()
    };
    let error = newer.cut(&with(&wrong, None)).unwrap_err().to_string();
    assert!(error.contains("no release/manifest.json"), "{error}");
    let finished = newer.cut(&with(&old, Some(&keys))).unwrap();
    let redone: Vec<_> = finished.stages.iter().filter(|stage| !stage.reused).collect();
    assert_eq!(redone[0].name, "provenance", "{redone:?}");
    let has = |ending: &str| files(&plan.out).iter().any(|file| file.ends_with(ending));
    assert!(has(".patch") && has("keys.jsonl"));

    // An interrupted run's patch and statements are not in a release that was not asked for them.
    fs::remove_dir_all(&plan.out).unwrap();
    let stop = |event: Event<'_>| {
        if matches!(event, Event::StageStarted { stage: "sign" }) {
            panic!("stopped");
        }
    };
    let stopped = || cut::cut(&with(&old, Some(&keys)), &newer, &newer.key, &stop);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stopped()))).unwrap_err();
    newer.cut(&plan).unwrap();
    assert!(!has(".patch") && !has("keys.jsonl"));
    assert_eq!(newer.verify(&plan.out).problems, []);
}

#[test]
fn a_revocation_that_came_after_a_killed_run_is_in_the_release() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let keys = fixture.path("keys.jsonl");
    let plan = Plan { keys: Some(keys.clone()), ..fixture.plan("release") };
    let lost = SigningKey::in_memory("lost").unwrap();
    let add = |serial| {
        let change = KeyChange::Revoke { reason: "lost".into() };
        let statement = KeyStatement { key: lost.public().clone(), serial, change };
        let line = statement.sign(&[&lost]).unwrap().to_json() + "\n";
        fs::write(&keys, fs::read_to_string(&keys).unwrap_or_default() + &line).unwrap();
    };
    add(1);
    let stop = |event: Event<'_>| {
        if matches!(event, Event::StageStarted { stage: "verification" }) {
            panic!("stopped");
        }
    };
    let stopped = || cut::cut(&plan, &fixture, &fixture.key, &stop);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stopped()))).unwrap_err();
    add(2);
    let finished = fixture.cut(&plan).unwrap();
    let reused = |name: &str| finished.stages.iter().any(|stage| stage.name == name && stage.reused);
    assert!(reused("notes") && !reused("checksums") && !reused("sign"), "{finished:?}");
    assert_eq!(fs::read(plan.out.join("keys.jsonl")).unwrap(), fs::read(&keys).unwrap());
    assert_eq!(fixture.verify(&plan.out).problems, []);
}

#[test]
fn a_kept_file_that_was_lost_is_told_with_the_folder_to_remove() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let plan = fixture.plan("release");
    let work = work_folder(&plan.out);
    let lose = |event: Event<'_>| {
        if matches!(event, Event::StageStarted { stage: "verification" }) {
            fs::remove_file(work.join("folder/rave-1.2.0-headless-x86_64.qcow2")).unwrap();
        }
    };
    let error = cut::cut(&plan, &fixture, &fixture.key, &lose).unwrap_err();
    assert!(error.to_string().ends_with("x86_64.qcow2: it is missing"), "{error}");
    let again = fixture.cut(&plan).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert!(again.remedy().unwrap().starts_with(&format!("remove {work}")), "{again:?}");
    fs::remove_dir_all(&work).unwrap();
    fixture.cut(&plan).unwrap();
}

#[test]
fn an_artifact_changed_since_its_build_is_not_released() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let disk = fixture.path("image/rave-debian-headless.qcow2");
    let mut bytes = fs::read(&disk).unwrap();
    bytes[100] ^= 1;
    fs::write(&disk, bytes).unwrap();
    let error = fixture.cut(&fixture.plan("release")).unwrap_err().to_string();
    assert!(error.contains("it is not the file that was built"), "{error}");
}

#[test]
fn an_image_with_a_payload_is_not_released() {
    let mut fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    fixture.built.manifest.origin = Origin::Nixos(NixosOrigin {
        flake_revision: None,
        flake_nar_hash: "sha256-d".into(),
        nix_version: "nix (Nix) 2.26.3".into(),
        outputs: Vec::new(),
        packages: vec![NixPackage {
            name: "bash".into(),
            version: "5.3p9".into(),
            output: None,
            nar_sha256: Digest::of_bytes(b"bash"),
        }],
        payload: true,
    });
    let plan = fixture.plan("release");
    let error = fixture.cut(&plan).unwrap_err().to_string();
    assert!(error.contains("was built for tests"), "{error}");
    assert_eq!(fs::read_dir(&plan.out).map_or(0, Iterator::count), 0);

    // The flake's names.
    let artifact = &mut fixture.built.manifest.artifacts[0];
    let mut file = artifact.boot_file().clone();
    let own = fixture.built.out_dir.join(&file.name);
    file.name = "nixos.qcow2".into();
    fs::rename(own, fixture.built.out_dir.join(&file.name)).unwrap();
    artifact.files = vec![file].try_into().unwrap();
    fixture.built.manifest.write(&fixture.built.out_dir).unwrap();
    // A release for tests is signed and verifies, and cannot be published.
    let plan = Plan { payload: true, base: Base::Nixos, ..plan };
    fixture.cut(&plan).unwrap();
    let signers = vec![fixture.signer()];
    let error = publish_by(&fixture, &plan.out, signers, false, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("was built for tests"), "{error}");
}

#[test]
fn a_full_disk_is_reported_and_the_release_resumes_with_space() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    let said = or_skip!(small_disk::run(&fixture, "small", "stages::small_disk_child"));
    assert!(said.contains("resumed after the disk was full"), "{said}");
}

/// Not a test by itself: the test above runs it on a small file system.
#[test]
fn small_disk_child() {
    small_disk::in_child(on_a_small_disk);
}

fn on_a_small_disk(place: &Utf8Path) {
    let fixture = Fixture::at(place);
    let plan = fixture.plan("small/release");
    let error = fixture.cut(&plan).unwrap_err();
    assert!(error.remedy().unwrap().starts_with("free some space on the file system of "), "{error}");
    assert!(!plan.out.exists());
    // With a source, so that mount(8) adds no newer options, which fail in a user namespace.
    let more = ["-o", "remount,size=64m", "none", place.join("small").as_str()].map(str::to_owned);
    duct::cmd("mount", more).run().unwrap();
    let finished = fixture.cut(&plan).unwrap();
    assert!(finished.stages[0].reused, "{finished:?}");
    assert_eq!(fixture.verify(&plan.out).problems, []);
    eprintln!("resumed after the disk was full");
}
