//! The command line as types. No behaviour: what a command does is in `cmd/`.

mod building;
mod convert;
mod disk_image;
mod fence;
mod iso_image;
mod net;
mod network_flags;
mod release;
mod run;
mod sandbox;
mod size;
mod smoke;
mod values;
mod workspace;

use crate::program::Program;
use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use rave_spec::Compression;

pub use building::{Building, NixFlags, Target};
pub use convert::{Convert, Inspect};
pub use disk_image::DiskImage;
pub use fence::FenceProgram;
pub use iso_image::IsoImage;
pub use net::{Net, NetCommand, NetMode, NetPages, NetPrint, NetRules, Pages};
pub use network_flags::NetworkFlags;
pub use release::{
    Cut, Keygen, KnownKeys, PassphraseFrom, Patch, Publish, Release, ReleaseCommand, Revoke, Rotate, Sbom,
    SbomCommand, SbomDiff, Verify,
};
pub use run::Run;
pub use sandbox::{
    Audit, Exec, Fork, Logs, Open, Port, Prune, Ps, Restore, Rm, ServeNetwork, Snapshot, Ssh, SshConfig,
    SshProxy, Start, Stop, Supervise, Up,
};
pub use size::Size;
pub use smoke::Smoke;
use values::compression;
pub use values::{
    Accel, AgentKey, Firmware, FormatFlag, Gui, HostPort, KeepBase, PortFlag, base, format_or_all,
};
pub use workspace::{Apply, Cp, Diff, Pull, Push, Trust};

/// The end of the program's help; xtask's is the same.
pub const AFTER_HELP: &str = "Exit codes: 0 ok, 1 a check failed, 2 wrong usage or bad rave.toml, 3 the host is not ready, \
     4 a build failed, 130 interrupted.\nOptions of a command: cargo xtask COMMAND --help";

/// Columns of a help text at most.
pub const HELP_WIDTH: usize = 100;

/// Build, run and smoke-test virtual machines for AI agents.
#[derive(Debug, Parser)]
#[command(name = "rave", version, disable_help_subcommand = true, max_term_width = HELP_WIDTH, after_help = AFTER_HELP)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do; without a command the help is shown.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The same command line with `program`'s name in its help texts.
pub fn named(program: Program, command: clap::Command) -> clap::Command {
    let words = |text: &clap::builder::StyledStr| program.rename_commands(&text.to_string());
    let named = |mut command: clap::Command| {
        if let Some(text) = command.get_about().map(words) {
            command = command.about(text);
        }
        if let Some(text) = command.get_after_help().map(words) {
            command = command.after_help(text);
        }
        command
    };
    named(command).mut_subcommands(named)
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Install missing host packages without asking
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Print only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show the output of the programs that are run
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Colours: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: clap::ColorChoice,
}

