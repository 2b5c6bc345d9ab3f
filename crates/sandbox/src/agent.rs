//! The user's SSH agent, for one key at one host.

mod host;
mod session;
mod wire;

pub(crate) use host::Agent;
pub(crate) use session::{Done, Session};
