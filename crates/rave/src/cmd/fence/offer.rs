//! Which parts of QEMU's fence this host supports: probed in a separate process, reported as lines and rows.

use std::time::Duration;

use rave_fence::{Given, Offer, Part};
use rave_host::{Finding, Fix, State};
use rave_process::Cmd;
use rave_vm::fence::Fencer;

use crate::command_error::CommandError;
use crate::program::this_program;
use crate::ui::Ui;

/// How long the probe may take.
const LIMIT: Duration = Duration::from_secs(20);

/// The fencer of QEMU on this host: this program.
pub fn here() -> anyhow::Result<Fencer> {
    let program = this_program()?;
    let asked = Cmd::new(program.as_std_path()).args(["fence", "--probe"]).timeout(LIMIT).output()?;
    let offer: Offer = serde_json::from_slice(&asked.stdout)?;
    Ok(Fencer { program, arguments: vec!["fence".to_owned()], offer })
}

/// Warns about each missing part in one line.
pub fn report_missing(offer: &Offer, ui: &Ui) {
    for (part, what) in offer.missing() {
        ui.warn(&format!("QEMU is fenced without its {}: {what}; see cargo xtask doctor", part.name()));
    }
}

/// Refuses a host that does not support every part.
pub fn require(offer: &Offer) -> Result<(), CommandError> {
    let missing: Vec<String> =
        offer.missing().map(|(part, what)| format!("{}: {what}", part.name())).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let error = CommandError::host_not_ready("this host lacks parts of the fence that the sandbox requires");
    let error = missing.into_iter().fold(error, CommandError::detail);
    Err(error.remedy(
        "`cargo xtask doctor` shows how to add each part; a new sandbox does not require them without --require-fence and sandboxes.require-fence",
    ))
}

/// A row for each part, or one row that says why they are not known.
pub fn rows() -> Vec<Finding> {
    findings(here().map(|fencer| fencer.offer).as_ref())
}

fn findings(asked: Result<&Offer, &anyhow::Error>) -> Vec<Finding> {
    match asked {
        Ok(offer) => parts(offer),
        Err(error) => vec![Finding {
            name: "fence".to_owned(),
            found: format!("could not be probed: {error}"),
            needed: NEEDED.to_owned(),
            why: WHY,
            parts: &[rave_host::Part::Boot],
            state: State::Warning,
            fix: Fix::Advice(
                "`rave fence --probe` shows what fails; no machine is started without an answer".to_owned(),
            ),
        }],
    }
}

const NEEDED: &str = "if it is available";
const WHY: &str = "keeps a guest that took QEMU over from the rest of this host";

fn parts(offer: &Offer) -> Vec<Finding> {
    offer.parts().into_iter().map(|(part, given)| finding(part, given)).collect()
}

fn finding(part: Part, given: &Given) -> Finding {
    let missing = given.missing();
    Finding {
        name: format!("fence: {}", part.name()),
        found: missing.unwrap_or("works").to_owned(),
        needed: NEEDED.to_owned(),
        why: WHY,
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
    fn each_missing_part_is_reported_and_refused_if_required() {
        let whole = Offer { network: Given::Whole, files: Given::Whole, calls: Given::Whole };
        assert!(require(&whole).is_ok());
        assert!(parts(&whole).iter().all(|finding| finding.state == State::Ok));
        let lacks = Offer {
            network: Given::No("no namespaces".into()),
            files: Given::Partly("no truncation".into()),
            ..whole
        };
        let error = require(&lacks).unwrap_err();
        assert_eq!(error.detail, ["network namespace: no namespaces", "paths (Landlock): no truncation"]);
        let states: Vec<State> = parts(&lacks).iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Warning, State::Warning, State::Ok]);
    }

    #[test]
    fn a_host_whose_fence_is_unknown_has_a_row_with_the_reason() {
        let rows = findings(Err(&anyhow::anyhow!("the path of this program is not known")));
        assert_eq!((rows.len(), rows[0].state), (1, State::Warning));
        assert_eq!(rows[0].found, "could not be probed: the path of this program is not known");
    }
}
