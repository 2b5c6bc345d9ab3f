//! One file a command. Each returns how the process shall end, or a `Failure`.

pub(crate) mod bench;
pub(crate) mod ci;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod doctor;
pub(crate) mod double;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod smoke;
pub(crate) mod test;
pub(crate) mod update;
