//! The host's end of a sandbox's network: a gateway as a library. It receives the guest's frames; whatever the policy
//! allows leaves as connections of this process, and nothing else leaves.
//!
//! - [`Network`]: the thread at the other end of QEMU's network card.
//! - [`Policy`], [`Rule`]: what may be reached, as pure data.
//! - [`Log`]: what was refused, and why.
//! - [`Witness`]: keeps a record of all that happens; while it cannot, nothing happens.
//!
//! The guest is not trusted: every buffer, table and rate is bounded, and whatever cannot be parsed is dropped. Nothing
//! here prints.

mod access;
mod authority;
mod body;
mod credential;
mod denials;
mod dhcp;
mod dial;
mod dns;
mod end;
mod flow;
mod flows;
mod forward;
mod framing;
pub mod fuzzing;
mod gate;
mod group;
mod head;
mod hello;
mod http;
mod incoming;
mod inspected;
mod inspector;
mod journal;
pub mod lan;
mod link;
mod mask;
mod message;
mod model;
mod name;
mod narrow;
mod network;
mod outgoing;
mod own;
mod page_body;
mod page_head;
mod page_policy;
mod pages;
mod policy;
mod poller;
mod pool;
mod provider;
mod proxy;
mod replies;
mod rule;
mod secret;
mod shared;
mod special;
mod stack;
mod switch;
mod threads;
mod upstream;
mod wake;
mod witness;

pub use access::Access;
pub use authority::KEY_FILE as AUTHORITY_KEY;
pub use dial::{Outbound, Resolve, by_the_host};
pub use forward::{Forward, closed};
pub use group::{Group, Groups, MAX_ORIGINS, Origin};
pub use journal::{Denial, Log};
pub use model::{Key, Limits, Model, Price, Usage};
pub use name::{BadName, HostName, NamePattern};
pub use network::{Network, Prepared, Settings};
pub use policy::{Check, Destination, Grant, MAX_RULES, Mode, Policy, Refusal, Resolvable};
pub use proxy::{Proxies, ProxyUrl};
pub use rule::{BadRule, Host, Network as AddressRange, Ports, Rule};
pub use secret::{Secret, Source};
pub use upstream::Trust;
pub use witness::{Kind, NoRecord, Seen, Witness};
