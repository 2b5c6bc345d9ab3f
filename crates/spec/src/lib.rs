//! `rave.toml` as types: parse, then validate; pure, no I/O.
//!
//! The caller passes the texts of `rave.toml` and `rave.local.toml` and the environment to [`load`], and gets either a
//! [`Spec`] with the origin of each value, or all errors at once, each with its place.
//!
//! Layers are merged key by key, and the highest one wins; a list replaces a list. Each layer is also checked
//! separately: an invalid value in `rave.toml` is an error even if `rave.local.toml` overrides it, because Nix only
//! reads the former.

mod check;
mod config_file;
mod diagnostic;
mod document;
mod effective;
mod environment;
mod invalid_value;
mod load;
mod mirror;
mod names;
mod nearest;
mod network;
mod nixos;
mod node;
mod origin;
mod parse;
mod reader;
mod services;
mod sizes;
mod spec;
mod syntax;
mod url;
mod value;
mod workspace;

pub use check::{CERTIFICATE_SUFFIXES, KEY_KINDS, UNIT_SUFFIXES};
pub use config_file::{ConfigFile, Role};
pub use diagnostic::{Diagnostic, Errors, Place};
pub use effective::{Effective, effective};
pub use environment::{TOOL_VARIABLES, VARIABLES, Variable};
pub use invalid_value::InvalidValue;
pub use load::{Loaded, load};
pub use mirror::{MIRROR_SCHEMES, Mirror};
pub use names::{
    Base, ClaudeCode, Compression, Date, Feature, Format, Hostname, LicenceName, NetworkMode, PackageName,
    ProfileName, RESERVED_USERS, ServiceName, Suite, UserName,
};
pub use nearest::nearest;
pub use network::{NETWORK_RULE_MAX, NetworkDefaults, NetworkRule};
pub use nixos::{
    BUILDER_FIELDS, BUILDER_SCHEMES, MAX_JOBS_LIMITS, Nixos, RemoteBuilder, SUBSTITUTER_SCHEMES, Substituter,
};
pub use origin::{Origin, Origins};
pub use parse::SCHEMA;
pub use sizes::{
    CPUS_LIMITS, DISK_LIMITS, KEEP_AUDIT_LIMITS, Limits, MEMORY_LIMITS, MebiBytes, Port, SANDBOXES_LIMITS,
};
pub use spec::{
    Compress, Debian, Defaults, Extra, Guest, Profile, Release, SandboxLimits, Service, Services, Spec,
    Tools, UnknownName, VmSize, WELL_KNOWN_PASSWORD,
};
pub use workspace::{WORKSPACE_FILE, WORKSPACE_MAX, WorkspaceSettings, workspace};
