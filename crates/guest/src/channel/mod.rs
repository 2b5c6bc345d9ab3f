//! How the host runs programs in the guest: many streams over one virtio-serial port.
//!
//! - [`frame`]: frames on the wire, and the decoder that finds them even after garbage.
//! - [`message`]: the JSON in frames.
//! - [`denied`]: what the network refused, as the guest shows it.
//! - [`identity`]: the identity of a clone.
//! - [`clock`]: sets a clock that was stopped.
//! - [`server`]: the guest's end, which starts programs.
//! - [`client`]: the host's end.
//! - [`session`]: how the server starts a program as a user.
//!
//! A session starts with [`frame::preamble`] and a `Hello` whose nonce is in all of its frames. Frames with another
//! nonce are left over from an earlier session, and are dropped. Neither side may send more bytes of a stream than the
//! other's credit allows, which is [`WINDOW`] at first.

pub mod client;
pub mod clock;
pub mod denied;
pub mod frame;
pub mod identity;
mod limits;
pub mod message;
pub mod provision;
pub mod relay;
pub mod server;
pub mod session;
pub mod user;

pub use limits::{MAX_JOBS, MAX_REQUEST, PORT_NAME, TIMEOUT_GRACE_MS, WINDOW};
