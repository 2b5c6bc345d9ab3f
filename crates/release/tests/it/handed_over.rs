//! Parts built by hosts without a key, and the release that another host makes from them.

use std::fs;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_image::inputs::{Input, Kind};
use rave_process::progress::Event;
use rave_release::cut::{self, Built, Finished, Plan, ProfilePlan, ReleasePart, Workshop};
use rave_release::dsse::Envelope;
use rave_release::leak::BuilderNames;
use rave_release::sbom::Inventory;
use rave_release::{Error, inputs, parts};
use rave_smoke::report::Report;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, NOW, PROFILE, copy, files};
use crate::killed;

/// A part of the fixture's profile in the folder `part`, with files in several pieces.
fn part(fixture: &Fixture) -> Utf8PathBuf {
    let plan = Plan { part_limit: 20_000, ..fixture.plan("part") };
    let finished = cut::part(&plan, fixture, &|_| ()).unwrap();
    assert_eq!(finished.stages.last().unwrap().name, "describe");
    plan.out
}

/// The plan of the host that signs: it takes the builds from the parts.
fn plan(fixture: &Fixture, parts: &[ReleasePart]) -> Plan {
    Plan {
        profiles: parts.iter().flat_map(ReleasePart::profiles).collect(),
        part_limit: parts[0].part_limit(),
        second_build: parts.iter().all(ReleasePart::second_build),
        inputs: parts.iter().all(ReleasePart::has_inputs),
        ..fixture.plan("release")
    }
}

fn join(fixture: &Fixture, folders: &[&Utf8Path]) -> Result<Finished, Error> {
    let parts: Result<Vec<_>, _> = folders.iter().map(|folder| ReleasePart::read(folder)).collect();
    let parts = parts?;
    cut::join(&plan(fixture, &parts), &parts, &fixture.key, &|| NOW, &|_| ())
}

#[test]
fn a_release_from_parts_equals_one_cut_on_a_single_host() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let found = files(&part);
    for cut in ["part.json", "rave-1.2.0-headless-x86_64.qcow2.part-001", "rave-1.2.0-inputs.tar.part-001"] {
        assert!(found.contains(&cut.to_owned()), "{cut}");
    }
    for signed in ["sources.tsv", "SHA256SUMS.sig", "provenance.intoto.jsonl", "manifest.json"] {
        assert!(!found.contains(&signed.to_owned()), "{signed}");
    }
    let joined = join(&fixture, &[&part]).unwrap();
    let stages: Vec<&str> = joined.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages[..3], ["take headless", "inputs", "manifest"]);
    assert_eq!(fixture.verify(&fixture.path("release")).problems, []);
    let whole = Plan { part_limit: 20_000, ..fixture.plan("whole") };
    fixture.cut(&whole).unwrap();
    // Times in the statements are equal too: the fixture's clock stands still.
    let [one, other] = ["release", "whole"].map(|name| fixture.path(name));
    assert_eq!(files(&one), files(&other));
    for file in files(&one) {
        assert!(fs::read(one.join(&file)).unwrap() == fs::read(other.join(&file)).unwrap(), "{file} differs");
    }
    // Neither is done twice.
    assert_eq!(join(&fixture, &[&part]).unwrap().stages, []);
    let next = Plan { part_limit: 20_000, ..fixture.plan("part") };
    assert_eq!(cut::part(&next, &fixture, &|_| ()).unwrap().stages, []);
    let error = cut::part(&Plan { commit: "abc".into(), ..next }, &fixture, &|_| ()).unwrap_err();
    assert!(error.to_string().contains("a part of another release"), "{error}");
}

/// A host that builds another profile from different inputs: one package more, and one less.
struct OtherHost<'a>(&'a Fixture, &'static str);

impl Workshop for OtherHost<'_> {
    type Error = Error;

    fn build(&self, profile: &ProfilePlan) -> Result<Built, Error> {
        self.0.build(profile)
    }

    fn rebuild(&self, profile: &ProfilePlan) -> Result<(), Error> {
        self.0.rebuild(profile)
    }

    fn smoke(&self, profile: &ProfilePlan) -> Result<Report, Error> {
        let mut report = self.0.smoke(profile)?;
        for run in &mut report.runs {
            run.subject.artifact = run.subject.artifact.replace(PROFILE, &profile.profile);
        }
        Ok(report)
    }

    fn builder(&self, profile: &ProfilePlan, built: &Built) -> BuilderNames {
        self.0.builder(profile, built)
    }

    fn inventory(&self, profile: &ProfilePlan, built: &Built, name: &str) -> Result<Inventory, Error> {
        self.0.inventory(profile, built, name)
    }

    fn inputs(&self, built: &[&Built]) -> Result<Vec<Input>, Error> {
        let mut inputs = self.0.inputs(built)?;
        let mut deb = inputs.remove(1);
        deb.file = self.0.path("another.deb");
        fs::write(&deb.file, self.1).unwrap();
        deb.locked = None;
        let text = "Package: zsh\nSource: zsh (5.9-8)\n";
        let stanza = Input { kind: Kind::Stanza, file: self.0.path("another.stanza"), ..deb.clone() };
        fs::write(&stanza.file, text).unwrap();
        let path = |name: &str| format!("debs/{name}");
        inputs.push(Input { path: path("0b.deb"), name: "zsh".into(), ..deb });
        inputs.push(Input { path: path("0b.stanza"), name: "zsh".into(), ..stanza });
        inputs.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(inputs)
    }

    fn now(&self) -> i64 {
        NOW
    }
}

