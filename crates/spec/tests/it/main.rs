//! The crate as its callers see it.

mod bad;
mod environment;
mod layers;
mod properties;
mod shipped;

use rave_spec::{ConfigFile, Errors, Loaded, load};

/// A small valid `rave.toml`; the cases of `bad.toml` are edits of it.
const GOOD: &str = include_str!("../good.toml");

/// Loads only `rave.toml`.
fn load_one(text: &str) -> Result<Loaded, Errors> {
    load(&[ConfigFile::settings("rave.toml", text)], &[])
}

/// Loads [`GOOD`] with a `rave.local.toml` on top.
fn load_local(local: &str) -> Result<Loaded, Errors> {
    load(&[ConfigFile::settings("rave.toml", GOOD), ConfigFile::settings("rave.local.toml", local)], &[])
}

/// Loads [`GOOD`] with variables on top.
fn load_env(variables: &[(&str, &str)]) -> Result<Loaded, Errors> {
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&[ConfigFile::settings("rave.toml", GOOD)], &variables)
}
