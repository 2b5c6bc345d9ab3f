//! The flags of a release, with the mandatory ones as plain fields.

use std::ops::Deref;

use camino::Utf8Path;
use semver::Version;

use crate::cli::Cut;
use crate::command_error::CommandError;

/// The requested release; the other flags are available by dereference.
pub(super) struct Order<'a> {
    flags: &'a Cut,
    pub(super) version: &'a Version,
    pub(super) out: &'a Utf8Path,
    /// None if another host signs.
    pub(super) key: Option<&'a Utf8Path>,
}

impl<'a> Order<'a> {
    /// clap guarantees the mandatory flags, except for the commands about keys.
    pub(super) fn of(flags: &'a Cut) -> Result<Self, CommandError> {
        match (&flags.version, &flags.out, &flags.key, flags.unsigned) {
            (Some(version), Some(out), Some(key), false) => Ok(Self { flags, version, out, key: Some(key) }),
            (Some(version), Some(out), None, true) => Ok(Self { flags, version, out, key: None }),
            _ => Err(CommandError::usage("a release needs --version, --out, and --key or --unsigned")),
        }
    }
}

impl Deref for Order<'_> {
    type Target = Cut;

    fn deref(&self) -> &Cut {
        self.flags
    }
}
