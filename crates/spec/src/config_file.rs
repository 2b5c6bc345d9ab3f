//! The files that the caller passes.

/// A file that the caller has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFile<'a> {
    /// Its name in errors: `rave.toml`.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its role.
    pub role: Role<'a>,
}

/// What a file contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// All settings: the root of the tree.
    Settings,
    /// One profile with the name of the file: the content of a table `[profiles.NAME]`.
    Profile(&'a str),
}

impl<'a> ConfigFile<'a> {
    /// A file such as `rave.toml`.
    pub const fn settings(name: &'a str, text: &'a str) -> Self {
        Self { name, text, role: Role::Settings }
    }

    /// A file such as `profiles/simple.toml`, for the profile of that name.
    pub const fn profile(name: &'a str, profile: &'a str, text: &'a str) -> Self {
        Self { name, text, role: Role::Profile(profile) }
    }
}
