//! The user's SSH agent, restricted to one key and one host.

mod host;
mod session;
mod wire;

pub(crate) use host::Agent;
pub(crate) use session::{Done, Session};
