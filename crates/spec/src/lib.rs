//! `rave.toml` as types: parse, then validate; pure, no I/O.
//!
//! The caller passes the texts of `rave.toml` and `rave.local.toml` and the environment to [`load`], and gets either a
//! [`Spec`] with the origin of each value, or every problem at once, each with its place.
//!
//! Layers are merged key by key, the highest wins; a list replaces a list. Each layer is checked on its own too: a wrong
//! value in `rave.toml` is a problem even where `rave.local.toml` overrides it, because Nix reads that file alone.

mod check;
mod document;
mod effective;
mod environment;
mod names;
mod nearest;
mod nixos;
mod origin;
mod parse;
mod problem;
mod reader;
mod refusal;
mod sizes;
mod spec;
mod syntax;
mod value;

pub use effective::{Effective, effective};
pub use environment::{TOOL_VARIABLES, VARIABLES, Variable};
pub use names::{
    Base, Compression, Date, Feature, Format, Hostname, PackageName, ProfileName, ServiceName, Suite,
    UserName,
};
pub use nearest::nearest;
pub use nixos::{MAX_JOBS_LIMITS, Nixos, RemoteBuilder, Substituter};
pub use origin::{Origin, Origins};
pub use parse::SCHEMA;
pub use problem::{Errors, Place, Problem};
pub use refusal::Refusal;
pub use sizes::{CPUS_LIMITS, DISK_LIMITS, Limits, MEMORY_LIMITS, MebiBytes, Port};
pub use spec::{
    Compress, Debian, Defaults, Extra, Guest, Profile, Service, Services, Spec, UnknownName, VmSize,
    WELL_KNOWN_PASSWORD,
};

/// A file that the caller has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
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

impl<'a> Source<'a> {
    /// A file such as `rave.toml`.
    pub const fn settings(name: &'a str, text: &'a str) -> Self {
        Self { name, text, role: Role::Settings }
    }

    /// A file such as `profiles/simple.toml`, for the profile of that name.
    pub const fn profile(name: &'a str, profile: &'a str, text: &'a str) -> Self {
        Self { name, text, role: Role::Profile(profile) }
    }
}

/// What the layers say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The values.
    pub spec: Spec,
    /// Where each comes from.
    pub origins: Origins,
}

/// Reads the files, lowest priority first, and then the environment, of which only `RAVE_*` counts.
///
/// # Errors
/// Every problem of every layer, in the order of the files, lines and columns, then the variables.
pub fn load(files: &[Source<'_>], env: &[(String, String)]) -> Result<Loaded, Errors> {
    let documents: Vec<_> = files.iter().map(document::Document::parse).collect();
    let (variables, mut problems) = environment::read(env);
    problems.extend(documents.iter().flat_map(|document| document.problems.iter().cloned()));
    let mut reader = reader::Reader::new(variables, problems);
    let spec = parse::spec(reader::Section::root(&documents), &mut reader);
    let reader::Reader { mut problems, origins, .. } = reader;
    match spec {
        Some(spec) if problems.is_empty() => Ok(Loaded { spec, origins }),
        _ => {
            let order = |place: &Place| match place {
                Place::File { file, line, column } => {
                    (files.iter().position(|source| source.name == file), *line, *column)
                }
                Place::Variable(_) => (Some(files.len()), 0, 0),
            };
            problems.sort_by_key(|problem| order(&problem.place));
            Err(Errors(problems))
        }
    }
}
