//! Flags, environment and rave.toml, read once.

mod dirs;
mod home;
mod sources;

pub use home::{checkout, home};

use std::env;
use std::io::{self, IsTerminal};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::bases::nixos::{self, installation::Nix};
use rave_spec::{Base, Format, Guest, Loaded, Nixos, Profile, ProfileName, Spec};
use rustix::fs::{Access, access};

use crate::cli::{Accel, FormatFlag, Global, NixFlags, Scope};
use crate::command_error::CommandError;

/// The state folder, for a command that needs no other settings.
pub fn state_dir() -> anyhow::Result<Utf8PathBuf> {
    dirs::state()
}

/// Whether to skip questions: `--yes`, otherwise `RAVE_YES`.
pub fn yes(global: &Global) -> bool {
    global.yes || env::var_os("RAVE_YES").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The folder of a user's own lists.
pub fn config_dir() -> anyhow::Result<Utf8PathBuf> {
    dirs::config()
}

/// The requested accelerator: the flag, otherwise `RAVE_ACCEL`.
pub fn asked_accel(flag: Option<Accel>) -> anyhow::Result<Option<Accel>> {
    accel(flag)
}

/// The settings of a command.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The home: the checkout that contains rave.toml. Absolute; may contain spaces.
    pub root: Utf8PathBuf,
    /// rave.toml, the user's own, rave.local.toml and `RAVE_*`, checked.
    pub spec: Loaded,
    /// State that must survive between runs: running VMs, the result of testing the accelerator, locks. May not exist
    /// yet.
    pub state_dir: Utf8PathBuf,
    /// What can be recreated: packages, root filesystems. May not exist yet.
    pub cache_dir: Utf8PathBuf,
    /// Where the artifacts of all bases and profiles are: `<root>/out`, or the user's data folder if the home is
    /// read-only.
    pub artifacts_dir: Utf8PathBuf,
    /// Where artifacts and manifest.json are: `--out`, otherwise `<artifacts_dir>/<base>-<profile>`.
    pub out_dir: Utf8PathBuf,
    /// What builds the disk.
    pub base: Base,
    /// The line that says why `base` was chosen, if it was chosen automatically.
    pub base_note: Option<String>,
    /// What is passed on to nix: flags, otherwise rave.toml's values.
    pub nix: Nixos,
    /// A key of `spec.spec.profiles`.
    pub profile: ProfileName,
    /// The requested accelerator: `--accel`, otherwise `RAVE_ACCEL`.
    pub accel: Option<Accel>,
    /// DMTF's schema of an OVF envelope: `RAVE_OVF_SCHEMA`.
    pub ovf_schema: Option<Utf8PathBuf>,
    /// Install missing host packages without asking: `--yes`, otherwise `RAVE_YES=1`.
    pub yes: bool,
    /// Whether a question can be answered on a terminal.
    pub is_terminal: bool,
}

impl Settings {
    /// Reads the settings for a command, in the checkout at `root`.
    pub fn load(root: Utf8PathBuf, global: &Global, scope: Scope) -> anyhow::Result<Self> {
        let spec = sources::load(&root, &dirs::config()?, &variables()?)?;
        let Scope { target, nix: flags, accel: accel_flag, may_be_nixos } = scope;
        let profile = match &target.profile {
            Some(name) => check_profile(&spec, name)?,
            None => spec.spec.defaults.profile.clone(),
        };
        let (base, base_note) = match target.base.or(spec.spec.defaults.base) {
            Some(asked) => (asked, None),
            None if may_be_nixos => choose_base(Nix::find().map(|nix| nix.printed_version)),
            None => (Base::Debian, None),
        };
        if base == Base::Debian {
            refuse_nix_flags(&flags)?;
        }
        let artifacts_dir = artifacts(&root)?;
        let out_dir = match &target.out {
            Some(dir) => dirs::absolute(dir)?,
            None => artifacts_dir.join(format!("{base}-{profile}")),
        };
        Ok(Self {
            state_dir: dirs::state()?,
            cache_dir: dirs::cache()?,
            artifacts_dir,
            out_dir,
            base,
            base_note,
            nix: nix_options(flags, &spec.spec.nixos),
            profile,
            accel: accel(accel_flag)?,
            ovf_schema: ovf_schema()?,
            yes: yes(global),
            is_terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
            root,
            spec,
        })
    }

    /// The same for another profile, with its artifacts in their usual folder.
    pub fn for_profile(&self, name: &str) -> anyhow::Result<Self> {
        let profile = check_profile(&self.spec, name)?;
        let out_dir = self.artifacts_dir.join(format!("{}-{profile}", self.base));
        Ok(Self { out_dir, profile, ..self.clone() })
    }

    /// The values of rave.toml and profiles/, without rave.local.toml and `RAVE_*`.
    pub fn shipped(&self) -> anyhow::Result<Loaded> {
        sources::shipped(&self.root)
    }

    /// The settings that an image is made from: the nixos base sees neither rave.local.toml nor `RAVE_*`.
    pub fn of_image(&self) -> anyhow::Result<Spec> {
        match self.base {
            Base::Nixos => Ok(self.shipped()?.spec),
            Base::Debian => Ok(self.spec.spec.clone()),
        }
    }

