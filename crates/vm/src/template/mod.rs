//! Templates: machines that were booted to the barrier of their guest and saved there, for clones to resume from.
//!
//! - [`Recipe`], [`Key`]: what a template is made from, and what a clone must have in common with it.
//! - [`Templates`]: the templates of a state folder; each is complete or missing.
//! - [`make`]: boots a machine and saves it.
//! - [`Template::hold_in`]: links what a clone needs into its own folder.
//! - [`crate::standalone::Standalone::start_clone`]: a clone.

mod barrier;
mod check;
mod files;
mod key;
mod make;
mod recipe;
mod save;
mod store;

pub(crate) use barrier::begin;
pub use barrier::renew;
pub use check::Damage;
pub(crate) use check::Fingerprint;
pub use files::Template;
pub(crate) use key::hexadecimal;
pub use key::{HostProcessor, Key, KeyId};
pub use make::{Making, StartNetwork, make};
pub use recipe::{Recipe, credential};
pub(crate) use save::{restore, resume};
pub use store::{Found, TemplateLock, Templates};