/// A part of the profile `simple` by that host.
fn other_part(fixture: &Fixture, name: &str, content: &'static str) -> Utf8PathBuf {
    let mut plan = Plan { part_limit: 20_000, ..fixture.plan(name) };
    plan.profiles[0].profile = "simple".into();
    cut::part(&plan, &OtherHost(fixture, content), &|_| ()).unwrap();
    plan.out
}

#[test]
fn inputs_of_parts_are_merged_into_one_archive_and_source_list() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let (first, second) = (part(&fixture), other_part(&fixture, "second", "another package"));
    let joined = join(&fixture, &[&first, &second]).unwrap();
    assert_eq!(joined.stages[2].name, "inputs");
    let release = fixture.path("release");
    assert_eq!(fixture.verify(&release).problems, []);
    let all = files(&release);
    let pieces = all.iter().filter(|name| name.starts_with("rave-1.2.0-inputs.tar.part-"));
    let whole: Vec<u8> = pieces.flat_map(|name| fs::read(release.join(name)).unwrap()).collect();
    let index = inputs::read(&mut whole.as_slice(), &mut |_, _| Ok(())).unwrap();
    let paths: Vec<_> = index.inputs.iter().map(|entry| entry.path.as_str()).collect();
    let expected = [
        "crates/adler2-2.0.1.crate",
        "debs/0a.deb",
        "debs/0a.stanza",
        "debs/0b.deb",
        "debs/0b.stanza",
        "npm/scope+tool-1.0.0.tgz",
    ];
    assert_eq!(paths, expected);
    let sources = fs::read_to_string(release.join("sources.tsv")).unwrap();
    assert!(sources.contains("bash\t5.2.37-2\tbash\n") && sources.contains("zsh\t5.9-8\tzsh\n"), "{sources}");
    // The order of the parts does not matter for either.
    fs::rename(&release, fixture.path("before")).unwrap();
    join(&fixture, &[&second, &first]).unwrap();
    for name in all.iter().filter(|name| name.contains("inputs.tar") || *name == "sources.tsv") {
        let before = fs::read(fixture.path("before").join(name)).unwrap();
        assert!(fs::read(release.join(name)).unwrap() == before, "{name}");
    }
}

#[test]
fn conflicting_inputs_of_parts_are_refused_and_missing_inputs_leave_no_archive() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let first = other_part(&fixture, "first", "a package");
    let mut plan = fixture.plan("second");
    plan.part_limit = 20_000;
    cut::part(&plan, &OtherHost(&fixture, "the same name, another package"), &|_| ()).unwrap();
    let error = join(&fixture, &[&first, &plan.out]).unwrap_err().to_string();
    assert!(error.ends_with("debs/0b.deb: another part has another file of this name"), "{error}");
    assert!(!fixture.path("release").exists());

    let bare = Plan { inputs: false, out: fixture.path("bare"), ..plan };
    cut::part(&bare, &fixture, &|_| ()).unwrap();
    let joined = join(&fixture, &[&first, &bare.out]).unwrap();
    assert_eq!(joined.stages[2].name, "manifest");
    let found = files(&fixture.path("release"));
    assert!(!found.iter().any(|name| name.contains("inputs") || name == "sources.tsv"), "{found:?}");
    assert_eq!(fixture.verify(&fixture.path("release")).problems, []);
    // Nor does it count as finished if it should have them.
    let next = Plan { inputs: true, ..bare };
    let error = cut::part(&next, &fixture, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("a part of another release"), "{error}");
}

#[test]
fn an_impossible_limit_of_parts_is_refused() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let text = fs::read_to_string(part.join("part.json")).unwrap();
    let with = |limit: &str| text.replace("\"part_limit\": 20000", &format!("\"part_limit\": {limit}"));
    fs::write(part.join("part.json"), with("0")).unwrap();
    let error = join(&fixture, &[&part]).unwrap_err().to_string();
    assert!(error.ends_with("the maximum size of its files is 0"), "{error}");
    fs::write(part.join("part.json"), with("1")).unwrap();
    let error = join(&fixture, &[&part]).unwrap_err().to_string();
    assert!(error.ends_with("it would have more than 1000 parts"), "{error}");
}

/// Not a test by itself: the test below starts and kills it.
#[test]
fn killed_child() {
    killed::in_child(hand_over_until);
}

