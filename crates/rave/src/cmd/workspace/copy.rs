//! `cargo xtask cp`.

use rave_audit::{Event, Way};
use rave_workspace::copy::{Copied, End, from_guest, into_guest};

use super::guest::SandboxGuest;
use crate::cli;
use crate::cmd::sandbox::attend::Named;
use crate::cmd::sandbox::audit::note;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::ui::Ui;

pub(super) fn run(args: &cli::Cp, ui: &Ui) -> anyhow::Result<Code> {
    let copied: Copied = match (End::new(&args.from), End::new(&args.to)) {
        (End::Host(from), End::Guest(name, to)) => {
            let named = Named::new(&name)?;
            named.store.get(&named.name)?;
            note(&named, &Event::Copy { way: Way::In }, ui);
            into_guest(&SandboxGuest::new(&named, None, ui)?, &from, &to)?
        }
        (End::Guest(name, from), End::Host(to)) => {
            let named = Named::new(&name)?;
            named.store.get(&named.name)?;
            note(&named, &Event::Copy { way: Way::Out }, ui);
            from_guest(&SandboxGuest::new(&named, None, ui)?, &from, &to)?
        }
        _ => {
            return Err(CommandError::usage("one of the two must be in a sandbox: NAME:PATH")
                .remedy("write a path of the host whose name has a colon as ./PATH")
                .into());
        }
    };
    if args.json {
        ui.json(&copied)?;
    } else {
        for (path, why) in &copied.left {
            ui.warn(&format!("{path} was not copied: {}", rave_workspace::escape::escaped(why.as_bytes())));
        }
    }
    Ok(if copied.left.is_empty() { Code::Ok } else { Code::CheckFailed })
}
