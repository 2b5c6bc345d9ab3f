//! `cargo xtask image --locked MANIFEST`: rebuilds the same bytes, or says why that is not possible.

use camino::Utf8Path;
use rave_host::Needs;
use rave_image::bases::debian::PackagePolicy;
use rave_image::build::{compressed, inputs};
use rave_image::manifest::FILE;
use rave_image::{BuildOptions, BuildRequest, Error, Manifest, manifest_diff};
use rave_spec::{Compression, Format};

use crate::build::{self, Places, ensure_formats, lock};
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::host;
use crate::settings::Settings;
use crate::ui::Ui;

pub(super) fn run(
    args: &cli::Image,
    manifest: &Utf8Path,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<Code> {
    let path = if manifest.is_dir() { manifest.join(FILE) } else { manifest.to_owned() };
    let manifest = Manifest::read_file(&path).map_err(|error| cannot(&path, [error.to_string()]))?;
    let Some(origin) = manifest.origin.debian() else { return Err(not_on_base(&path).into()) };
    let name = format!("{}-{}-locked", manifest.base(), manifest.profile);
    let out = match args.target.out {
        Some(_) => settings.out_dir.clone(),
        None => settings.artifacts_dir.join(name),
    };
    let same =
        |a: &Utf8Path, b: &Utf8Path| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if path.parent().is_some_and(|folder| same(folder, &out)) {
        return Err(CommandError::usage(format!("{out} holds the manifest that would be compared with"))
            .remedy("choose another folder with --out")
            .into());
    }
    host::ensure(settings, ui, Needs::Image)?;
    let formats: Vec<Format> = manifest.artifacts.iter().map(|artifact| artifact.format).collect();
    ensure_formats(settings, ui, &formats)?;

    let wanted = build::of_image(args, &formats);
    let places = Places::with_out(settings, out.clone());
    let (lock, packages) = (lock(settings)?, manifest_diff::packages(origin));
    let request = BuildRequest {
        base: manifest.base(),
        profile: &manifest.profile,
        epoch: origin.source_date_epoch,
        options: BuildOptions { packages: PackagePolicy::Exactly(&packages), ..wanted },
        ..build::request(settings, &wanted, &places, &lock)?
    };
    let other =
        manifest_diff::other_inputs(origin, &inputs(&request).map_err(|error| reason(&path, &error))?);
    if !other.is_empty() {
        return Err(cannot(&path, other).remedy("check out the commit that it was built from").into());
    }
    // With the compression of the manifest, not that of rave.toml.
    let compress = compressed(&request, &manifest).map_err(|error| reason(&path, &error))?;
    let request = BuildRequest { compress: compress.unwrap_or(request.compress), ..request };
    if request.compress.raw == Compression::Zstd && formats.contains(&Format::Raw) {
        host::ensure(settings, ui, Needs::Zst)?;
    }
    let built = rave_image::build(&request, &ui.sink()).map_err(|error| reason(&path, &error))?;
    let differences = manifest_diff::differences(&manifest, &built.manifest);
    if !differences.is_empty() {
        let failure = CommandError::new(Code::CheckFailed, format!("what was built differs from {path}"));
        return Err(differences.into_iter().fold(failure, CommandError::detail).into());
    }
    ui.note(&format!("the same bytes as {path} describes"));
    if args.json {
        ui.data(&serde_json::to_string_pretty(&built.manifest)?);
    } else {
        let files = built.manifest.artifacts.iter().flat_map(|artifact| artifact.files.iter());
        files.for_each(|file| ui.data(out.join(&file.name).as_str()));
    }
    Ok(Code::Ok)
}

/// Nix builds what a commit describes; a manifest adds nothing to that.
fn not_on_base(path: &Utf8Path) -> CommandError {
    CommandError::usage(format!(
        "--locked: {path} is of the nixos base, whose flake.lock and commit say what is built"
    ))
    .remedy("check out its flake_revision, then: cargo xtask image --base nixos")
}

fn cannot(path: &Utf8Path, reasons: impl IntoIterator<Item = String>) -> CommandError {
    let failure = CommandError::new(Code::CheckFailed, format!("what {path} describes cannot be built here"));
    reasons.into_iter().fold(failure, CommandError::detail)
}

/// A manifest whose inputs are not available is a failed check; other errors keep their usual exit code.
fn reason(path: &Utf8Path, error: &Error) -> CommandError {
    match error {
        Error::Unavailable { .. } | Error::Offline { .. } | Error::Input { .. } | Error::NotOnBase { .. } => {
            let reasons: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
            cannot(path, reasons).remedy(match error {
                Error::Unavailable { .. } => "bring the files from a cache that has them (its folder `debs`)",
                Error::Offline { .. } => "run the same command without --offline",
                _ => "check out the commit that it was built from",
            })
        }
        error => error.into(),
    }
}