fn hand_over_until(fixture: &Fixture, stage: &str) {
    let stop = |event: Event<'_>| {
        if matches!(event, Event::StageStarted { stage: name } if name == stage) {
            killed::stop(stage);
        }
    };
    let of_part = Plan { part_limit: 20_000, ..fixture.plan("part") };
    cut::part(&of_part, fixture, &stop).unwrap();
    let parts = [ReleasePart::read(&of_part.out).unwrap()];
    cut::join(&plan(fixture, &parts), &parts, &fixture.key, &|| NOW, &stop).unwrap();
}

#[test]
fn a_kill_while_parts_are_made_or_taken_leaves_nothing_final() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    for stage in ["pack headless", "describe", "take headless", "manifest", "sign"] {
        killed::kill(&fixture, "handed_over::killed_child", stage);
        assert_eq!(fixture.path("part").exists(), !["pack headless", "describe"].contains(&stage), "{stage}");
        assert!(!fixture.path("release").exists(), "{stage}");
    }
    let joined = join(&fixture, &[&fixture.path("part")]).unwrap();
    let first = joined.stages.iter().find(|stage| !stage.reused).unwrap();
    assert_eq!(first.name, "sign");
    assert_eq!(fixture.verify(&fixture.path("release")).problems, []);
}

#[test]
fn parts_of_another_commit_and_duplicate_profiles_are_refused() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let error = join(&fixture, &[&part, &part]).unwrap_err().to_string();
    assert!(error.ends_with("two parts have the profile headless"), "{error}");
    let other = Plan { commit: "f".repeat(40), ..fixture.plan("other") };
    cut::part(&other, &fixture, &|_| ()).unwrap();
    let error = join(&fixture, &[&other.out]).unwrap_err();
    assert!(error.to_string().contains("has a different commit: ffff"), "{error}");
    assert!(error.remedy().unwrap().contains("the same commit"));
    assert!(!fixture.path("release").exists());
}

#[test]
fn a_part_changed_in_transit_is_refused_by_file_name() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let plan = Plan { part_limit: parts::LIMIT, ..fixture.plan("part") };
    cut::part(&plan, &fixture, &|_| ()).unwrap();
    let changed = fixture.path("changed");
    for file in files(&plan.out) {
        let path = changed.join(&file);
        let refused = |change: &dyn Fn()| {
            copy(&plan.out, &changed);
            change();
            // What was taken from an unchanged file stays valid.
            let _ = fs::remove_dir_all(cut::work_folder(&fixture.path("release")));
            let error = join(&fixture, &[&changed]).unwrap_err().to_string();
            assert!(error.contains(&file), "{file}: {error}");
            assert!(!fixture.path("release").exists(), "{file}");
        };
        refused(&|| fs::remove_file(&path).unwrap());
        refused(&|| {
            fs::remove_file(&path).unwrap();
            symlink(plan.out.join(&file), &path).unwrap();
        });
        // The other files are compared with the description.
        if file != "part.json" {
            // The last byte of the archive does not belong to any member.
            for from_end in [false, true] {
                refused(&|| {
                    let mut bytes = fs::read(&path).unwrap();
                    let at = if from_end { bytes.len() - 1 } else { 10 };
                    bytes[at] ^= 1;
                    fs::write(&path, bytes).unwrap();
                });
            }
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
fn a_part_whose_report_has_no_boot_is_not_signed() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let folder = part(&fixture);
    let path = folder.join("smoke/headless/report.json");
    let text = fs::read(&path).unwrap();
    let mut report: Report = serde_json::from_slice(&text).unwrap();
    report.runs.clear();
    let emptied = serde_json::to_vec(&report).unwrap();
    fs::write(&path, &emptied).unwrap();
    let [before, after] = [text, emptied].map(|text| Digest::of_bytes(&text).to_string());
    let description = fs::read_to_string(folder.join("part.json")).unwrap();
    fs::write(folder.join("part.json"), description.replace(&before, &after)).unwrap();
    let error = join(&fixture, &[&folder]).unwrap_err().to_string();
    assert!(error.ends_with("its report has no boot of the format qemu"), "{error}");
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

#[test]
fn a_signing_host_whose_clock_is_behind_does_not_end_the_release_before_it_began() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Qemu]));
    let part = part(&fixture);
    let path = part.join("part.json");
    let text = fs::read_to_string(&path).unwrap();
    let (now, later) = (format!("\"started\": {NOW}"), format!("\"started\": {}", NOW + 3600));
    assert!(text.contains(&now), "{text}");
    fs::write(&path, text.replace(&now, &later)).unwrap();
    join(&fixture, &[&part]).unwrap();
    let text = fs::read_to_string(fixture.path("release/provenance.intoto.jsonl")).unwrap();
    let statement = Envelope::parse(text.lines().next().unwrap().as_bytes()).unwrap().payload;
    let statement: serde_json::Value = serde_json::from_slice(&statement).unwrap();
    let times = &statement["predicate"]["runDetails"]["metadata"];
    assert_eq!(
        (&times["startedOn"], &times["finishedOn"]),
        (&"2026-11-28T13:00:00Z".into(), &"2026-11-28T13:00:00Z".into())
    );
}
