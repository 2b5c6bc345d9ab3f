//! The host's end of a sandbox's network: a gateway that is a library. Frames of the guest come in; what the policy allows goes
//! out as connections of this process, and nothing else does.
//!
//! - [`Network`]: the thread that is the other end of QEMU's network card.
//! - [`Policy`], [`Rule`]: what may be reached, as pure data.
//! - [`Log`]: what was refused, and why.
//!
//! The guest is not trusted: every buffer, table and rate is bounded, and whatever is not understood is dropped. Nothing here prints.

mod dhcp;
mod dial;
mod dns;
mod flow;
mod flows;
mod forward;
mod framing;
pub mod fuzzing;
mod gate;
mod hello;
mod http;
mod incoming;
mod journal;
pub mod lan;
mod link;
mod name;
mod network;
mod outgoing;
mod own;
mod policy;
mod poller;
mod pool;
mod replies;
mod rule;
mod shared;
mod special;
mod stack;
mod switch;
mod wake;

pub use dial::{Resolve, by_the_host};
pub use forward::{Forward, closed};
pub use journal::{Denial, Kind, Log};
pub use name::{BadName, HostName, NamePattern};
pub use network::{Network, Settings};
pub use policy::{Check, Destination, Grant, MAX_RULES, Mode, Policy, Refusal, Resolvable};
pub use rule::{BadRule, Host, Network as AddressRange, Ports, Rule};
