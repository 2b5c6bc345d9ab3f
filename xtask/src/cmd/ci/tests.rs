//! Checks the workflows against the program that they call.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use rave::cli::Scope;

use super::workflow::{Job, Scalar, Step, Workflow};
use super::*;
use crate::cli::{CiMatrix, Cli, Command};

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Each workflow with its path and text.
fn workflows() -> Vec<(Utf8PathBuf, String, Workflow)> {
    let folder = root().join(".github/workflows").read_dir_utf8().expect("the folder of the workflows");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").into_path()).collect();
    paths.sort();
    let read = |path: Utf8PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a workflow is text");
        let workflow = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, text, workflow)
    };
    let workflows: Vec<_> = paths.into_iter().map(read).collect();
    assert!(!workflows.is_empty());
    workflows
}

/// Every step of every workflow, with its location as text.
fn steps(workflows: &[(Utf8PathBuf, String, Workflow)]) -> Vec<(String, &Workflow, &Job, &Step)> {
    let mut steps = Vec::new();
    for (path, _, workflow) in workflows {
        for (name, job) in &workflow.jobs {
            for step in &job.steps {
                let label =
                    step.name.as_ref().or(step.id.as_ref()).or(step.uses.as_ref()).or(step.run.as_ref());
                let place = format!("{path}: {name}: {}", label.map_or("a step", String::as_str));
                steps.push((place, workflow, job, step));
            }
        }
    }
    steps
}

fn shipped() -> Settings {
    let cli = Cli::try_parse_from(["xtask", "ci", "matrix"]).expect("the command exists");
    let mut settings =
        Settings::load(root().to_owned(), &cli.global, Scope::default()).expect("the checkout's settings");
    settings.spec = settings.shipped().expect("the shipped settings");
    settings
}

/// What the command prints for these flags.
fn printed(settings: &Settings, flags: &[&str]) -> anyhow::Result<Vec<BTreeMap<String, String>>> {
    let cli = Cli::try_parse_from(["xtask", "ci", "matrix"].iter().chain(flags))?;
    let Some(Command::Ci(cli::Ci { command: CiCommand::Matrix(args) })) = &cli.command else {
        panic!("another command: {cli:?}")
    };
    let profiles = profiles(&args.profiles, settings)?;
    check_also(&args.also, settings)?;
    let text = serde_json::to_string(&matrix(args, &profiles))?;
    assert!(!text.contains('\n'));
    let mut document: BTreeMap<String, Vec<BTreeMap<String, String>>> = serde_json::from_str(&text)?;
    Ok(document.remove("include").expect("a list of rows"))
}

#[test]
fn the_matrix_has_every_base_profile_and_format_once() {
    let settings = shipped();
    let rows = printed(&settings, &[]).unwrap();
    assert_eq!(rows.len(), Base::ALL.len() * settings.spec.spec.profiles.len() * Format::ALL.len());
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len());
    let first = &rows[0];
    assert_eq!(first.keys().collect::<Vec<_>>(), ["base", "format", "profile"]);
    assert_eq!((&*first["base"], &*first["profile"], &*first["format"]), ("nixos", "cloud", "qemu"));
}

#[test]
fn the_matrix_is_narrowed_by_flags() {
    let settings = shipped();
    let count = |flags: &[&str]| printed(&settings, flags).unwrap().len();
    assert_eq!(count(&["--base", "debian", "--profile", "headless", "--format", "qemu,iso"]), 2);
    assert_eq!(count(&["--format", "all", "--profile", "headless,simple", "--base", "nixos"]), 10);
    let error = printed(&settings, &["--profile", "headles"]).unwrap_err().to_string();
    assert!(error.contains("headless"), "{error}");
    assert!(printed(&settings, &["--base", "arch"]).is_err());
}

#[test]
fn a_pull_request_builds_the_smallest_guest_and_the_clouds_qcow2() {
    let settings = shipped();
    let workflows = workflows();
    let steps = steps(&workflows);
    let of_pull_request = |step: &Step| {
        step.run.as_ref().is_some_and(|run| run.starts_with("cargo xtask ci matrix"))
            && step.condition.as_ref().is_some_and(|condition| condition.contains("pull_request"))
    };
    let (.., step) =
        steps.iter().find(|(.., step)| of_pull_request(step)).expect("the step of a pull request");
    let words = words(step.run.as_deref().unwrap_or_default(), &BTreeMap::new());
    let flags: Vec<&str> = words[4..].iter().map(String::as_str).chain(["--base", "debian"]).collect();
    let rows = printed(&settings, &flags).unwrap();
    let rows: Vec<String> = rows.iter().map(|row| format!("{} {}", row["profile"], row["format"])).collect();
    assert_eq!(rows, ["headless qemu", "headless iso", "cloud qemu"]);
}