/// The commands.
// The first three are the product: they come first, each with a command line to copy.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a bootable image          cargo xtask image --format qemu
    Image(Image),
    /// Boot an image, list services    cargo xtask run --ssh
    Run(Run),
    /// Build, boot and check an image  cargo xtask smoke --yes
    Smoke(Smoke),
    /// Create a sandbox, or start an existing one
    Up(Box<Up>),
    /// Run a program in a sandbox
    Exec(Exec),
    /// Open a shell in a sandbox, or run a command, by SSH
    Ssh(Ssh),
    /// Copy a folder into a sandbox, or its changes since the last push
    Push(Push),
    /// Fetch the changes made in a sandbox, and keep them on the host
    Pull(Pull),
    /// Show the changes made in a sandbox
    Diff(Diff),
    /// Apply the changes made in a sandbox
    Apply(Box<Apply>),
    /// Copy files or folders from or into a sandbox
    Cp(Cp),
    /// Trust the current .rave.toml of a folder to restrict its sandboxes
    Trust(Trust),
    /// List sandboxes
    Ps(Ps),
    /// Print the addresses of a sandbox's services
    Port(Port),
    /// Show and change what a sandbox may reach, and show what was refused
    Net(Net),
    /// Print the record of what a sandbox did and what was done with it, or verify it
    Audit(Audit),
    /// Print the console of a sandbox
    Logs(Logs),
    /// Power sandboxes off; their disks stay
    Stop(Stop),
    /// Start stopped sandboxes
    Start(Start),
    /// Create sandboxes from the current state of another, memory included
    Fork(Fork),
    /// Save the current state of a sandbox, memory included
    Snapshot(Snapshot),
    /// Restore a sandbox to a snapshot
    Restore(Restore),
    /// Remove sandboxes with their disks
    Rm(Rm),
    /// Remove all sandboxes that are stopped
    Prune(Prune),
    /// Open a page of a sandbox in the browser
    Open(Open),
    /// Let ssh, editors, rsync and git reach sandboxes as NAME.rave
    SshConfig(SshConfig),
    /// Connect ssh to a sandbox; its configuration starts this
    #[command(hide = true)]
    SshProxy(SshProxy),
    /// Supervise a running sandbox; `up` starts this automatically
    #[command(hide = true)]
    Supervise(Supervise),
    /// Serve the network of a machine left running by `run --detach`, which starts this
    #[command(hide = true)]
    ServeNetwork(ServeNetwork),
    /// Cut a release: build, check, describe and sign images
    Release(Box<Release>),
    /// Verify a release, without the network
    Verify(Verify),
    /// Compare bills of materials
    Sbom(Sbom),
    /// Copy a verified release into a published tree
    Publish(Publish),
    /// Make an artifact of a newer release from an older one and a patch
    Patch(Patch),
    /// Write the disk of a Nix closure; the flake's builders run this
    #[command(hide = true)]
    DiskImage(Box<DiskImage>),
    /// Write the ISO of such a disk; the flake's builders run this
    #[command(hide = true)]
    IsoImage(Box<IsoImage>),
    /// Drop this process's rights and execute a program; QEMU is started this way
    #[command(hide = true)]
    Fence(FenceProgram),
    /// Convert a disk of any format to the other formats
    Convert(Convert),
    /// Describe an image of any format and verify it, or describe a sandbox
    Inspect(Inspect),
    /// Update debian.lock and the npm lock, and print the changes
    Update(Update),
    /// Check this host for requirements; --yes installs missing packages
    Doctor(Doctor),
    /// Print the effective configuration with the origin of each value
    Config(Config),
    /// Print a completion script for a shell
    Completions(Completions),
}

impl Command {
    /// The flags that the settings depend on, besides files and the environment.
    pub fn scope(&self) -> Scope {
        let of = |target: &Target, building: &Building, accel| Scope {
            target: target.clone(),
            nix: building.nix.clone(),
            accel,
            may_be_nixos: true,
        };
        match self {
            Self::Image(args) => of(&args.target, &args.building, None),
            Self::Run(args) => of(&args.target, &args.building, args.accel),
            Self::Smoke(args) => of(&args.target, &args.building, args.accel),
            Self::Doctor(args) => Scope { accel: args.accel, ..Scope::default() },
            Self::Up(args) => of(&args.target, &args.building, args.accel),
            Self::Release(args) => of(&args.cut.target(), &args.cut.building, args.cut.accel),
            Self::Convert(_)
            | Self::Verify(_)
            | Self::Sbom(_)
            | Self::Publish(_)
            | Self::Patch(_)
            | Self::Inspect(_)
            | Self::Exec(_)
            | Self::Ssh(_)
            | Self::Push(_)
            | Self::Pull(_)
            | Self::Diff(_)
            | Self::Apply(_)
            | Self::Cp(_)
            | Self::Trust(_)
            | Self::Ps(_)
            | Self::Port(_)
            | Self::Net(_)
            | Self::Audit(_)
            | Self::Logs(_)
            | Self::Stop(_)
            | Self::Start(_)
            | Self::Rm(_)
            | Self::Fork(_)
            | Self::Snapshot(_)
            | Self::Restore(_)
            | Self::Supervise(_)
            | Self::ServeNetwork(_)
            | Self::Open(_)
            | Self::Prune(_)
            | Self::SshConfig(_)
            | Self::SshProxy(_)
            | Self::DiskImage(_)
            | Self::IsoImage(_)
            | Self::Fence(_)
            | Self::Update(_)
            | Self::Config(_)
            | Self::Completions(_) => Scope::default(),
        }
    }
}

