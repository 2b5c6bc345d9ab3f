//! Flags shared by the commands that build, boot or check an image.

use camino::Utf8PathBuf;
use clap::Args;
use rave_spec::{Base, RemoteBuilder, Substituter};

use super::values::{base, max_jobs};

/// Which image: shared by the commands that build, boot or check one.
#[derive(Debug, Clone, Default, Args)]
pub struct Target {
    /// A profile of rave.toml [default: defaults.profile of rave.toml]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// What builds the disk [default: as in rave.toml, otherwise nixos if nix works, otherwise debian]
    #[arg(long, value_name = "BASE", value_parser = base())]
    pub base: Option<Base>,
    /// Folder of the artifacts and their manifest.json [default: out/BASE-PROFILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
}

/// How missing artifacts are built: shared by the same commands.
#[derive(Debug, Clone, Default, Args)]
pub struct Building {
    /// Use only cached inputs, or nix's store; never access the network
    #[arg(long)]
    pub offline: bool,
    /// What is passed on to nix.
    #[command(flatten)]
    pub nix: NixFlags,
}

/// What is passed on to `nix build`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "With the nixos base [default: as in rave.toml, otherwise as in nix.conf]")]
pub struct NixFlags {
    /// A remote builder, as a line of nix's machines file; may be repeated
    #[arg(long = "builder", value_name = "LINE")]
    pub builders: Vec<RemoteBuilder>,
    /// An additional cache, besides those of nix.conf; may be repeated
    #[arg(long = "substituter", value_name = "URL")]
    pub substituters: Vec<Substituter>,
    /// Number of parallel local builds; 0 sends all of them to the builders
    #[arg(long, value_name = "N", value_parser = max_jobs)]
    pub max_jobs: Option<u32>,
    /// Rebuild what already exists, and fail if the result differs
    #[arg(long)]
    pub rebuild: bool,
}