#[test]
fn the_format_of_an_added_profile_is_built_once() {
    let settings = shipped();
    let some = ["--base", "debian", "--profile", "headless", "--format", "qemu", "--also"];
    let count = |also| printed(&settings, &[&some[..], &[also]].concat()).map(|rows| rows.len());
    assert_eq!((count("cloud/qemu").unwrap(), count("headless/qemu").unwrap()), (2, 1));
    assert!(count("clod/qemu").unwrap_err().to_string().contains("cloud"));
    assert!(count("cloud").is_err() && count("cloud/qcow").is_err());
}

#[test]
fn actions_are_pinned_by_commit_with_the_version_beside_it() {
    let workflows = workflows();
    let mut actions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (place, _, _, step) in steps(&workflows) {
        assert!(step.uses.is_some() != step.run.is_some(), "{place}: one of uses and run");
        let Some(uses) = &step.uses else { continue };
        let (action, commit) = uses.split_once('@').unwrap_or_else(|| panic!("{place}: no commit in {uses}"));
        let is_commit =
            commit.len() == 40 && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(is_commit, "{place}: {commit} is not a full commit");
        actions.entry(action).or_default().insert(uses);
        // A token left in the checkout is readable for every later program, and artifacts are kept for some days.
        let with = |key: &str| step.with.get(key).map(Scalar::text).unwrap_or_default();
        match action {
            "actions/checkout" => assert_eq!(with("persist-credentials"), "false", "{place}"),
            "actions/upload-artifact" => assert!(with("retention-days").parse::<u32>().is_ok(), "{place}"),
            _ => {}
        }
    }
    for (path, text, _) in &workflows {
        for line in
            text.lines().filter(|line| line.trim_start().trim_start_matches("- ").starts_with("uses:"))
        {
            let version = line.split_once(" # v").map(|(_, version)| version);
            let numbers =
                version.is_some_and(|version| version.split('.').all(|part| part.parse::<u32>().is_ok()));
            assert!(numbers, "{path}: no version beside {line}");
        }
    }
    for (action, pins) in actions {
        assert_eq!(pins.len(), 1, "{action} is used at several commits: {pins:?}");
    }
}

/// Jobs with more permissions than reading the repository, with all their permissions.
const MORE: [(&str, &[(&str, &str)]); 2] = [
    ("release/attest", &[("attestations", "write"), ("id-token", "write")]),
    ("release/draft", &[("contents", "write")]),
];

#[test]
fn workflows_have_minimal_permissions() {
    let mut seen = 0;
    for (path, _, workflow) in workflows() {
        let least = BTreeMap::from([("contents".to_owned(), "read".to_owned())]);
        assert_eq!(workflow.permissions, least, "{path}: {}", workflow.name);
        assert!(workflow.concurrency.group.contains("github.ref"), "{path}");
        let push = workflow.on.push.as_ref().map(|push| push.branches.join(","));
        let expected = if workflow.name == "release" { None } else { Some("main") };
        assert_eq!(push.as_deref(), expected, "{path}: each push to a pull request would run twice");
        for (name, job) in &workflow.jobs {
            let of_job = format!("{}/{name}", workflow.name);
            let more = MORE.iter().find(|(job, _)| *job == of_job).map(|(_, more)| {
                more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
            });
            seen += usize::from(more.is_some());
            assert_eq!(job.permissions, more, "{path}: {name}");
            assert!(
                (1..=180).contains(&job.timeout_minutes),
                "{path}: {name}: {} minutes",
                job.timeout_minutes
            );
            assert!(!job.runs_on.ends_with("latest"), "{path}: {name} runs on whatever {} is", job.runs_on);
        }
    }
    assert_eq!(seen, MORE.len());
}

