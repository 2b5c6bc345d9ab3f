//! What this host gives of the fence of QEMU: asked of a process of its own, told in lines and rows.

use std::time::Duration;

use rave_fence::{Given, Offer, Part};
use rave_host::{Finding, Fix, State};
use rave_process::Cmd;
use rave_vm::fence::Fencer;

use super::this_program;
use crate::command_error::CommandError;
use crate::ui::Ui;

/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// What fences QEMU here: this program.
pub fn here() -> anyhow::Result<Fencer> {
    let program = this_program()?;
    let asked = Cmd::new(program.as_std_path()).args(["fence", "--probe"]).timeout(LIMIT).output()?;
    let offer: Offer = serde_json::from_slice(&asked.stdout)?;
    Ok(Fencer { program, arguments: vec!["fence".to_owned()], offer })
}

/// Says in a line for each part what is missing.
pub fn tell(offer: &Offer, ui: &Ui) {
    for (part, what) in offer.missing() {
        ui.warn(&format!("QEMU is fenced without its {}: {what}; see cargo xtask doctor", part.name()));
    }
}

/// Refuses a host that does not give all of it.
pub fn require(offer: &Offer) -> Result<(), CommandError> {
    let missing: Vec<String> =
        offer.missing().map(|(part, what)| format!("{}: {what}", part.name())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let error = CommandError::host_not_ready("this host cannot fence QEMU as it is required to");
    let error = missing.into_iter().fold(error, CommandError::detail);
    Err(error.remedy(
        "see `cargo xtask doctor` for each part, or do not require it (--require-fence, sandboxes.require-fence)",
    ))
}

/// A row for each part.
pub fn findings(offer: &Offer) -> Vec<Finding> {
    offer.parts().into_iter().map(|(part, given)| finding(part, given)).collect()
}

fn finding(part: Part, given: &Given) -> Finding {
    let missing = given.missing();
    Finding {
        name: format!("fence: {}", part.name()),
        found: missing.unwrap_or("works").to_owned(),
        needed: "if it is available".to_owned(),
        why: "keeps a guest that took QEMU over from the rest of this host",
        parts: &[rave_host::Part::Boot],
        state: if missing.is_some() { State::Warning } else { State::Ok },
        fix: missing.map_or(Fix::None, |_| Fix::Advice(advice(part).to_owned())),
    }
}

fn advice(part: Part) -> &'static str {
    match part {
        Part::Network => {
            "allow unprivileged user namespaces to this program: sysctl user.max_user_namespaces, on Ubuntu a profile of AppArmor \
             with `userns`, on older Debian sysctl kernel.unprivileged_userns_clone"
        }
        Part::Files => "boot Linux 6.2 or newer with landlock among `lsm=`",
        Part::Calls => "boot a kernel with CONFIG_SECCOMP_FILTER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_part_by_part_and_refused_where_it_is_required() {
        let whole = Offer { network: Given::Whole, files: Given::Whole, calls: Given::Whole };
        assert!(require(&whole).is_ok());
        assert!(findings(&whole).iter().all(|finding| finding.state == State::Ok));
        let lacks = Offer {
            network: Given::No("no namespaces".into()),
            files: Given::Partly("no truncation".into()),
            ..whole
        };
        let error = require(&lacks).unwrap_err();
        assert_eq!(error.detail, ["network namespace: no namespaces", "paths (Landlock): no truncation"]);
        let states: Vec<State> = findings(&lacks).iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Warning, State::Warning, State::Ok]);
    }
}
