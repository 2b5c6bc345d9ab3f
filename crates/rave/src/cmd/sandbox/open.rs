//! `cargo xtask open`: a page of a sandbox in the user's browser.

use rave_process::Cmd;
use rave_sandbox::SandboxName;
use rave_sandbox::control::Status;
use rave_vm::accel::Accelerator;
use rave_vm::ports::PortForward;

use super::attend::{Named, wait};
use super::describe::forward_of;
use crate::cli;
use crate::cmd::run::deadline;
use crate::cmd::run::services::page;
use crate::exit::Code;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Open, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let address = address(&named.name, &forward_of(&named, &args.service)?);
    if args.print {
        ui.data(&address);
        return Ok(Code::Ok);
    }
    let is_open = |status: &Status| !status.starting.contains(&args.service);
    wait(&named.place(), named.connect(ui)?, deadline(Accelerator::Tcg), ui, is_open)?;
    // xdg-open(1) leaves the browser behind and ends.
    match Cmd::new("xdg-open").arg(&address).output() {
        Ok(_) => ui.note(&format!("opened {address}")),
        Err(error) => {
            ui.warn(&format!("no browser was started: {error}"));
            ui.data(&address);
        }
    }
    Ok(Code::Ok)
}

/// A host name of the sandbox's own, which browsers resolve to this host (RFC 6761, section 6.3): it separates the
/// cookies of two sandboxes, which a port does not.
fn address(name: &SandboxName, forward: &PortForward) -> String {
    format!("http://{name}.localhost:{}{}", forward.host, page(&forward.service))
}
