//! What a program may do on this host: a process takes rights from itself, forever, and becomes the program.
//!
//! - [`Rules`]: what stays allowed.
//! - [`enter`]: takes the rest away from this process.
//! - [`Offer`]: what this host can take away.
//!
//! | part | by | what is gone |
//! | --- | --- | --- |
//! | [`Part::Network`] | a network namespace with nothing in it | every interface, the host's loopback, abstract Unix sockets |
//! | [`Part::Files`] | Landlock | every path that is not named; tracing of other processes, and signals to them |
//! | [`Part::Calls`] | a seccomp filter | `connect`, sockets but Unix streams, `ptrace`, signals to others, namespaces, mounts, modes and owners of files |
//!
//! They overlap: what one lacks on a host, another mostly has. Linux only.

mod calls;
mod capabilities;
mod error;
mod namespace;
mod offer;
mod paths;
mod rules;

pub use error::Error;
pub use offer::{Given, Offer, Part};
pub use rules::Rules;

/// Takes from this process all that `rules` do not leave it, and from whatever it becomes. It must have one thread.
pub fn enter(rules: &Rules) -> Result<(), Error> {
    if rules.network {
        namespace::empty_network()?;
    }
    // Filters and Landlock ask for it too: no program that it becomes has more rights than it has.
    rustix::thread::set_no_new_privs(true).map_err(|e| Error::system("give up new privileges", e))?;
    capabilities::drop()?;
    if rules.files {
        paths::restrict(rules)?;
    }
    if rules.calls {
        calls::restrict()?;
    }
    Ok(())
}
