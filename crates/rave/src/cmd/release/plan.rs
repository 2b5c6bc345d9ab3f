//! What a release shall be, from the flags, the settings and the repository.

use std::fs;
use std::time::SystemTime;

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_release::cut::{Plan, ProfilePlan, Source};
use rave_release::names;
use rave_spec::Format;

use super::order::Order;
use crate::build;
use crate::cli::FormatFlag;
use crate::command_error::CommandError;
use crate::git::git;
use crate::settings::Settings;
use crate::ui::Ui;

/// What every image is built for.
const ARCH: &str = "x86_64";

/// Files that decide what is built, apart from the commit that has them.
const SOURCES: [&str; 4] =
    ["debian.lock", "Cargo.lock", "crates/guest/assets/npm/package-lock.json", "rave.toml"];

/// A profile with the settings of its image.
pub(super) struct ReleaseProfile {
    pub(super) settings: Settings,
    pub(super) formats: Vec<Format>,
}

/// The profiles that are asked for, each once.
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

/// The plan, once the preflight has passed.
pub(super) fn plan(
    args: &Order<'_>,
    settings: &Settings,
    profiles: &[ReleaseProfile],
) -> anyhow::Result<Plan> {
    let lock = build::lock(settings)?;
    let source = |name: &str| {
        let path = settings.root.join(name);
        let sha256 = Digest::of_file(&path)
            .map_err(|error| CommandError::usage(format!("cannot read {path}: {error}")))?;
        Ok(Source { name: name.to_owned(), sha256 })
    };
    let profile = |one: &ReleaseProfile| {
        Ok(ProfilePlan {
            profile: one.settings.profile.to_string(),
            arch: ARCH.into(),
            formats: one.formats.clone(),
            default_password: has_default_password(&one.settings)?,
        })
    };
    let out = Utf8Path::from_path(&std::path::absolute(args.out)?).map(Utf8Path::to_owned);
    Ok(Plan {
        version: args.version.clone(),
        base: settings.base,
        commit: commit(&settings.root)?,
        epoch: build::epoch(settings, || Ok(lock.date()))?,
        profiles: profiles.iter().map(profile).collect::<anyhow::Result<_>>()?,
        second_build: !args.no_second_build,
        part_limit: u64::from(args.part_size) << 20,
        changelog: changelog(&settings.root, args.version).unwrap_or_default(),
        sources: SOURCES.iter().map(|name| source(name)).collect::<anyhow::Result<_>>()?,
        keys: args.keys.clone(),
        previous: args.previous.clone(),
        out: out.ok_or_else(|| CommandError::usage("--out is not UTF-8"))?,
    })
}

/// Prints the stages with the sizes of the last build.
pub(super) fn show(plan: &Plan, profiles: &[ReleaseProfile], ui: &Ui) {
    let mut rows = Vec::new();
    for (profile, of_plan) in profiles.iter().zip(&plan.profiles) {
        let name = &of_plan.profile;
        let formats = of_plan.formats.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let built = rave_image::Manifest::read(&profile.settings.out_dir).ok();
        let size = built.map(|manifest| {
            let files = manifest.artifacts.iter().flat_map(|artifact| &artifact.files);
            format!("{} MiB in the last build", files.map(|file| file.size).sum::<u64>() >> 20)
        });
        rows.push(vec![format!("build {name}"), formats, size.unwrap_or_else(|| "never built here".into())]);
        if plan.second_build {
            rows.push(vec![format!("second build {name}"), "compared byte by byte".into(), String::new()]);
        }
        rows.push(vec![format!("smoke {name}"), "the first row of each format".into(), String::new()]);
        let stem = names::stem(&plan.version, name, &of_plan.arch);
        rows.push(vec![format!("pack {name}"), format!("{stem}.*"), String::new()]);
        rows.push(vec![
            format!("bills of materials {name}"),
            "CycloneDX 1.6, SPDX 2.3".into(),
            String::new(),
        ]);
    }
    for (stage, what) in [
        ("manifest", names::MANIFEST),
        ("provenance", names::PROVENANCE),
        ("notes", names::NOTES),
        ("checksums", rave_release::sums::FILE),
        ("sign", rave_release::sums::SIGNATURE),
        ("verification", "as a receiver does"),
    ] {
        rows.push(vec![stage.into(), what.into(), String::new()]);
    }
    ui.table(&["stage", "what", "size"], &rows);
}

/// Whether the guest's user has the password that the sources have.
pub(super) fn has_default_password(settings: &Settings) -> anyhow::Result<bool> {
    Ok(settings.guest()?.password == settings.shipped()?.spec.guest.password)
}

/// What the changelog says of a version: what is below `## [VERSION]`, up to the next version.
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
fn commit(root: &Utf8Path) -> anyhow::Result<String> {
    let said = git(root).args(["rev-parse", "HEAD"]).output();
    let said = said.map_err(|error| CommandError::usage(format!("no commit is checked out: {error}")))?;
    Ok(said.text().trim().to_owned())
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
