//! The command line of `cargo xtask`: the product's commands, and those for developers and workflows.

use std::str::FromStr;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};
use rave::cli::{AFTER_HELP, FormatFlag, Global, HELP_WIDTH, Scope, Target, base, format_or_all};
use rave_spec::{Base, Format, InvalidValue};

/// Build, run and smoke-test virtual machines for AI agents.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    disable_help_subcommand = true,
    max_term_width = HELP_WIDTH,
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The product's commands, and the developers' own.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one of it")]
pub(crate) enum Command {
    #[command(flatten)]
    Product(rave::cli::Command),
    /// Run every test, or only the named steps
    Test(Test),
    /// Measure builds and boots, and compare them with plain tools
    Bench(Bench),
    /// Print data for continuous integration workflows
    Ci(Ci),
    /// Write the generated files; --check fails if one is out of date
    Codegen(Codegen),
    /// Put the program `rave` on the PATH: the same commands from any folder
    Install(Install),
}

impl Command {
    /// The flags that the settings depend on, besides files and the environment.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Product(command) => command.scope(),
            Self::Bench(args) => {
                let target = Target { profile: args.profile.clone(), ..Target::default() };
                Scope { target, ..Scope::default() }
            }
            Self::Test(_) | Self::Ci(_) | Self::Codegen(_) | Self::Install(_) => Scope::default(),
        }
    }
}

/// `cargo xtask test`
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Test {
    /// Steps to run, always in this order [default: all except nixos-system, matrix, cloud, hosts, proxy and release]
    #[arg(value_name = "STEP")]
    pub(crate) steps: Vec<TestStep>,
    /// Rows of the matrix that nixos-system boots: names, `all`, or `none` to build every format and boot nothing
    /// [default: qemu-bios,qemu-uefi]
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    pub(crate) rows: Vec<String>,
}

/// A part of `cargo xtask test`, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum TestStep {
    /// Check the format with rustfmt
    Format,
    /// Lint with clippy
    Clippy,
    /// Run unit, snapshot, property and integration tests
    Unit,
    /// Evaluate the flake of the NixOS base, if nix and a nixpkgs tree are available
    Flake,
    /// Build the flake's disk with nix from a stand-in system, if nix and a nixpkgs tree are available
    Nixos,
    /// Build a whole NixOS system from Debian's packages by nix, and smoke-test it
    NixosSystem,
    /// Build, boot and smoke-test one real image
    Smoke,
    /// Break that image and its builds in many ways
    Faults,
    /// Smoke-test every row of the matrix, break installations, attack from inside a guest and a clone, and fork
    Matrix,
    /// Boot the profile cloud without user data, with a seed on a CD and with a config drive
    Cloud,
    /// Prepare machines of several kinds, each with `doctor --yes` alone
    Hosts,
    /// Build and boot an image behind a proxy that intercepts TLS
    Proxy,
    /// Let independent programs read a release; they come from the Python index
    Release,
}

/// `cargo xtask ci`
#[derive(Debug, Clone, Args)]
pub(crate) struct Ci {
    #[command(subcommand)]
    pub(crate) command: CiCommand,
}

/// The queries of workflows.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CiCommand {
    /// Print a job matrix as JSON on one line: an `include` list with base, profile and format
    // The release's has no format: all of them come from one disk.
    Matrix(CiMatrix),
}

/// `cargo xtask ci matrix`
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CiMatrix {
    /// Only this base; may be repeated or comma-separated
    #[arg(long = "base", value_name = "BASE", value_delimiter = ',', value_parser = base())]
    pub(crate) bases: Vec<Base>,
    /// Only this profile of rave.toml; may be repeated or comma-separated
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    pub(crate) profiles: Vec<String>,
    /// Only this format; may be repeated or comma-separated
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format_or_all())]
    pub(crate) formats: Vec<FormatFlag>,
    /// A format of an additional profile; may be repeated or comma-separated
    #[arg(long, value_name = "PROFILE/FORMAT", value_delimiter = ',')]
    pub(crate) also: Vec<ProfileFormat>,
    /// One row per profile, for the builds of a release; needs --base
    #[arg(long, requires = "bases", conflicts_with_all = ["formats", "also"])]
    pub(crate) release: bool,
}

/// One format of one profile, as `cloud/qemu`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileFormat {
    pub(crate) profile: String,
    pub(crate) format: Format,
}

impl FromStr for ProfileFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (profile, format) = text.split_once('/').ok_or("expected PROFILE/FORMAT, such as cloud/qemu")?;
        let format = format.parse().map_err(|error: InvalidValue| error.to_string())?;
        Ok(Self { profile: profile.to_owned(), format })
    }
}

/// `cargo xtask codegen`
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Codegen {
    /// Write nothing; fail if a generated file is out of date
    #[arg(long)]
    pub(crate) check: bool,
}

/// `cargo xtask install`
#[derive(Debug, Clone, Args)]
pub(crate) struct Install {
    /// Folder of the program [default: ~/.local/bin]
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<Utf8PathBuf>,
    /// Remove the program that was installed there
    #[arg(long)]
    pub(crate) remove: bool,
}

/// `cargo xtask bench`
#[derive(Debug, Clone, Args)]
pub(crate) struct Bench {
    /// Profile to measure [default: defaults.profile of rave.toml]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Measure only this part; may be repeated or comma-separated
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub(crate) only: Vec<BenchPart>,
    /// Number of measurements of each boot
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// Earlier commit that first-run is compared with
    #[arg(long, value_name = "COMMIT")]
    pub(crate) against: Option<String>,
    /// Print the figures as JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// The parts of `cargo xtask bench`, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchPart {
    /// Builds of one format, compared with plain mmdebstrap.
    Image,
    /// All formats compared with one, and each with its tool.
    Formats,
    /// The same packages built by mkosi, if it is installed.
    Mkosi,
    /// Boots, compared with a plain system.
    Boot,
    /// Boots of every format.
    FormatBoots,
    /// The desktop, compared with Debian's own.
    Desktop,
    /// Sandboxes as clones of a template, compared with QEMU alone and with a cold boot.
    Sandboxes,
    /// Memory and processor time of 20 idle clones.
    Idle,
    /// `push` and `exec`, compared with rsync and ssh.
    Workspace,
    /// The network of sandboxes without QEMU, compared with a plain relay.
    Network,
    /// `verify` of a release, compared with sha256sum.
    Verify,
    /// `smoke` with warm caches, compared with an earlier commit's; needs --against.
    FirstRun,
}

#[cfg(test)]
mod documents;
