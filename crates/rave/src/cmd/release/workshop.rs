//! What the engines do for a release: the same code as `image`, `image --check-reproducible` and `smoke`.

use std::fs;

use camino::Utf8Path;
use rave_image::inputs::{Caches, Input};
use rave_process::Cmd;
use rave_release::cut::{self, Built, Plan, ProfilePlan, Workshop};
use rave_release::leak::BuilderNames;
use rave_release::sbom::Inventory;
use rave_release::sbom::known::Crates;
use rave_smoke::report::Report;
use rave_spec::Compression;

use super::order::Order;
use super::plan::ReleaseProfile;
use super::{builder, inputs};
use crate::build;
use crate::cli::{self, FormatFlag};
use crate::cmd::{check_reproducible, smoke};
use crate::settings::Settings;
use crate::ui::Ui;

pub(super) struct RealWorkshop<'a> {
    pub(super) args: &'a Order<'a>,
    pub(super) profiles: &'a [ReleaseProfile],
    pub(super) plan: &'a Plan,
    pub(super) ui: &'a Ui,
}

impl RealWorkshop<'_> {
    fn settings(&self, profile: &ProfilePlan) -> &Settings {
        let found = self.profiles.iter().find(|one| one.settings.profile.as_str() == profile.profile);
        &found.expect("the plan was made of these profiles").settings
    }

    /// The equivalent flags of `image`: raw disks are compressed.
    fn image(&self, profile: &ProfilePlan) -> cli::Image {
        cli::Image {
            formats: flags(profile),
            compress: Some(Compression::Zstd),
            frozen: true,
            building: self.args.building.clone(),
            ..cli::Image::default()
        }
    }
}

/// Cargo's metadata of the crates for the guest's platform, without network access, from `cargo_home` if it is given.
fn cargo_metadata(root: &Utf8Path, cargo_home: Option<&Utf8Path>) -> Result<String, rave_process::Error> {
    let arguments = [
        "metadata",
        "--locked",
        "--offline",
        "--format-version=1",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ];
    let command = Cmd::new("cargo").args(arguments).current_dir(root);
    let command = match cargo_home {
        Some(folder) => command.env("CARGO_HOME", folder.as_str()),
        None => command,
    };
    command.output().map(|output| output.text())
}

fn flags(profile: &ProfilePlan) -> Vec<FormatFlag> {
    profile.formats.iter().copied().map(FormatFlag::One).collect()
}

/// The contents of a profile's guest. The licences of crates are read from `cargo_home`, otherwise from the usual
/// folder.
pub(in crate::cmd) fn inventory(
    settings: &Settings,
    plan: &Plan,
    built: &Built,
    name: &str,
    cargo_home: Option<&Utf8Path>,
    ui: &Ui,
) -> anyhow::Result<Inventory> {
    let lock = fs::read_to_string(settings.root.join("Cargo.lock"))?;
    let program = fs::read_to_string(settings.root.join("crates/guest/Cargo.toml"))?;
    let metadata = cargo_metadata(&settings.root, cargo_home);
    if let Err(why) = &metadata {
        ui.warn(&format!("the bills do not have the licences of crates: {why}"));
    }
    let crates = Crates {
        lock: &lock,
        program: &program,
        version: env!("CARGO_PKG_VERSION"),
        metadata: metadata.as_deref().ok(),
    };
    let suite = settings.spec.spec.debian.suite.to_string();
    Ok(cut::inventory_of(plan, built, name, &suite, &crates)?)
}

impl Workshop for RealWorkshop<'_> {
    type Error = anyhow::Error;

    fn build(&self, profile: &ProfilePlan) -> anyhow::Result<Built> {
        let (settings, args) = (self.settings(profile), self.image(profile));
        // Of a disk that the flake does not compress.
        build::ensure_compression(settings, self.ui, &profile.formats, args.compress)?;
        let formats = build::prepare(&args, settings, self.ui)?;
        let built = build::build(settings, &build::of_image(&args, &formats), self.ui)?;
        Ok(Built { manifest: built.manifest, out_dir: settings.out_dir.clone() })
    }

    fn rebuild(&self, profile: &ProfilePlan) -> anyhow::Result<()> {
        let settings = self.settings(profile);
        let differ = check_reproducible::quietly(&self.image(profile), settings, self.ui)?;
        if differ.is_empty() {
            return Ok(());
        }
        let error = rave_release::Error::NotReproducible {
            profile: profile.profile.clone(),
            detail: differ.join(", "),
        };
        Err(error.into())
    }

    fn smoke(&self, profile: &ProfilePlan) -> anyhow::Result<Report> {
        let args = cli::Smoke {
            formats: flags(profile),
            jobs: self.args.jobs,
            accel: self.args.accel,
            building: self.args.building.clone(),
            rows: vec!["first".into()],
            ..cli::Smoke::default()
        };
        smoke::check(&args, self.settings(profile), self.ui)
    }

    fn builder(&self, profile: &ProfilePlan, built: &Built) -> BuilderNames {
        builder::names(self.settings(profile), built)
    }

    fn inventory(&self, profile: &ProfilePlan, built: &Built, name: &str) -> anyhow::Result<Inventory> {
        let settings = self.settings(profile);
        let inventory = inventory(settings, self.plan, built, name, None, self.ui)?;
        let denied = inventory.denied(&settings.spec.spec.release.denied_licences);
        if denied.is_empty() {
            return Ok(inventory);
        }
        let profile = profile.profile.clone();
        Err(rave_release::Error::DeniedLicences { profile, detail: denied.join(", ") }.into())
    }

    fn inputs(&self, built: &[&Built]) -> anyhow::Result<Vec<Input>> {
        let first = self.plan.profiles.first().expect("a release has a profile");
        let settings = self.settings(first);
        let cargo = inputs::cargo_home()?;
        inputs::fetch(settings, &self.args.building)?;
        let caches = Caches { builds: &settings.cache_dir, cargo: &cargo };
        inputs::collect(settings, caches, built)
    }

    fn now(&self) -> i64 {
        super::plan::now()
    }
}
