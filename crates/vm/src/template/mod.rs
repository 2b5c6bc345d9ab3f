//! Templates: machines that were booted to the barrier of their guest and saved there, for clones to go on from.
//!
//! - [`Recipe`], [`Key`]: what a template is made of, and what a clone must have in common with it.
//! - [`Templates`]: those of a state folder; whole or not there.
//! - [`make`]: boots one and saves it.
//! - [`Template::hold_in`]: what a clone needs, in its own folder.
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
