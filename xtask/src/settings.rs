//! Flags, environment and rave.toml, read once.

mod dirs;
mod sources;

use std::env;
use std::io::{self, IsTerminal};

use camino::Utf8PathBuf;
use rave_spec::{Base, Format, Loaded, Profile, ProfileName};

use crate::cli::{Accel, Cli, Command, FormatFlag, Target};
use crate::exit::Failure;

/// What every command starts from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The checkout: the folder that holds rave.toml. Absolute; may contain spaces.
    pub(crate) root: Utf8PathBuf,
    /// rave.toml, rave.local.toml and `RAVE_*`, checked.
    pub(crate) spec: Loaded,
    /// What must survive between runs: VMs that are up, the accelerator's proof, locks. May not exist yet.
    pub(crate) state_dir: Utf8PathBuf,
    /// What can be made again: packages, root filesystems. May not exist yet.
    pub(crate) cache_dir: Utf8PathBuf,
    /// Where artifacts and manifest.json are: `--out`, else `<root>/out/<base>-<profile>`.
    pub(crate) out_dir: Utf8PathBuf,
    /// What builds the disk.
    pub(crate) base: Base,
    /// The line that says why `base` was chosen, where nobody asked for it.
    pub(crate) base_note: Option<String>,
    /// A key of `spec.spec.profiles`.
    pub(crate) profile: ProfileName,
    /// The accelerator that was asked for: `--accel`, else `RAVE_ACCEL`.
    pub(crate) accel: Option<Accel>,
    /// Install what the host lacks and ask nothing: `--yes`, else `RAVE_YES=1`.
    pub(crate) yes: bool,
    /// Whether somebody is there to answer a question.
    pub(crate) is_terminal: bool,
}

impl Settings {
    pub(crate) fn load(cli: &Cli) -> anyhow::Result<Self> {
        let root = dirs::checkout()?;
        let spec = sources::load(&root, &variables()?)?;
        let target = target_of(cli.command.as_ref());
        let profile = match &target.profile {
            Some(name) => known_profile(&spec, name)?,
            None => spec.spec.defaults.profile.clone(),
        };
        let nix = rave_process::find_program("nix").is_some();
        let (base, base_note) = choose_base(target.base.or(spec.spec.defaults.base), nix);
        let out_dir = match &target.out {
            Some(dir) => dirs::absolute(dir)?,
            None => root.join("out").join(format!("{base}-{profile}")),
        };
        Ok(Self {
            state_dir: dirs::state()?,
            cache_dir: dirs::cache()?,
            out_dir,
            base,
            base_note,
            profile,
            accel: accel(cli.command.as_ref())?,
            yes: cli.global.yes
                || env::var_os("RAVE_YES").is_some_and(|value| !value.is_empty() && value != "0"),
            is_terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
            root,
            spec,
        })
    }

    /// What rave.toml and profiles/ say, without rave.local.toml and `RAVE_*`.
    pub(crate) fn shipped(&self) -> anyhow::Result<Loaded> {
        sources::shipped(&self.root)
    }

    /// The chosen profile.
    pub(crate) fn profile(&self) -> anyhow::Result<&Profile> {
        Ok(self.spec.spec.profile(self.profile.as_str())?)
    }

    /// What `--format` asks for, each once and in the order asked; rave.toml's formats where it is absent.
    pub(crate) fn formats(&self, flags: &[FormatFlag]) -> Vec<Format> {
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

fn target_of(command: Option<&Command>) -> Target {
    match command {
        Some(Command::Image(args)) => args.target.clone(),
        Some(Command::Run(args)) => args.target.clone(),
        Some(Command::Smoke(args)) => args.target.clone(),
        Some(Command::Bench(args)) => Target { profile: args.profile.clone(), ..Target::default() },
        _ => Target::default(),
    }
}

fn accel(command: Option<&Command>) -> anyhow::Result<Option<Accel>> {
    let flag = match command {
        Some(Command::Run(args)) => args.accel,
        Some(Command::Smoke(args)) => args.accel,
        Some(Command::Doctor(args)) => args.accel,
        _ => None,
    };
    let variable = env::var("RAVE_ACCEL").unwrap_or_default();
    match (flag, variable.as_str()) {
        (Some(accel), _) => Ok(Some(accel)),
        (None, "") => Ok(None),
        (None, "kvm") => Ok(Some(Accel::Kvm)),
        (None, "tcg") => Ok(Some(Accel::Tcg)),
        (None, other) => Err(Failure::usage(format!("RAVE_ACCEL: unknown accelerator {other:?}"))
            .remedy("set it to kvm or tcg, or unset it")
            .into()),
    }
}

/// DESIGN.md: `nixos` where nix works and `debian` elsewhere. The nixos base cannot build yet, so nix alone does not
/// choose it.
fn choose_base(asked: Option<Base>, nix: bool) -> (Base, Option<String>) {
    match asked {
        Some(base) => (base, None),
        None if nix => {
            (Base::Debian, Some("using the debian base: the nixos base cannot build images yet".into()))
        }
        None => (Base::Debian, Some("using the debian base: nix was not found; --base chooses".into())),
    }
}

fn known_profile(spec: &Loaded, name: &str) -> anyhow::Result<ProfileName> {
    spec.spec.profile(name).map_err(|error| Failure::usage(format!("--profile: {error}")))?;
    Ok(name.parse()?)
}

fn variables() -> anyhow::Result<Vec<(String, String)>> {
    let ours = env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RAVE_"));
    ours.map(|(name, value)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (name, _) => {
            let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
            Err(Failure::usage(format!("the variable {name} is not valid UTF-8")).into())
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_was_asked_for_needs_no_reason() {
        assert_eq!(choose_base(Some(Base::Nixos), false), (Base::Nixos, None));
        let (base, why) = choose_base(None, false);
        assert_eq!(base, Base::Debian);
        assert!(why.unwrap().starts_with("using the debian base: nix was not found"));
    }
}
