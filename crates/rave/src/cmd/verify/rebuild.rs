//! `cargo xtask verify DIR --rebuild`: rebuilds a verified release from its own manifest and compares it byte by byte.

use std::fs::{self, File};

use anyhow::Context as _;
use camino::Utf8Path;
use rave_image::bases::debian::{NetworkAccess, PackagePolicy};
use rave_image::digest::Digest;
use rave_image::inputs::{self as image_inputs, Caches, Input};
use rave_image::{BuildOptions, Manifest as ImageManifest};
use rave_release::cut::{self, Built, Plan, Remade};
use rave_release::folder::regular_file;
use rave_release::inputs;
use rave_release::manifest::Manifest;
use rave_release::rebuild::{self, Difference, What};
use rave_spec::Compression;

use super::{end, verified};
use crate::cli;
use crate::cmd::check_reproducible::second::Second;
use crate::cmd::release::{inputs as caches, plan as of_release, space, workshop};
use crate::command_error::{CommandError, lines_of};
use crate::exit::Code;
use crate::git::git;
use crate::settings::Settings;
use crate::ui::Ui;

/// Folders of the rebuild, besides those of its build.
const RELEASE: &str = "release";
const BUILT: &str = "built";
const INPUTS: &str = "inputs";

/// Runs the command. The exit code is 0 or 1, as for verifying.
pub fn run(args: &cli::Verify, settings: &Settings, ui: &Ui) -> Code {
    match try_run(args, settings, ui) {
        Ok(code) => code,
        Err(_) if rave_process::interrupt::requested().is_some() => {
            ui.error(&["error: interrupted".to_owned()]);
            Code::Interrupted
        }
        Err(error) => {
            ui.error(&lines_of(&error));
            Code::CheckFailed
        }
    }
}

fn try_run(args: &cli::Verify, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let Some(verified) = verified(args, ui)? else { return Ok(Code::Ok) };
    let verdict = &verified.verdict;
    let (Some(manifest), Some(folder), []) = (&verdict.manifest, &args.folder, verdict.problems.as_slice())
    else {
        return Ok(end(&verified, ui));
    };
    refuse(manifest, settings)?;
    let second = match &args.inputs {
        None => Second::prepare(settings, ui)?,
        Some(file) => {
            is_of(file, manifest)?;
            Second::alone(settings, ui, |second| fill(second, file))?
        }
    };
    let (plan, made) = build(args, settings, manifest, &second, ui)?;
    let found = rebuild::differences((folder, manifest), (&plan.out, &made))?;
    let Some((first, rest)) = found.split_first() else {
        let code = end(&verified, ui);
        ui.data("ok: rebuilt, and every artifact, bill, input and the manifest are equal");
        return Ok(code);
    };
    let mut lines = vec![format!("error: the release is not what its commit builds: {first}")];
    lines.extend(found.iter().find_map(|difference| inside(difference, folder, &plan)));
    lines.extend(rest.iter().map(|difference| format!("  {difference}")));
    lines.push(format!("the rebuild is kept in {}", second.keep()));
    ui.error(&lines);
    Ok(Code::CheckFailed)
}

/// Reports obstacles to a rebuild before it starts.
fn refuse(manifest: &Manifest, settings: &Settings) -> anyhow::Result<()> {
    let wrong = |what: String, remedy: String| Err(CommandError::usage(what).remedy(remedy).into());
    if let Some(why) = rebuild::refusal(manifest) {
        return wrong(
            format!("this release cannot be rebuilt here: {why}"),
            "use `nix build` on its commit".into(),
        );
    }
    let commit = of_release::commit(&settings.root)?;
    if commit != manifest.commit {
        return wrong(
            format!("the checkout is at {commit}, the release was built from {}", manifest.commit),
            format!("git checkout {}", manifest.commit),
        );
    }
    let status = git(&settings.root).args(["status", "--porcelain", "--untracked-files=no"]).output();
    let status = status.context("git cannot say what differs from the commit")?.text();
    if let Some(changed) = status.lines().next() {
        let what = format!("the checkout differs from the commit, first in `{}`", changed.trim());
        return wrong(what, "use a fresh clone".into());
    }
    for profile in &manifest.profiles {
        let settings = settings.for_profile(&profile.profile)?;
        if of_release::has_default_password(&settings)? != profile.default_password {
            return wrong(
                format!("the user of {} has a different password here than in the release", profile.profile),
                "set guest.password in rave.local.toml as the release had it".into(),
            );
        }
    }
    space::for_rebuild(manifest).or_else(|(found, remedy)| wrong(found, remedy))
}

