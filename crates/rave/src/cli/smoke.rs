//! `cargo xtask smoke`.

use camino::Utf8PathBuf;
use clap::Args;

use super::building::{Building, Target};
use super::values::{Accel, FormatFlag, format_or_all};

/// `cargo xtask smoke`
#[derive(Debug, Clone, Default, Args)]
#[allow(clippy::struct_excessive_bools)] // each is a flag a user types
pub struct Smoke {
    /// Artifacts to check; may be repeated or comma-separated [default: defaults.formats of rave.toml]
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format_or_all())]
    pub formats: Vec<FormatFlag>,
    /// Which image.
    #[command(flatten)]
    pub target: Target,
    /// Rows of the matrix to boot: `first` of each format, `all`, or names; may be comma-separated [default: first, or
    /// all with --format all]
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Number of machines that run side by side [default: as many as memory and processors allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// Try from inside the guest to reach what is closed, instead of running the checks
    #[arg(long, conflicts_with = "skip")]
    pub isolation: bool,
    /// Try it in a sandbox cloned from a template, instead of in machines that boot
    #[arg(long, requires = "isolation", conflicts_with_all = ["formats", "rows"])]
    pub clone: bool,
    /// List the checks and run none
    #[arg(long)]
    pub list: bool,
    /// List the rows of the matrix and boot none
    #[arg(long)]
    pub list_rows: bool,
    /// Run only this check, or attack of --isolation; may be repeated or comma-separated
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Skip this check; may be repeated or comma-separated
    #[arg(long, value_name = "CHECK", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Fail if a host port of rave.toml is taken, instead of using a free one
    #[arg(long)]
    pub fixed_ports: bool,
    /// Write a report to this folder: index.html, report.json, junit.xml, screenshots, serial logs
    #[arg(long, value_name = "DIR")]
    pub report: Option<Utf8PathBuf>,
    /// Write screenshots (PNG) to this folder: one after the read-only checks, and one of each failure
    #[arg(long, value_name = "DIR")]
    pub screenshot: Option<Utf8PathBuf>,
    /// Where the `JUnit` report goes; the help writes the name without backticks.
    #[arg(long, value_name = "FILE", help = "Also write a JUnit report")]
    pub junit: Option<Utf8PathBuf>,
    /// Print the report as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Force an accelerator [default: kvm if a test guest runs under it, otherwise tcg]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<Accel>,
    /// How what is missing is built.
    #[command(flatten)]
    pub building: Building,
}
