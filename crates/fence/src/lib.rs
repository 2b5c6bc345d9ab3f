//! Restricts what a program may do on this host: a process permanently gives up rights, and then becomes the program.
//!
//! - [`Rules`]: what stays allowed.
//! - [`enter`]: removes all other rights from this process.
//! - [`Offer`]: what this host can restrict.
//!
//! | part | by | what is gone |
//! | --- | --- | --- |
//! | [`Part::Network`] | an empty network namespace | every interface, the host's loopback, abstract Unix sockets |
//! | [`Part::Files`] | Landlock | every path that is not listed; tracing of other processes, and signals to them |
//! | [`Part::Calls`] | a seccomp filter | `connect`, sockets except Unix streams, `ptrace`, signals to others, namespaces, mounts, modes and owners of files |
//!
//! They overlap: what one part lacks on a host, another mostly covers. Linux only.

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

/// Permanently removes all rights except those in `rules` from this process and any program that it becomes. The
/// process must have a single thread.
pub fn enter(rules: &Rules) -> Result<(), Error> {
    if rules.network {
        namespace::empty_network()?;
    }
    // Filters and Landlock require this too: no program that the process becomes has more rights than it has.
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