/// Checks that a file is the release's archive of inputs, by its digest.
fn is_of(file: &Utf8Path, manifest: &Manifest) -> anyhow::Result<()> {
    let Some(archive) = &manifest.inputs else {
        return Err(CommandError::usage("the release has no archive of inputs")
            .remedy("leave --inputs out; then the network is used")
            .into());
    };
    let found = regular_file(file).and_then(Digest::of_reader);
    let found = found.with_context(|| format!("cannot read {file}"))?;
    if found != archive.sha256 {
        let what = format!("{file} is not {} of the release: its SHA-256 is {found}", archive.name);
        return Err(CommandError::usage(what).remedy("give the release's own; join its parts first").into());
    }
    Ok(())
}

/// Unpacks the archive, and places each input where the build looks for it.
fn fill(second: &Second, file: &Utf8Path) -> anyhow::Result<()> {
    let folder = second.room(INPUTS);
    let mut from = regular_file(file).with_context(|| format!("cannot open {file}"))?;
    let index = inputs::read(&mut from, &mut |entry, content| {
        let place = folder.join(entry.path.as_str());
        fs::create_dir_all(place.parent().unwrap_or(&folder))?;
        std::io::copy(content, &mut File::create_new(&place)?).map(drop)
    });
    let index = index.map_err(|why| CommandError::usage(format!("{file}: {why}")))?;
    let cargo = second.cargo_home();
    image_inputs::prepare_cargo(&cargo)?;
    let cache = second.cache();
    for entry in &index.inputs {
        image_inputs::put(Caches { builds: &cache, cargo: &cargo }, &entry.input(&folder))?;
    }
    Ok(())
}

/// Builds every profile, and makes the files of a release from them.
fn build(
    args: &cli::Verify,
    settings: &Settings,
    manifest: &Manifest,
    second: &Second,
    ui: &Ui,
) -> anyhow::Result<(Plan, Manifest)> {
    let plan = rebuild::plan(manifest, second.room(RELEASE));
    let mut builds = Vec::new();
    for profile in &plan.profiles {
        let settings = Settings { base: manifest.base, ..settings.for_profile(&profile.profile)? };
        let network = if args.inputs.is_some() { NetworkAccess::Off } else { NetworkAccess::Allowed };
        let wanted = BuildOptions {
            compress: Some(Compression::Zstd),
            packages: PackagePolicy::Frozen,
            network,
            ..BuildOptions::new(&profile.formats)
        };
        second.build(&settings, &wanted, manifest.source_date_epoch, ui)?;
        // A separate folder, because every profile builds into the same one.
        let out_dir = second.room(BUILT).join(&profile.profile);
        fs::create_dir_all(second.room(BUILT))?;
        fs::rename(second.out(), &out_dir)?;
        fs::create_dir_all(second.out())?;
        let built = Built { manifest: ImageManifest::read(&out_dir)?, out_dir };
        let own = args.inputs.is_some().then(|| second.cargo_home());
        let inventory =
            workshop::inventory(&settings, &plan, &built, &plan.stem(profile), own.as_deref(), ui)?;
        builds.push(Remade { built, inventory });
    }
    let inputs = gather(args, settings, manifest, second, &builds)?;
    fs::create_dir_all(&plan.out)?;
    let made = cut::remake(&plan, &builds, &inputs, &plan.out)?;
    Ok((plan, made))
}

/// The inputs of the rebuild: those that it was given, otherwise those that it fetched.
fn gather(
    args: &cli::Verify,
    settings: &Settings,
    manifest: &Manifest,
    second: &Second,
    builds: &[Remade],
) -> anyhow::Result<Vec<Input>> {
    if manifest.inputs.is_none() {
        return Ok(Vec::new());
    }
    if let Some(file) = &args.inputs {
        let index = inputs::read_index(&mut regular_file(file)?);
        let index = index.map_err(|why| CommandError::usage(format!("{file}: {why}")))?;
        return Ok(index.inputs.iter().map(|entry| entry.input(&second.room(INPUTS))).collect());
    }
    caches::fetch(settings, &cli::Building::default())?;
    let (cargo, cache) = (caches::cargo_home()?, second.cache());
    let built: Vec<&Built> = builds.iter().map(|one| &one.built).collect();
    caches::collect(settings, Caches { builds: &cache, cargo: &cargo }, &built)
}

/// The file that differs inside an image, if the difference is in an image.
fn inside(difference: &Difference, folder: &Utf8Path, plan: &Plan) -> Option<String> {
    let What::Byte(_) = difference.what else { return None };
    let (ours, theirs) = (folder.join(&difference.name), plan.out.join(&difference.name));
    let path = rebuild::first_file(&ours, &theirs).ok()??;
    Some(format!("  in the image {}, {path} differs first", difference.name))
}