    /// The user and host name of the image's guest.
    pub fn guest(&self) -> anyhow::Result<Guest> {
        Ok(self.of_image()?.guest)
    }

    /// The chosen profile.
    pub fn profile(&self) -> anyhow::Result<&Profile> {
        Ok(self.spec.spec.profile(self.profile.as_str())?)
    }

    /// The formats of `--format`, each once and in the given order; rave.toml's formats if it is absent.
    pub fn formats(&self, flags: &[FormatFlag]) -> Vec<Format> {
        let mut formats: Vec<Format> = Vec::new();
        let asked = flags.iter().flat_map(|flag| match flag {
            FormatFlag::All => Format::ALL,
            FormatFlag::One(format) => std::slice::from_ref(format),
        });
        for &format in asked {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        if formats.is_empty() { self.spec.spec.defaults.formats.clone() } else { formats }
    }
}

/// The folder of the artifacts of all bases and profiles: the home's, or the user's if the home is read-only.
fn artifacts(root: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
    let out = root.join("out");
    let may_write = |path: &Utf8Path| access(path.as_std_path(), Access::WRITE_OK).is_ok();
    let takes = if out.exists() { may_write(&out) } else { may_write(root) };
    if takes { Ok(out) } else { Ok(dirs::data()?.join("out")) }
}

/// A flag without effect is an error.
fn refuse_nix_flags(flags: &NixFlags) -> anyhow::Result<()> {
    let given = [
        ("--builder", !flags.builders.is_empty()),
        ("--substituter", !flags.substituters.is_empty()),
        ("--max-jobs", flags.max_jobs.is_some()),
        ("--rebuild", flags.rebuild),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => Err(CommandError::usage(format!("{flag} is only supported on the nixos base"))
            .remedy("leave it out, or give --base nixos")
            .into()),
        None => Ok(()),
    }
}

/// Flags override rave.toml key by key.
fn nix_options(flags: NixFlags, spec: &Nixos) -> Nixos {
    fn chosen<T: Clone>(flags: Vec<T>, spec: &[T]) -> Vec<T> {
        if flags.is_empty() { spec.to_vec() } else { flags }
    }
    Nixos {
        builders: chosen(flags.builders, &spec.builders),
        substituters: chosen(flags.substituters, &spec.substituters),
        max_jobs: flags.max_jobs.or(spec.max_jobs),
        offline: spec.offline,
        rebuild: flags.rebuild || spec.rebuild,
    }
}

fn accel(flag: Option<Accel>) -> anyhow::Result<Option<Accel>> {
    let variable = env::var("RAVE_ACCEL").unwrap_or_default();
    match (flag, variable.as_str()) {
        (Some(accel), _) => Ok(Some(accel)),
        (None, "") => Ok(None),
        (None, "kvm") => Ok(Some(Accel::Kvm)),
        (None, "tcg") => Ok(Some(Accel::Tcg)),
        (None, other) => Err(CommandError::usage(format!("RAVE_ACCEL: unknown accelerator {other:?}"))
            .remedy("set it to kvm or tcg, or unset it")
            .into()),
    }
}

fn ovf_schema() -> anyhow::Result<Option<Utf8PathBuf>> {
    let path = env::var("RAVE_OVF_SCHEMA").ok().filter(|path| !path.is_empty()).map(Utf8PathBuf::from);
    match path {
        Some(path) if !path.is_file() => {
            Err(CommandError::usage(format!("RAVE_OVF_SCHEMA: {path} is not a file"))
                .remedy("set it to DMTF's schema of an OVF envelope (DSP8023), or unset it")
                .into())
        }
        path => Ok(path),
    }
}

/// `nixos` if nix works, otherwise `debian`; and the reason.
fn choose_base(nix: Result<String, nixos::Error>) -> (Base, Option<String>) {
    match nix {
        Ok(version) => {
            (Base::Nixos, Some(format!("using the nixos base: {version} works here; --base chooses")))
        }
        Err(error) => {
            let how = error.remedy().map(|how| format!("; to use nixos: {how}")).unwrap_or_default();
            let how = how.trim_end_matches("; or give --base debian");
            (Base::Debian, Some(format!("using the debian base: {error}{how}")))
        }
    }
}

fn check_profile(spec: &Loaded, name: &str) -> anyhow::Result<ProfileName> {
    spec.spec.profile(name).map_err(|error| CommandError::usage(format!("--profile: {error}")))?;
    Ok(name.parse()?)
}

fn variables() -> anyhow::Result<Vec<(String, String)>> {
    let ours = env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RAVE_"));
    ours.map(|(name, value)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (name, _) => {
            let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
            Err(CommandError::usage(format!("the variable {name} is not valid UTF-8")).into())
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_base_depends_on_a_working_nix() {
        let (base, why) = choose_base(Ok("nix (Nix) 2.26.3".into()));
        assert_eq!(base, Base::Nixos);
        assert_eq!(why.unwrap(), "using the nixos base: nix (Nix) 2.26.3 works here; --base chooses");
        let (base, why) = choose_base(Err(nixos::Error::Missing));
        assert_eq!(base, Base::Debian);
        let why = why.unwrap();
        assert!(
            why.starts_with("using the debian base: nix was not found; to use nixos: install Nix"),
            "{why}"
        );
        assert_eq!(why.lines().count(), 1);
    }
}
