//! Limits of the channel.

/// The name of the virtio-serial port; in the guest `/dev/virtio-ports/` + this name.
pub const PORT_NAME: &str = "org.rave.channel";

/// The most bytes of a stream in transit, in each direction.
pub const WINDOW: u32 = 128 * 1024;

/// The largest number of programs at the same time.
pub const MAX_JOBS: usize = 128;

/// The longest request with its arguments and variables, in bytes. Linux itself allows 2 MiB (execve(2)).
pub const MAX_REQUEST: usize = 1024 * 1024;

/// The milliseconds between SIGTERM and SIGKILL for a program that timed out.
pub const TIMEOUT_GRACE_MS: u64 = 5_000;
