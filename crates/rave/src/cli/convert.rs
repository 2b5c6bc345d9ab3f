//! The arguments of the commands that read any image: `convert` and `inspect`.

use camino::Utf8PathBuf;
use clap::Args;
use rave_spec::Compression;

use super::values::{FormatFlag, compression, format_or_all};

/// `cargo xtask convert`
#[derive(Debug, Clone, Args)]
pub struct Convert {
    /// The disk: raw, qcow2, VMDK, VHD, VHDX, VDI or another image that QEMU reads, an OVA, or one of these compressed
    #[arg(value_name = "FILE")]
    pub file: Utf8PathBuf,
    /// Also read the files that a qcow2 refers to, if you own them and they are in its folder or below
    #[arg(long)]
    pub allow_backing: bool,
    /// Treat FILE as a raw disk if its format is not recognised
    #[arg(long)]
    pub raw: bool,
    /// Target formats; may be repeated or comma-separated
    #[arg(
        long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format_or_all(), required = true
    )]
    pub formats: Vec<FormatFlag>,
    /// Compression of a qcow2; zstd also writes a .img.zst of a raw disk [default: compress of rave.toml]
    #[arg(long, value_name = "HOW", value_parser = compression())]
    pub compress: Option<Compression>,
    /// Folder of the results, which are named after FILE [default: the folder of FILE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
}

/// `cargo xtask inspect`
#[derive(Debug, Clone, Args)]
pub struct Inspect {
    /// An image, a .vmx or an .ovf; or the name of a sandbox, if no file has that name
    #[arg(value_name = "FILE|NAME")]
    pub file: Utf8PathBuf,
    /// Skip the guest's files, which take seconds to read
    #[arg(long)]
    pub no_content: bool,
    /// Print the result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
