//! The NixOS base for `image`, `run` and `smoke`.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use rave_image::bases::debian::NetworkAccess;
use rave_image::bases::nixos::installation::Nix;
use rave_image::bases::nixos::{self, FlakeBuild};
use rave_image::build::{BuildOptions, BuildResult};
use rave_spec::{Effective, Loaded};

use crate::cli;
use crate::command_error::CommandError;
use crate::settings::Settings;
use crate::ui::Ui;

/// Refuses flags that only the Debian base supports.
pub fn refuse(args: &cli::Image) -> anyhow::Result<()> {
    let refusal = if args.compress.is_some() {
        ("--compress", "the flake reads [compress] of rave.toml: set it there")
    } else if args.frozen {
        ("--frozen", "flake.lock always says exactly what is built: leave it out")
    } else {
        return Ok(());
    };
    let (flag, remedy) = refusal;
    Err(CommandError::usage(format!("{flag} is only supported on the debian base")).remedy(remedy).into())
}

/// Makes sure that a working nix is installed.
pub(super) fn ensure() -> anyhow::Result<()> {
    Nix::find().map(|_| ()).map_err(Into::into)
}

/// Builds what is missing.
pub(super) fn build(settings: &Settings, wanted: &BuildOptions<'_>, ui: &Ui) -> anyhow::Result<BuildResult> {
    let unseen = unseen(&settings.spec, &settings.shipped()?);
    if !unseen.is_empty() {
        ui.warn(&format!(
            "the flake sees only rave.toml and profiles/: what rave.local.toml and RAVE_* say of {} is not in the image",
            unseen.join(", ")
        ));
    }
    with_flake_build(settings, wanted, |flake_build| nixos::build(flake_build, &ui.sink()))
}

/// Builds twice, and fails if nix finds a difference.
pub(super) fn check_reproducible(
    settings: &Settings,
    wanted: &BuildOptions<'_>,
    ui: &Ui,
) -> anyhow::Result<()> {
    with_flake_build(settings, wanted, |flake_build| nixos::check_reproducible(flake_build, &ui.sink()))
}

/// Keys whose value here differs from what the flake sees, and whose value matters in the guest.
fn unseen(here: &Loaded, shipped: &Loaded) -> Vec<String> {
    // How an image is built, how a machine is run, and the Debian base's packages do not matter in the guest.
    let is_hidden = |key: &str| match key.split_once('.') {
        Some(("nixos" | "debian" | "defaults", _)) => true,
        Some(("vm", key)) => key != "disk",
        Some(("services", key)) => key.rsplit('.').next() == Some("host"),
        _ => false,
    };
    let flake: BTreeMap<String, String> =
        rave_spec::effective(shipped).into_iter().map(|value| (value.key, value.value)).collect();
    let differs = |value: &Effective| flake.get(&value.key) != Some(&value.value);
    let here =
        rave_spec::effective(here).into_iter().filter(|value| !is_hidden(&value.key) && differs(value));
    here.map(|value| value.key).collect()
}

/// Whether the requested artifacts exist and were built from the flake as it is now.
pub(super) fn is_current(settings: &Settings, wanted: &BuildOptions<'_>, ui: &Ui) -> anyhow::Result<bool> {
    with_flake_build(settings, wanted, |flake_build| nixos::is_current(flake_build, &ui.sink()))
}

fn with_flake_build<T>(
    settings: &Settings,
    wanted: &BuildOptions<'_>,
    work: impl FnOnce(&FlakeBuild<'_>) -> Result<T, rave_image::Error>,
) -> anyhow::Result<T> {
    let shipped = settings.shipped()?;
    let mut options = settings.nix.clone();
    options.offline |= matches!(wanted.network, NetworkAccess::Off);
    let log_dir: Utf8PathBuf = settings.state_dir.join("logs");
    let flake_build = FlakeBuild {
        root: &settings.root,
        spec: &shipped.spec,
        profile: settings.profile.as_str(),
        formats: wanted.formats,
        out_dir: &settings.out_dir,
        cache_dir: &settings.cache_dir,
        state_dir: &settings.state_dir,
        log_dir: &log_dir,
        refresh: wanted.refresh,
        changed_artifact: wanted.changed_artifact,
        options: &options,
    };
    work(&flake_build).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use rave_spec::{ConfigFile, Role, load};

    use super::*;

    #[test]
    fn only_settings_visible_in_the_guest_are_reported() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
        let (settings, profile) = (read("rave.toml"), read("profiles/simple.toml"));
        let shipped = [
            ConfigFile { name: "rave.toml", text: &settings, role: Role::Settings },
            ConfigFile { name: "simple.toml", text: &profile, role: Role::Profile("simple") },
        ];
        let local = "[guest]\nuser = \"dev\"\n[vm]\nmemory = 8192\n[services.ssh]\nhost = 2224\n[nixos]\nmax-jobs = 1\n";
        let local = ConfigFile { name: "rave.local.toml", text: local, role: Role::Settings };
        let variables = [("RAVE_DISK".to_owned(), "20000".to_owned())];
        let here = load(&[&shipped[..], &[local]].concat(), &variables).unwrap();
        let shipped = load(&shipped, &[]).unwrap();
        assert_eq!(unseen(&here, &shipped), ["guest.user", "vm.disk"]);
        assert_eq!(unseen(&shipped, &shipped), Vec::<String>::new());
    }
}
