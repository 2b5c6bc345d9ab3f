//! The kernel's random generator. Two clones share its state until it is reseeded.

use crate::error::Error;
use crate::files::{self, failed};
use crate::system;
use linux_crng_ioctl::ioctl::{add_randomness_to_kernel, force_kernel_crng_reseed};
use std::path::Path;

/// The seed that systemd-random-seed(8) uses at the next boot.
const SEED: &str = "/var/lib/systemd/random-seed";

/// Credits the host's entropy (`RNDADDENTROPY`), and uses it at once (`RNDRESEEDCRNG`), random(4).
pub(super) fn reseed(entropy: &[u8]) -> Result<(), Error> {
    let bits = u32::try_from(entropy.len() * 8).unwrap_or(u32::MAX);
    add_randomness_to_kernel(entropy, bits)
        .and_then(|()| force_kernel_crng_reseed())
        .map_err(|error| failed("reseed", "/dev/random")(std::io::Error::other(error.to_string())))
}

/// Clones must not share the template's seed.
pub(super) fn renew_seed_file() -> Result<(), Error> {
    let path = Path::new(SEED);
    if !path.exists() {
        return Ok(());
    }
    files::write_unsynced(path, 0o600, system::random::<512>()?)
}
