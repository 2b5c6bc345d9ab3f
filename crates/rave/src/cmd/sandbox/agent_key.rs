//! `--ssh-agent`: which key of the user's SSH agent a sandbox may use until it stops.

use rave_sandbox::Place;
use rave_sandbox::ssh_agent::{self, Forwarded};
use rave_sandbox::state::current_state;

use crate::cli::AgentKey;
use crate::command_error::CommandError;

/// Stores the key for the following start; without the flag no key may be used. A running sandbox is not changed.
pub(super) fn keep(place: &Place, wanted: Option<&AgentKey>) -> anyhow::Result<()> {
    let wrong = |why: &str, remedy: &str| CommandError::usage(format!("--ssh-agent: {why}")).remedy(remedy);
    if current_state(place).qemu.is_some() {
        return match wanted {
            Some(_) => Err(wrong(
                &format!("the sandbox {} is already running", place.name()),
                "stop it, and start it with the flag",
            )
            .into()),
            None => Ok(()),
        };
    }
    if wanted.is_some() && std::env::var_os("SSH_AUTH_SOCK").is_none() {
        return Err(
            wrong("SSH_AUTH_SOCK is not set", "start an agent, and add the key to it: ssh-add KEY").into()
        );
    }
    let forwarded = wanted.map(|wanted| Forwarded::of_file(&wanted.key, &wanted.host)).transpose();
    let forwarded = forwarded.map_err(|why| {
        wrong(&why, "name the file of a public key, KEY.pub, or of the private key beside which it lies")
    })?;
    Ok(ssh_agent::keep(place, forwarded.as_ref())?)
}
