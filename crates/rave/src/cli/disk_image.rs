//! `rave disk-image`: for builders, not for interactive use.

use camino::Utf8PathBuf;
use clap::Args;

/// `rave disk-image`
#[derive(Debug, Clone, Args)]
pub struct DiskImage {
    /// The store's registration, as written by nixpkgs' closureInfo
    #[arg(long, value_name = "FILE")]
    pub registration: Utf8PathBuf,
    /// The system to start, a path in the registration
    #[arg(long, value_name = "PATH")]
    pub system: String,
    /// Where the store is on this host
    #[arg(long, value_name = "DIR", default_value = rave_image::closure::store_path::STORE)]
    pub store: Utf8PathBuf,
    /// The kernel, a file or a link to one
    #[arg(long, value_name = "FILE")]
    pub kernel: Utf8PathBuf,
    /// Its initrd
    #[arg(long, value_name = "FILE")]
    pub initrd: Utf8PathBuf,
    /// The kernel's arguments
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub arguments: String,
    /// A folder whose content goes into the root folder, owned by root
    #[arg(long, value_name = "DIR")]
    pub files: Option<Utf8PathBuf>,
    /// UUID of the root file system, which the system names
    #[arg(long, value_name = "UUID")]
    pub root_uuid: String,
    /// Size of the ESP in MiB; the system mounts it at /boot
    #[arg(long, value_name = "MIB", default_value_t = rave_image::disk_image::ESP_MIB)]
    pub esp_mib: u64,
    /// A folder with GRUB's modules by platform; may be repeated [default: /usr/lib/grub]
    #[arg(long = "grub", value_name = "DIR")]
    pub grub: Vec<Utf8PathBuf>,
    /// The disk
    #[arg(long, value_name = "FILE")]
    pub out: Utf8PathBuf,
}