/// Where a private expression is allowed: in the variables of one step of one job.
const PRIVATE: [(&str, &str, &str); 2] =
    [("secrets.", "sign", "ci/sign-release "), ("github.token", "draft", "ci/draft-release ")];

#[test]
fn only_one_approved_step_has_the_key_and_only_one_the_token() {
    for (path, text, workflow) in workflows() {
        for (expression, job_name, program) in PRIVATE {
            let mut allowed = 0;
            for step in workflow.jobs.get(job_name).into_iter().flat_map(|job| &job.steps) {
                if step.run.as_ref().is_some_and(|run| run.starts_with(program)) {
                    allowed += step.env.values().filter(|value| value.contains(expression)).count();
                }
            }
            let all = text.matches(expression).count();
            assert_eq!(all, allowed, "{path}: {expression} is elsewhere than in the step of {program}");
            assert!(workflow.name != "release" || all > 0, "{path}: no {expression}");
        }
        for (name, job) in &workflow.jobs {
            let has_key = workflow.name == "release" && name == "sign";
            assert_eq!(job.environment.as_deref(), has_key.then_some("release"), "{path}: {name}");
        }
    }
}

#[test]
fn releases_are_built_without_a_key_signed_by_one_job_and_drafted_last() {
    let workflows = workflows();
    let (.., release) = workflows.iter().find(|(.., workflow)| workflow.name == "release").unwrap();
    let needs: Vec<(&str, Vec<&str>)> =
        release.jobs.iter().map(|(name, job)| (name.as_str(), job.needs.names())).collect();
    let expected = [
        ("attest", vec!["sign"]),
        ("build", vec!["matrix"]),
        ("draft", vec!["sign", "attest"]),
        ("matrix", vec![]),
        ("sign", vec!["build"]),
    ];
    assert_eq!(needs, expected);
    let calls = |job: &str| {
        let runs = release.jobs[job].steps.iter().filter_map(|step| step.run.clone());
        runs.filter(|run| run.contains("xtask release")).collect::<Vec<_>>()
    };
    assert!(calls("build").iter().all(|call| call.contains(" --unsigned ")) && calls("build").len() == 2);
    // Every job must use the same timestamp, otherwise the parts do not match.
    assert_eq!(release.env.get("RAVE_DEBIAN_DATE").map(String::as_str), Some("commit"));
    let handed = |job: &str, action: &str| {
        let steps = release.jobs[job].steps.iter();
        let steps = steps.filter(|step| step.uses.as_ref().is_some_and(|uses| uses.contains(action)));
        let name = |step: &Step| step.with.get("name").or(step.with.get("pattern")).map(Scalar::text);
        steps.filter_map(name).collect::<Vec<_>>()
    };
    assert!(handed("build", "upload-artifact")[0].starts_with("part-"));
    assert_eq!(handed("sign", "download-artifact"), ["part-*"]);
    assert_eq!(handed("draft", "download-artifact"), ["release", "attestation"]);
}

#[test]
fn the_release_matrix_has_each_profile_once() {
    let settings = shipped();
    let rows =
        printed(&settings, &["--release", "--base", "debian", "--profile", "headless,simple"]).unwrap();
    let rows: Vec<_> = rows.iter().map(|row| row.values().cloned().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, ["debian headless", "debian simple"]);
    for wrong in [&["--release"][..], &["--release", "--base", "debian", "--format", "qemu"]] {
        assert!(printed(&settings, wrong).is_err(), "{wrong:?}");
    }
}

/// The words of a line of bash that calls `cargo xtask`, up to a redirection; quoted variables filled from `env`.
fn words(line: &str, env: &BTreeMap<String, String>) -> Vec<String> {
    let call = line.split(" >").next().unwrap_or(line);
    let fill = |word: &str| {
        if let Some(name) = word.strip_prefix("\"$").and_then(|word| word.strip_suffix('"')) {
            return env.get(name).unwrap_or_else(|| panic!("{line}: ${name} is not in env")).clone();
        }
        assert!(!word.contains(['$', '"', '\'', '`']), "{line}: {word} is not understood by this test");
        word.to_owned()
    };
    call.split_whitespace().map(fill).collect()
}

