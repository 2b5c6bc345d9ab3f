//! Versions of Nix.

use std::fmt;

/// The oldest version known to support everything needed: `nix build --json` with times, `builtins.fromTOML` of TOML
/// 1.0.
pub const OLDEST: NixVersion = NixVersion(2, 18);

/// Major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NixVersion(pub u32, pub u32);

impl fmt::Display for NixVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}
