//! The plan of a release, from the flags, the settings and the repository.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use camino::Utf8Path;
use rave_image::digest::{Digest, Hasher};
use rave_release::cut::{Plan, ProfilePlan, Source};
use rave_release::names;
use rave_spec::{Base, ClaudeCode, Format, Loaded};

use super::last_run::LastRun;
use super::order::Order;
use crate::build;
use crate::cli::FormatFlag;
use crate::command_error::CommandError;
use crate::git::git;
use crate::settings::Settings;
use crate::ui::Ui;

/// The architecture of every image.
const ARCH: &str = "x86_64";

/// Files that determine what is built, recorded besides the commit.
fn sources(base: Base) -> [&'static str; 4] {
    let lock = match base {
        Base::Debian => "debian.lock",
        Base::Nixos => "flake.lock",
    };
    [lock, "Cargo.lock", "crates/guest/assets/npm/package-lock.json", "rave.toml"]
}

/// A profile with the settings of its image.
pub(super) struct ReleaseProfile {
    pub(super) settings: Settings,
    pub(super) formats: Vec<Format>,
}

/// The requested profiles, each once.
pub(super) fn profiles(args: &Order<'_>, settings: &Settings) -> anyhow::Result<Vec<ReleaseProfile>> {
    let mut names: Vec<String> = Vec::new();
    for name in &args.profiles {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        names.push(settings.profile.to_string());
    }
    let flags = if args.formats.is_empty() { vec![FormatFlag::All] } else { args.formats.clone() };
    let profile = |name: &String| {
        let settings = settings.for_profile(name)?;
        Ok(ReleaseProfile { formats: settings.formats(&flags), settings })
    };
    names.iter().map(profile).collect()
}

/// The part of a plan that depends on the builds.
pub(super) struct Scope {
    pub(super) profiles: Vec<ProfilePlan>,
    pub(super) second_build: bool,
    /// Bytes.
    pub(super) part_limit: u64,
    /// Keys of settings whose values the commit does not have.
    pub(super) own_settings: Vec<String>,
    /// Whether Claude Code is in an image.
    pub(super) has_claude: bool,
    /// Whether the release gets an archive of what the builds downloaded.
    pub(super) inputs: bool,
}

/// Of profiles that are built here.
pub(super) fn scope(args: &Order<'_>, profiles: &[ReleaseProfile]) -> anyhow::Result<Scope> {
    let profile = |one: &ReleaseProfile| {
        Ok(ProfilePlan {
            profile: one.settings.profile.to_string(),
            arch: ARCH.into(),
            formats: one.formats.clone(),
            default_password: has_default_password(&one.settings)?,
        })
    };
    Ok(Scope {
        profiles: profiles.iter().map(profile).collect::<anyhow::Result<_>>()?,
        second_build: !args.no_second_build,
        part_limit: u64::from(args.part_size) << 20,
        own_settings: profiles
            .first()
            .map(|one| own_settings(&one.settings))
            .transpose()?
            .unwrap_or_default(),
        has_claude: has_claude(profiles)?,
        inputs: true,
    })
}

/// Whether Claude Code is in an image, which not everybody may redistribute: otherwise each guest installs it.
pub(super) fn has_claude(profiles: &[ReleaseProfile]) -> anyhow::Result<bool> {
    let bakes = |one: &ReleaseProfile| Ok(one.settings.of_image()?.tools.claude == ClaudeCode::Baked);
    profiles.iter().map(bakes).try_fold(false, |any, one: anyhow::Result<bool>| Ok(any || one?))
}

