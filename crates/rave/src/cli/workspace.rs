//! The workspace of a sandbox.

use camino::Utf8PathBuf;
use clap::Args;

/// `cargo xtask push`
#[derive(Debug, Clone, Default, Args)]
pub struct Push {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The folder [default: the folder of the previous push]
    #[arg(value_name = "DIR")]
    pub folder: Option<Utf8PathBuf>,
    /// Copy this too, although it is ignored or looks like a secret: a path or a pattern; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub include: Vec<String>,
    /// Overwrite files that the sandbox has changed
    #[arg(long)]
    pub force: bool,
    /// Also send the repository's history, and report what in it looks like a secret; only with the first push
    #[arg(long)]
    pub history: bool,
    /// Print what was copied as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask pull`
#[derive(Debug, Clone, Default, Args)]
pub struct Pull {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Print what has changed as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask diff`
#[derive(Debug, Clone, Default, Args)]
pub struct Diff {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Show only these files or folders
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// Show only a summary
    #[arg(long)]
    pub stat: bool,
    /// Print on the terminal instead of in a pager
    #[arg(long)]
    pub no_pager: bool,
    /// Run this program with two folders: before and after
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["stat", "json"])]
    pub tool: Option<String>,
    /// Print the changes as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask apply`
#[derive(Debug, Clone, Default, Args)]
pub struct Apply {
    /// The sandbox
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Take only this file or folder, even if it is held back; may be repeated
    #[arg(long, value_name = "PATH")]
    pub only: Vec<String>,
    /// Ask about each hunk
    #[arg(short, long, conflicts_with = "json")]
    pub interactive: bool,
    /// Write a patch to this file, and leave the folder as it is
    #[arg(long, value_name = "FILE", conflicts_with = "branch")]
    pub output: Option<Utf8PathBuf>,
    /// Commit to a new branch on top of HEAD, and leave the folder as it is
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// Message of the commit
    #[arg(long, value_name = "TEXT", requires = "branch")]
    pub message: Option<String>,
    /// Print what was done as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask cp`
#[derive(Debug, Clone, Default, Args)]
pub struct Cp {
    /// A file or a folder: a path of the host, or NAME:PATH
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where it goes: a path of the host, or NAME:PATH
    #[arg(value_name = "TO")]
    pub to: String,
    /// Print what was copied as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// `cargo xtask trust`
#[derive(Debug, Clone, Default, Args)]
pub struct Trust {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: Utf8PathBuf,
    /// No longer trust it
    #[arg(long)]
    pub forget: bool,
}
