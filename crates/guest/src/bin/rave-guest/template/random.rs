//! The kernel's random generator. Two clones have the same state in it until it is reseeded.

use crate::error::Error;
use crate::files::{self, failed};
use crate::system;
use linux_crng_ioctl::ioctl::{add_randomness_to_kernel, force_kernel_crng_reseed};
use std::path::Path;

/// What systemd-random-seed(8) gives the generator at the next boot.
const SEED: &str = "/var/lib/systemd/random-seed";

/// Credits what the host sent (`RNDADDENTROPY`), and takes it into use at once (`RNDRESEEDCRNG`), random(4).
pub(super) fn reseed(entropy: &[u8]) -> Result<(), Error> {
    let bits = u32::try_from(entropy.len() * 8).unwrap_or(u32::MAX);
    add_randomness_to_kernel(entropy, bits)
        .and_then(|()| force_kernel_crng_reseed())
        .map_err(|error| failed("reseed", "/dev/random")(std::io::Error::other(error.to_string())))
}

/// The template's seed must not be every clone's.
pub(super) fn renew_seed_file() -> Result<(), Error> {
    let path = Path::new(SEED);
    if !path.exists() {
        return Ok(());
    }
    files::write_unsynced(path, 0o600, system::random::<512>()?)
}
