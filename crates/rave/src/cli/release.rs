//! The commands of a release as types.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};
use rave_spec::{Base, Format};
use semver::Version;

use super::building::{Building, Target};
use super::values::{Accel, FormatFlag, base, format, format_or_all};

/// `cargo xtask release`
#[derive(Debug, Clone, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub struct Release {
    /// About keys, instead of a release.
    #[command(subcommand)]
    pub command: Option<ReleaseCommand>,
    /// A release.
    #[command(flatten)]
    pub cut: Cut,
}

/// The commands about keys.
#[derive(Debug, Clone, Subcommand)]
pub enum ReleaseCommand {
    /// Make a signing key: Ed25519, encrypted under a passphrase
    Keygen(Keygen),
    /// Sign that another key may sign from now on
    Rotate(Rotate),
    /// Sign that a key must no longer be trusted
    Revoke(Revoke),
}

/// A release to cut.
#[derive(Debug, Clone, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Cut {
    /// The release's version; must be that of the workspace
    #[arg(long, value_name = "VERSION", required = true)]
    pub version: Option<Version>,
    /// Folder of the finished release
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<Utf8PathBuf>,
    /// Private key that signs, as `cargo xtask release keygen` made it
    #[arg(long, value_name = "FILE", required_unless_present = "unsigned")]
    pub key: Option<Utf8PathBuf>,
    /// Stop before the signature: build a part that another host signs with --from-parts
    #[arg(long, conflicts_with_all = ["key", "passphrase_file", "passphrase_fd", "previous", "patch_from", "keys"])]
    pub unsigned: bool,
    /// Build nothing: sign these parts, made with --unsigned; may be repeated or comma-separated
    #[arg(
        long, value_name = "DIR", value_delimiter = ',',
        conflicts_with_all = ["unsigned", "profiles", "formats", "no_second_build", "part_size", "jobs", "accel"]
    )]
    pub from_parts: Vec<Utf8PathBuf>,
    /// Profiles to release; may be repeated or comma-separated [default: defaults.profile of rave.toml]
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    pub profiles: Vec<String>,
    /// Formats to release; may be repeated or comma-separated [default: all]
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format_or_all())]
    pub formats: Vec<FormatFlag>,
    /// What builds the disks; it is never guessed [default: defaults.base of rave.toml]
    #[arg(long, value_name = "BASE", value_parser = base())]
    pub base: Option<Base>,
    /// How the key is opened.
    #[command(flatten)]
    pub passphrase: PassphraseFrom,
    /// Print the checks and the stages, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Build once; the provenance and the notes say so
    #[arg(long)]
    pub no_second_build: bool,
    /// Release images whose user has the password of rave.toml; the notes say so
    #[arg(long)]
    pub allow_default_password: bool,
    /// Omit the archive of what the builds downloaded
    #[arg(long)]
    pub no_inputs: bool,
    /// Release images that contain Claude Code, which not everybody may redistribute
    #[arg(long)]
    pub accept_unfree: bool,
    /// Release an image of the tests, with Debian's packages in place of the base's; `publish` refuses it
    #[arg(long, hide = true, conflicts_with_all = ["unsigned", "from_parts"])]
    pub payload: bool,
    /// Earlier release that the notes compare with
    #[arg(long, value_name = "DIR")]
    pub previous: Option<Utf8PathBuf>,
    /// Earlier release to add a patch from, for each profile
    #[arg(long, value_name = "DIR")]
    pub patch_from: Option<Utf8PathBuf>,
    /// Statements about keys to include, made by `rotate` and `revoke`
    #[arg(long, value_name = "FILE")]
    pub keys: Option<Utf8PathBuf>,
    /// Split files that are larger than this, in MiB; at least 100, because the parts of a file are numbered with three digits
    #[arg(long, value_name = "MIB", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(100..))]
    pub part_size: u32,
    /// Number of machines that run side by side [default: as many as memory and processors allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
    /// How what is missing is built.
    #[command(flatten)]
    pub building: Building,
}

impl Cut {
    /// The image of a profile, for the settings.
    pub fn target(&self) -> Target {
        Target { profile: self.profiles.first().cloned(), base: self.base, out: None }
    }
}

/// Where a passphrase comes from: never an argument or a variable, which others can read.
#[derive(Debug, Clone, Default, Args)]
pub struct PassphraseFrom {
    /// File whose first line is the passphrase [default: ask on the terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    pub passphrase_file: Option<Utf8PathBuf>,
    /// Open file descriptor whose first line is the passphrase
    #[arg(long, value_name = "N")]
    pub passphrase_fd: Option<u32>,
}

/// `cargo xtask release keygen`
#[derive(Debug, Clone, Args)]
pub struct Keygen {
    /// File of the private key; its public half is written beside it, for OpenSSH and for receivers
    #[arg(long, value_name = "FILE")]
    pub out: Utf8PathBuf,
    /// Name of the signer, which receivers give to ssh-keygen
    #[arg(long, value_name = "NAME", default_value = "rave-releases")]
    pub principal: String,
    /// The passphrase that encrypts it.
    #[command(flatten)]
    pub passphrase: PassphraseFrom,
}

