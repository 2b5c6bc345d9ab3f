//! What an ISO carries for the installer, and where its live session has it.

/// Where the medium is mounted in the live session.
pub const MEDIUM: &str = "/run/rave/medium";

/// The disk to install, as the live session shows it.
pub const DISK: &str = "/run/rave/image/disk.raw";

/// The file system with that disk; relative to the medium.
pub const SQUASHFS: &str = "rave/disk.squashfs";

/// The digests of the medium's files, in the format of sha256sum(1); relative to the medium.
pub const DIGESTS: &str = "rave/SHA256SUMS";

/// What an initrd runs to find the medium and attach the root file system of the disk on it; a shell script.
pub const ATTACH: &str = include_str!("../assets/live-medium.sh");
