//! The files that the caller passes.

/// A file that the caller has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFile<'a> {
    /// How errors name it: `rave.toml`.
    pub name: &'a str,
    /// All of its text.
    pub text: &'a str,
    /// What it says.
    pub role: Role<'a>,
}

/// What a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role<'a> {
    /// Everything: the root of the tree.
    Settings,
    /// One profile, whose name is the file's: what a table `[profiles.NAME]` of the settings would say.
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
