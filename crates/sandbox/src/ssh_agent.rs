//! The key of the user's SSH agent that a sandbox may use, and the host.

use std::fs;
use std::io::ErrorKind;

use base64ct::{Base64, Encoding as _};
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::files::{remove, save};
use crate::place::Place;

/// A key for a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// The user's name for the key: the comment in its file, or the file's name.
    pub name: String,
    /// The public key in the format of SSH messages.
    pub key: Vec<u8>,
    /// The host as in `known_hosts`: `HOST`, or `[HOST]:PORT`.
    pub host: String,
}

impl Forwarded {
    /// Reads the file of a public key. The path may name the private key beside it, which is not read.
    pub fn of_file(path: &Utf8Path, host: &str) -> Result<Self, String> {
        let public =
            if path.extension() == Some("pub") { path.to_owned() } else { format!("{path}.pub").into() };
        let text = fs::read_to_string(&public).map_err(|error| format!("{public}: {error}"))?;
        let mut fields = text.trim().splitn(3, ' ');
        let kind = fields.next().unwrap_or_default();
        let key = fields.next().and_then(|field| Base64::decode_vec(field).ok());
        // The key repeats its kind (RFC 4253, 6.6).
        let fits = |key: &Vec<u8>| key.get(4..).is_some_and(|rest| rest.starts_with(kind.as_bytes()));
        let key = key
            .filter(|_| !kind.is_empty())
            .filter(fits)
            .ok_or_else(|| format!("{public} is not an SSH public key"))?;
        let name = fields.next().or(path.file_name()).unwrap_or(kind).to_owned();
        Ok(Self { name, key, host: host.to_owned() })
    }
}

/// Saves the key that a stopped sandbox may use from its next start; `None` revokes it.
pub fn keep(place: &Place, forwarded: Option<&Forwarded>) -> Result<(), Error> {
    match forwarded {
        Some(forwarded) => save(&place.ssh_agent(), forwarded),
        None => remove(&place.ssh_agent()),
    }
}

/// The key that it may use.
pub(crate) fn read(place: &Place) -> Result<Option<Forwarded>, Error> {
    let path = place.ssh_agent();
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path, error)),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::BadRecord { path, why: error.to_string() }),
    }
}
