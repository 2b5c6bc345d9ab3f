//! How the host runs programs in the guest: many streams over one virtio-serial port.
//!
//! - [`frame`]: frames on the wire, and the decoder that finds them again after anything.
//! - [`message`]: what the frames carry, as JSON.
//! - [`denied`]: what the network refused, as the guest shows it.
//! - [`identity`]: what a clone of a template becomes.
//! - [`clock`]: a clock that stood.
//! - [`server`]: the guest's end, which starts programs.
//! - [`client`]: the host's end.
//! - [`session`]: how the server starts a program as a user.
//!
//! A host session begins with [`frame::preamble`] and a `Hello` whose nonce is in each frame from then on. Frames of another
//! nonce are what an earlier session left, and are dropped. No side may send more bytes of a stream than the other has given
//! it credit for, [`WINDOW`] at first.

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