/// The flags of a command that the settings depend on.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Which image.
    pub target: Target,
    /// What is passed on to nix.
    pub nix: NixFlags,
    /// The requested accelerator.
    pub accel: Option<Accel>,
    /// Whether the base may be chosen to suit the host. Tests and measurements use the Debian base unless rave.toml
    /// says otherwise: they depend on its stages.
    pub may_be_nixos: bool,
}

/// `cargo xtask image`
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Image {
    /// Formats to build; may be repeated or comma-separated [default: defaults.formats of rave.toml]
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format_or_all())]
    pub formats: Vec<FormatFlag>,
    /// Which image.
    #[command(flatten)]
    pub target: Target,
    /// Compression of the qcow2; zstd also writes a .img.zst of the raw disk [default: compress of rave.toml]
    #[arg(long, value_name = "HOW", value_parser = compression())]
    pub compress: Option<Compression>,
    /// Print the manifest on stdout when done
    #[arg(long)]
    pub json: bool,
    /// Also make the template that sandboxes of this image are cloned from; needs the format qemu
    #[arg(long, conflicts_with_all = ["locked", "check_reproducible"])]
    pub warm: bool,
    /// Rebuild every stage, even if nothing changed
    #[arg(long)]
    pub refresh: bool,
    /// Build twice in different environments and compare byte for byte
    #[arg(long, alias = "double")]
    pub check_reproducible: bool,
    /// Fail if a package of debian.lock is not available, instead of using the archive's version
    #[arg(long)]
    pub frozen: bool,
    /// Rebuild the image of this manifest.json, and compare [default of --out: out/BASE-PROFILE-locked]
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["formats", "profile", "base", "compress", "frozen", "check_reproducible"])]
    pub locked: Option<Utf8PathBuf>,
    /// How what is missing is built.
    #[command(flatten)]
    pub building: Building,
}

/// `cargo xtask update`
#[derive(Debug, Clone, Default, Args)]
pub struct Update {
    /// Update only debian.lock
    #[arg(long)]
    pub debian: bool,
    /// Update only the lock of the npm tools
    #[arg(long)]
    pub npm: bool,
    /// Print what would change, and write nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `cargo xtask doctor`
#[derive(Debug, Clone, Default, Args)]
pub struct Doctor {
    /// Probe only this accelerator
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
    /// Print the rows as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask config`
#[derive(Debug, Clone, Default, Args)]
pub struct Config {
    /// Print the values and their origins as JSON
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask completions`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Usage by shell, with `cargo xtask` in the checkout:\n  \
                  bash        cargo xtask completions bash >> ~/.bash_completion\n  \
                  zsh         cargo xtask completions zsh > DIR/_cargo-xtask    (a folder of $fpath)\n  \
                  fish        cargo xtask completions fish > ~/.config/fish/conf.d/rave.fish\n  \
                  elvish      cargo xtask completions elvish >> ~/.config/elvish/rc.elv\n  \
                  powershell  cargo xtask completions powershell >> $PROFILE")]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use rave_spec::Format;

    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn gui_takes_an_optional_display() {
        let of = |line: &[&str]| match Cli::parse_from([&["rave", "run"], line].concat()).command {
            Some(Command::Run(run)) => (run.gui, run.ssh),
            _ => panic!("not the run command"),
        };
        assert_eq!(of(&[]), (None, false));
        assert_eq!(of(&["--gui", "--ssh"]), (Some(Gui::Auto), true));
        assert_eq!(of(&["--ssh", "--gui", "spice"]), (Some(Gui::Spice), true));
        assert_eq!(of(&["--gui=vnc"]), (Some(Gui::Vnc), false));
    }

    #[test]
    fn formats_may_be_repeated_or_comma_separated() {
        let cli = Cli::parse_from(["rave", "image", "--format", "qemu,raw", "--format", "iso"]);
        let Some(Command::Image(image)) = cli.command else { panic!("not the image command") };
        assert_eq!(image.formats, [Format::Qemu, Format::Raw, Format::Iso].map(FormatFlag::One));
    }
}