/// `cargo xtask release rotate`
#[derive(Debug, Clone, Args)]
pub struct Rotate {
    /// The current key
    #[arg(long, value_name = "FILE")]
    pub key: Utf8PathBuf,
    /// Its passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseFrom,
    /// The new key, which signs too
    #[arg(long, value_name = "FILE")]
    pub to: Utf8PathBuf,
    /// File whose first line is the new key's passphrase [default: ask on the terminal]
    #[arg(long, value_name = "FILE")]
    pub to_passphrase_file: Option<Utf8PathBuf>,
    /// Name of the new key's signer
    #[arg(long, value_name = "NAME", default_value = "rave-releases")]
    pub principal: String,
    /// Number of the statement, larger than that of every earlier one about the key
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub serial: u64,
    /// File that the statement is added to, for `release --keys` and `verify --statements`
    #[arg(long, value_name = "FILE")]
    pub out: Utf8PathBuf,
}

/// `cargo xtask release revoke`
#[derive(Debug, Clone, Args)]
pub struct Revoke {
    /// Key that signs: the revoked one, or a successor of it
    #[arg(long, value_name = "FILE")]
    pub key: Utf8PathBuf,
    /// Its passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseFrom,
    /// Public key to revoke [default: that of the key that signs]
    #[arg(long, value_name = "FILE")]
    pub revoked: Option<Utf8PathBuf>,
    /// Why, in one line
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Number of the statement, larger than that of every earlier one about the key
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub serial: u64,
    /// File that the statement is added to
    #[arg(long, value_name = "FILE")]
    pub out: Utf8PathBuf,
}

/// `cargo xtask verify`
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Folder of the release
    #[arg(value_name = "DIR", required_unless_present_any = ["trust", "statements"])]
    pub folder: Option<Utf8PathBuf>,
    /// Whose release is believed.
    #[command(flatten)]
    pub keys: KnownKeys,
    /// Keys to trust from now on
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub trust: Option<Utf8PathBuf>,
    /// Refuse every other version
    #[arg(long, value_name = "VERSION")]
    pub expect: Option<Version>,
    /// Refuse older versions
    #[arg(long, value_name = "VERSION")]
    pub not_older_than: Option<Version>,
    /// Refuse a release of another commit, given in full
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
    /// Build the release again from its manifest as well, in a checkout of its commit, and compare every byte
    #[arg(long, requires = "folder", conflicts_with = "json")]
    pub rebuild: bool,
    /// Build from the release's archive of inputs, without the network
    #[arg(long, value_name = "FILE", requires = "rebuild")]
    pub inputs: Option<Utf8PathBuf>,
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Whose releases are believed.
#[derive(Debug, Clone, Default, Args)]
pub struct KnownKeys {
    /// Keys that are trusted for this call, an `allowed_signers` file [default: those of `verify --trust`]
    #[arg(long, value_name = "FILE")]
    pub key: Option<Utf8PathBuf>,
    /// Statements about keys that arrived separately from the release
    #[arg(long, value_name = "FILE")]
    pub statements: Option<Utf8PathBuf>,
}

/// `cargo xtask publish`
#[derive(Debug, Clone, Args)]
pub struct Publish {
    /// Folder of the release
    #[arg(value_name = "DIR")]
    pub folder: Utf8PathBuf,
    /// Published tree: a folder for each version, and a link to the latest
    #[arg(long, value_name = "TREE")]
    pub to: Utf8PathBuf,
    /// Whose release is believed.
    #[command(flatten)]
    pub keys: KnownKeys,
    /// Point `latest` at this version, even if it is older or a pre-release
    #[arg(long)]
    pub make_latest: bool,
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask patch`
#[derive(Debug, Clone, Args)]
pub struct Patch {
    /// The patch, with the release's SHA256SUMS and SHA256SUMS.sig beside it
    #[arg(value_name = "FILE")]
    pub file: Utf8PathBuf,
    /// Artifact of the older release, of any format
    #[arg(long, value_name = "FILE")]
    pub base: Utf8PathBuf,
    /// Folder of the results [default: that of the patch]
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
    /// Formats to make; may be repeated or comma-separated
    #[arg(
        long = "format", value_name = "FORMAT", value_delimiter = ',', default_value = "raw", value_parser = format()
    )]
    pub formats: Vec<Format>,
    /// Whose release is believed.
    #[command(flatten)]
    pub keys: KnownKeys,
}

/// `cargo xtask sbom`
#[derive(Debug, Clone, Args)]
pub struct Sbom {
    /// What to do.
    #[command(subcommand)]
    pub command: SbomCommand,
}

/// The commands about bills of materials.
#[derive(Debug, Clone, Subcommand)]
pub enum SbomCommand {
    /// Print which packages were added, removed and changed
    Diff(SbomDiff),
}

/// `cargo xtask sbom diff`
#[derive(Debug, Clone, Args)]
pub struct SbomDiff {
    /// The earlier bill, as JSON of either standard
    #[arg(value_name = "A")]
    pub first: Utf8PathBuf,
    /// The later one
    #[arg(value_name = "B")]
    pub second: Utf8PathBuf,
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
