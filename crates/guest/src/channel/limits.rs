//! What bounds the channel.

/// Name of the virtio-serial port; in the guest `/dev/virtio-ports/` + this name.
pub const PORT_NAME: &str = "org.rave.channel";

/// Bytes of a stream that may be on their way in each direction.
pub const WINDOW: u32 = 128 * 1024;

/// Programs that run at once.
pub const MAX_JOBS: usize = 128;

/// The longest request, bytes: its arguments and variables. Linux itself takes 2 MiB (execve(2)).
pub const MAX_REQUEST: usize = 1024 * 1024;

/// How a program is ended whose time is over: after SIGTERM it has so many milliseconds until SIGKILL.
pub const TIMEOUT_GRACE_MS: u64 = 5_000;