/// The plan, once the preflight has passed.
pub(super) fn plan(args: &Order<'_>, settings: &Settings, scope: Scope) -> anyhow::Result<Plan> {
    let lock = build::lock(settings)?;
    let source = |name: &str| {
        let path = settings.root.join(name);
        let sha256 = Digest::of_file(&path)
            .map_err(|error| CommandError::usage(format!("cannot read {path}: {error}")))?;
        Ok(Source { name: name.to_owned(), sha256 })
    };
    let out = Utf8Path::from_path(&std::path::absolute(args.out)?).map(Utf8Path::to_owned);
    Ok(Plan {
        version: args.version.clone(),
        base: settings.base,
        commit: commit(&settings.root)?,
        epoch: build::epoch(settings, || Ok(lock.date()))?,
        profiles: scope.profiles,
        second_build: scope.second_build,
        part_limit: scope.part_limit,
        changelog: changelog(&settings.root, args.version).unwrap_or_default(),
        settings: of_settings(settings),
        own_settings: scope.own_settings,
        sources: sources(settings.base).iter().map(|name| source(name)).collect::<anyhow::Result<_>>()?,
        inputs: scope.inputs && !args.no_inputs && settings.base == Base::Debian,
        payload: args.payload,
        has_claude: scope.has_claude,
        keys: args.keys.clone(),
        previous: args.previous.clone(),
        patch_from: args.patch_from.clone(),
        out: out.ok_or_else(|| CommandError::usage("--out is not UTF-8"))?,
    })
}

/// The digest of everything that is set: by rave.toml, the user, rave.local.toml and the environment.
fn of_settings(settings: &Settings) -> Digest {
    let mut hasher = Hasher::default();
    for one in rave_spec::effective(&settings.spec) {
        hasher.field(&one.key, one.value.as_bytes());
    }
    // It is masked above.
    hasher.field("password", settings.spec.spec.guest.password.as_bytes());
    hasher.finish()
}

/// Keys of settings that matter for an image and whose values are not those of the commit; the nixos base sees no
/// others.
fn own_settings(settings: &Settings) -> anyhow::Result<Vec<String>> {
    if settings.base == Base::Nixos {
        return Ok(Vec::new());
    }
    let shipped = settings.shipped()?;
    let values = |loaded: &Loaded| -> BTreeMap<String, String> {
        rave_spec::effective(loaded).into_iter().map(|one| (one.key, one.value)).collect()
    };
    let (mut own, of_commit) = (values(&settings.spec), values(&shipped));
    if settings.spec.spec.guest.password != shipped.spec.guest.password {
        // Both may be masked.
        own.insert("guest.password".into(), String::new());
    }
    let is_own = |(key, value): &(String, String)| matters(key) && of_commit.get(key) != Some(value);
    Ok(own.into_iter().filter(is_own).map(|(key, _)| key).collect())
}

/// Whether a setting is about images: not about how machines are run, or where packages are fetched.
fn matters(key: &str) -> bool {
    match key.split_once('.') {
        Some(("nixos" | "defaults" | "sandboxes" | "network", _)) => false,
        Some(("vm", key)) => key == "disk",
        Some(("services", key)) => key.rsplit('.').next() != Some("host"),
        Some(("debian", key)) => !key.ends_with("mirror"),
        _ => true,
    }
}

/// Prints the stages, with the sizes and times of the last run.
pub(super) fn show(plan: &Plan, profiles: &[ReleaseProfile], is_unsigned: bool, ui: &Ui) {
    let mut stages = Vec::new();
    let mut sizes = Vec::new();
    for (profile, of_plan) in profiles.iter().zip(&plan.profiles) {
        let name = &of_plan.profile;
        let formats = of_plan.formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        sizes.push((format!("pack {name}"), built_size(profile)));
        stages.push((format!("build {name}"), formats));
        if plan.second_build {
            stages.push((format!("second build {name}"), "compared byte by byte".into()));
        }
        stages.push((format!("smoke {name}"), "the first row of each format".into()));
        stages.push((format!("leak gate {name}"), "secrets and the builder's names".into()));
        let stem = names::stem(&plan.version, name, &of_plan.arch);
        stages.push((format!("pack {name}"), format!("{stem}.*")));
        stages.push((format!("bills of materials {name}"), "CycloneDX 1.6, SPDX 2.3".into()));
    }
    stages.extend(inputs(plan));
    if is_unsigned {
        stages.push(("describe".into(), "part.json, for --from-parts".into()));
    } else {
        stages.extend(sealing(plan));
    }
    table(&stages, &sizes, profiles.first().map(|profile| &profile.settings), ui);
}

/// The same of parts that other hosts built.
pub(super) fn show_parts(plan: &Plan, settings: &Settings, ui: &Ui) {
    let take = |one: &ProfilePlan| (format!("take {}", one.profile), "from its part".to_owned());
    let stages: Vec<_> = plan.profiles.iter().map(take).chain(inputs(plan)).chain(sealing(plan)).collect();
    table(&stages, &[], Some(settings), ui);
}

