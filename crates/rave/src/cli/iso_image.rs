//! `rave iso-image`: for builders, not for interactive use.

use camino::Utf8PathBuf;
use clap::Args;

/// `rave iso-image`
#[derive(Debug, Clone, Args)]
pub struct IsoImage {
    /// The disk, in a file called disk.raw
    #[arg(long, value_name = "FILE")]
    pub disk: Utf8PathBuf,
    /// The kernel of the system on it
    #[arg(long, value_name = "FILE")]
    pub kernel: Utf8PathBuf,
    /// Its initrd, which can start a live session
    #[arg(long, value_name = "FILE")]
    pub initrd: Utf8PathBuf,
    /// The kernel's arguments, besides those that name the medium
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub arguments: String,
    /// A folder with GRUB's modules by platform; may be repeated [default: /usr/lib/grub]
    #[arg(long = "grub", value_name = "DIR")]
    pub grub: Vec<Utf8PathBuf>,
    /// The ISO
    #[arg(long, value_name = "FILE")]
    pub out: Utf8PathBuf,
}