/// A step's variables, with values from a row of the matrix or from the default of an input.
fn variables(step: &Step, workflow: &Workflow, row: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let dispatch = workflow.on.workflow_dispatch.as_ref();
    let value = |text: &str| {
        let expression = text.strip_prefix("${{ ").and_then(|text| text.strip_suffix(" }}"));
        match expression.and_then(|expression| expression.split_once('.')) {
            None => text.to_owned(),
            Some(("matrix", key)) => row.get(key).unwrap_or_else(|| panic!("no {key} in {row:?}")).clone(),
            Some(("inputs", key)) => {
                let input = dispatch.and_then(|dispatch| dispatch.inputs.get(key));
                let input = input.unwrap_or_else(|| panic!("{text}: no such input"));
                assert!(!input.description.is_empty());
                input.default.clone()
            }
            Some(_) => panic!("{text}: not understood by this test"),
        }
    };
    step.env.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

#[test]
fn every_cargo_xtask_call_parses() {
    let settings = shipped();
    let rows = printed(&settings, &[]).unwrap();
    let workflows = workflows();
    let mut calls = 0;
    for (place, workflow, job, step) in steps(&workflows) {
        for line in step.run.iter().flat_map(|run| run.lines()).filter(|line| line.contains("cargo xtask")) {
            let rows = if job.strategy.is_some() { rows.clone() } else { vec![BTreeMap::new()] };
            for row in rows {
                let words = words(line, &variables(step, workflow, &row));
                assert_eq!(words[..2], ["cargo", "xtask"], "{place}: {line}");
                let cli = Cli::try_parse_from(&words[1..]).unwrap_or_else(|error| panic!("{place}: {error}"));
                if let Some(Command::Ci(cli::Ci { command: CiCommand::Matrix(CiMatrix { .. }) })) =
                    cli.command
                {
                    let flags: Vec<&str> = words[4..].iter().map(String::as_str).collect();
                    assert!(!printed(&settings, &flags).unwrap().is_empty(), "{place}: {line}: no row");
                }
                calls += 1;
            }
        }
    }
    assert!(calls > rows.len(), "the matrix's own job, and a row each");
}

#[test]
fn a_job_is_one_call_and_has_its_matrix_fields() {
    let rows = printed(&shipped(), &[]).unwrap();
    for (path, text, workflow) in workflows() {
        for (name, job) in &workflow.jobs {
            // ci/prepare-host prepares the machine; only one of the steps with a condition runs.
            let runs = job.steps.iter().filter_map(|step| Some((step, step.run.as_ref()?)));
            let calls = runs.filter(|(_, run)| run.contains("cargo xtask") || run.starts_with("ci/"));
            let calls: Vec<_> = calls.filter(|(_, run)| !run.starts_with("ci/prepare-host")).collect();
            let conditions: BTreeSet<_> = calls.iter().map(|(step, _)| &step.condition).collect();
            if job.steps.iter().all(|step| step.run.is_none()) {
                continue; // it uses an action
            }
            assert!(!calls.is_empty() && conditions.len() == calls.len(), "{path}: {name}");
            assert!(calls.len() == 1 || !conditions.contains(&None), "{path}: {name}");
            assert!(calls.iter().all(|(_, run)| run.lines().count() == 1), "{path}: {name}");
            if let Some(strategy) = &job.strategy {
                let needs = job.needs.names()[0];
                let source = workflow.jobs.get(needs).expect("the job that is needed");
                let output = source.outputs.keys().next().expect("an output");
                assert_eq!(strategy.matrix, format!("${{{{ fromJSON(needs.{needs}.outputs.{output}) }}}}"));
                assert!(job.name.is_some(), "{path}: {name}: rows would have no names");
            }
        }
        // Not `needs.matrix.outputs`.
        let uses = text.match_indices("matrix.").filter(|(place, _)| !text[..*place].ends_with('.'));
        for rest in uses.map(|(place, found)| &text[place + found.len()..]) {
            let key: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(rows.iter().all(|row| row.contains_key(&key)), "{path}: matrix.{key} is not printed");
        }
    }
}

#[test]
fn called_ci_programs_exist() {
    let workflows = workflows();
    for (place, _, _, step) in steps(&workflows) {
        for word in
            step.run.iter().flat_map(|run| run.split_whitespace()).filter(|word| word.starts_with("ci/"))
        {
            assert!(root().join(word).is_file(), "{place}: {word} is missing");
        }
    }
}