/// The stage of what the builds took from the network.
fn inputs(plan: &Plan) -> Option<(String, String)> {
    let archive = names::inputs(&plan.version).map(String::from).unwrap_or_default();
    plan.inputs.then(|| ("inputs".to_owned(), archive))
}

/// The stages of the host that signs.
fn sealing(plan: &Plan) -> impl Iterator<Item = (String, String)> {
    let patches = plan.patch_from.as_ref().map(|_| ("patches", "from the earlier release"));
    let stages = [
        ("provenance", names::PROVENANCE),
        ("notes", names::NOTES),
        ("checksums", rave_release::sums::FILE),
        ("sign", rave_release::sums::SIGNATURE),
        ("verification", "as a receiver does"),
    ];
    let stages = [("manifest", names::MANIFEST)].into_iter().chain(patches).chain(stages);
    stages.map(|(stage, what)| (stage.to_owned(), what.to_owned()))
}

fn table(stages: &[(String, String)], sizes: &[(String, String)], settings: Option<&Settings>, ui: &Ui) {
    let last = settings.map(|settings| LastRun::read(&settings.state_dir)).unwrap_or_default();
    let size = |stage: &str| {
        let profile = stage.strip_prefix("pack ").or_else(|| stage.strip_prefix("take "))?;
        let built = sizes.iter().find(|(name, _)| name == stage).map(|(_, size)| size.clone());
        last.size(profile).or(built)
    };
    let row = |(stage, what): &(String, String)| {
        vec![stage.clone(), what.clone(), last.time(stage), size(stage).unwrap_or_default()]
    };
    ui.table(&["stage", "what", "last time", "last size"], &stages.iter().map(row).collect::<Vec<_>>());
}

/// The size of the last build's artifacts, which may have had other formats.
fn built_size(profile: &ReleaseProfile) -> String {
    let Ok(manifest) = rave_image::Manifest::read(&profile.settings.out_dir) else {
        return "never built here".into();
    };
    let files = manifest.artifacts.iter().flat_map(|artifact| &artifact.files);
    format!("{} MiB in the last build", files.map(|file| file.size).sum::<u64>() >> 20)
}

/// Whether the guest's user has the password that the sources have.
pub(in crate::cmd) fn has_default_password(settings: &Settings) -> anyhow::Result<bool> {
    Ok(settings.guest()?.password == settings.shipped()?.spec.guest.password)
}

/// The changelog's entry for a version: the text below `## [VERSION]`, up to the next version.
pub(super) fn changelog(root: &Utf8Path, version: &semver::Version) -> Option<String> {
    let text = fs::read_to_string(root.join("CHANGELOG.md")).ok()?;
    let head = format!("## [{version}]");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&head));
    lines.next()?;
    let entry: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let entry = entry.join("\n").trim().to_owned();
    (!entry.is_empty()).then_some(entry)
}

/// The commit that is checked out.
pub(in crate::cmd) fn commit(root: &Utf8Path) -> anyhow::Result<String> {
    let output = git(root).args(["rev-parse", "HEAD"]).output();
    let output = output.map_err(|error| CommandError::usage(format!("no commit is checked out: {error}")))?;
    Ok(output.text().trim().to_owned())
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_guest_matter_and_those_of_machines_and_mirrors_do_not() {
        for key in [
            "guest.password",
            "guest.certificates",
            "extra.packages",
            "vm.disk",
            "services.ssh.guest",
            "debian.date",
        ] {
            assert!(matters(key), "{key}");
        }
        for key in
            ["vm.memory", "services.ssh.host", "debian.security_mirror", "network.allow", "defaults.base"]
        {
            assert!(!matters(key), "{key}");
        }
    }

    #[test]
    fn the_entry_of_a_version_is_all_up_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let text = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-28\n\n### Added\n\n- A.\n\n## [1.1.0]\n\n- B.\n";
        fs::write(root.join("CHANGELOG.md"), text).unwrap();
        let of = |version: &str| changelog(root, &version.parse().unwrap());
        assert_eq!(of("1.2.0").as_deref(), Some("### Added\n\n- A."));
        assert_eq!(of("1.1.0").as_deref(), Some("- B."));
        assert_eq!(of("1.3.0"), None);
    }
}
