//! npm stores downloads under their digests (cacache: `content-v2/ALGORITHM/aa/bb/REST`), and reads them from there
//! without its index if the lock has the digest.

use std::fmt::Write as _;

use base64ct::{Base64, Encoding as _};
use camino::Utf8PathBuf;

use super::types::{Caches, Input, Kind};
use crate::error::Error;
use crate::npm_tools::NpmPackage;

pub(super) fn input(caches: Caches<'_>, package: &NpmPackage) -> Result<Input, Error> {
    let plain = package.name.trim_start_matches('@').replace('/', "+");
    Ok(Input {
        kind: Kind::Npm,
        name: package.name.clone(),
        version: package.version.clone(),
        path: format!("npm/{plain}-{}.tgz", package.version),
        integrity: Some(package.integrity.clone()),
        locked: None,
        file: place(caches, &package.integrity)?,
    })
}

pub(super) fn place(caches: Caches<'_>, integrity: &str) -> Result<Utf8PathBuf, Error> {
    let wrong =
        |detail: &str| Error::Input { what: format!("integrity {integrity:?}"), detail: detail.into() };
    let (algorithm, value) = integrity.split_once('-').ok_or_else(|| wrong("it has no algorithm"))?;
    if !["sha512", "sha256", "sha1"].contains(&algorithm) {
        return Err(wrong("its algorithm is not known"));
    }
    let bytes = Base64::decode_vec(value).map_err(|_| wrong("it is not Base64"))?;
    let digits = bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}"); // a String takes all
        digits
    });
    let (Some(first), Some(second), Some(rest)) = (digits.get(..2), digits.get(2..4), digits.get(4..)) else {
        return Err(wrong("it is too short"));
    };
    Ok(caches.builds.join("npm/_cacache/content-v2").join(algorithm).join(first).join(second).join(rest))
}
