//! What an ISO contains for the installer, and its paths in the live session.

/// The mount point of the medium in the live session.
pub const MEDIUM: &str = "/run/rave/medium";

/// The disk to install, in the live session.
pub const DISK: &str = "/run/rave/image/disk.raw";

/// The file system with that disk; relative to the medium.
pub const SQUASHFS: &str = "rave/disk.squashfs";

/// The digests of the medium's files, in the format of sha256sum(1); relative to the medium.
pub const DIGESTS: &str = "rave/SHA256SUMS";

/// A shell script for the initrd that finds the medium and attaches the root file system of its disk.
pub const ATTACH: &str = include_str!("../assets/live-medium.sh");
