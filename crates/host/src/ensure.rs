//! What commands call first: everything is there, or it is installed, or the error says what to do.

use std::slice;

use rave_process::interrupt;

use crate::context::{Consent, Context, Dialog};
use crate::error::Error;
use crate::examine::examine;
use crate::install;
use crate::install_plan::InstallPlan;
use crate::needs::Needs;
use crate::report::{Finding, Fix, NOT_FOUND, State};
use crate::requirement::Part;
use crate::system::Host;

/// Makes sure that the host has what a command needs. Some tens of milliseconds when all is there.
pub fn ensure(context: Context<'_>, dialog: &Dialog<'_>, needs: Needs) -> Result<(), Error> {
    let findings = resolve(context, dialog, needs.parts(context.base))?;
    for finding in findings.iter().filter(|finding| finding.state == State::Warning) {
        dialog.warn(&warning(finding));
    }
    if needs == Needs::Test { for_tests(context, dialog) } else { Ok(()) }
}

fn warning(finding: &Finding) -> String {
    let fact = format!("{}: {}, needed is {}", finding.name, finding.found, finding.needed);
    match &finding.fix {
        Fix::Advice(advice) => format!("{fact}; {advice}"),
        Fix::None | Fix::Package(_) | Fix::RootCommand(_) => fact,
    }
}

/// What only tests need, installed where that is wanted and can be done. The others run without it.
fn for_tests(context: Context<'_>, dialog: &Dialog<'_>) -> Result<(), Error> {
    const PARTS: &[Part] = &[Part::Test];
    let findings = examine(context, PARTS);
    if findings.iter().all(|finding| finding.state != State::Optional) {
        return Ok(());
    }
    let host = Host::look();
    let plan = InstallPlan::of(&findings, State::Optional, &host);
    let wanted = is_wanted(dialog, &findings, State::Optional, &plan, &host);
    if wanted
        && install::can(&host, &plan, may_ask(dialog))
        && install::run(&plan, &host, dialog.sink).is_err()
    {
        // One that this release does not have should not cost the others.
        for finding in findings.iter().filter(|finding| finding.state == State::Optional) {
            interrupt::check()?;
            let plan = InstallPlan::of(slice::from_ref(finding), State::Optional, &host);
            if let Err(error) = install::run(&plan, &host, dialog.sink) {
                dialog.warn(&format!("{}: {}", finding.name, lines(&error).join("\n")));
            }
        }
    }
    let findings = examine(context, PARTS);
    let optional = findings.iter().filter(|finding| finding.state == State::Optional);
    let names: Vec<&str> = optional.map(|finding| finding.name.as_str()).collect();
    if !names.is_empty() {
        dialog.note(&format!("tests that need this will not run: {}", names.join(", ")));
        let plan = InstallPlan::of(&findings, State::Optional, &host);
        plan.commands(&host).iter().for_each(|line| dialog.note(&format!("  $ {line}")));
    }
    Ok(())
}

/// An error as lines of a warning.
fn lines(error: &Error) -> Vec<String> {
    let mut lines = vec![error.to_string()];
    lines.extend(error.facts().iter().map(|fact| format!("  {fact}")));
    if !error.remedy().is_empty() {
        lines.push(format!("remedy: {}", error.remedy()));
    }
    lines
}

/// The findings of `parts`, all of them usable. What is missing is installed with consent; else it is an error with the
/// exact commands.
pub fn resolve(context: Context<'_>, dialog: &Dialog<'_>, parts: &[Part]) -> Result<Vec<Finding>, Error> {
    let findings = examine(context, parts);
    if findings.iter().all(|finding| finding.state != State::Missing) {
        return Ok(findings);
    }
    let host = Host::look();
    let plan = InstallPlan::of(&findings, State::Missing, &host);
    let asks_in_vain = matches!(dialog.consent, Consent::Ask(_)) && !plan.is_complete();
    if asks_in_vain
        || !is_wanted(dialog, &findings, State::Missing, &plan, &host)
        || !install::can(&host, &plan, may_ask(dialog))
    {
        return Err(not_ready(&findings, &plan, &host));
    }
    install::run(&plan, &host, dialog.sink)?;
    let findings = examine(context, parts);
    if findings.iter().all(|finding| finding.state != State::Missing) {
        return Ok(findings);
    }
    let host = Host::look();
    Err(not_ready(&findings, &InstallPlan::of(&findings, State::Missing, &host), &host))
}

/// Whether sudo may ask for a password.
fn may_ask(dialog: &Dialog<'_>) -> bool {
    matches!(dialog.consent, Consent::Ask(_))
}

fn is_wanted(
    dialog: &Dialog<'_>,
    findings: &[Finding],
    state: State,
    plan: &InstallPlan,
    host: &Host,
) -> bool {
    let ask = match dialog.consent {
        Consent::Given => return true,
        Consent::Withheld => return false,
        Consent::Ask(ask) => ask,
    };
    dialog.note("this host lacks:");
    absent(findings, state).for_each(|line| dialog.note(&line));
    plan.commands(host).iter().for_each(|line| dialog.note(&format!("  $ {line}")));
    ask("run these commands now?")
}

/// A line for each finding in `state`: what is not there, and what it would be for.
fn absent(findings: &[Finding], state: State) -> impl Iterator<Item = String> + '_ {
    findings.iter().filter(move |finding| finding.state == state).map(|finding| {
        let Finding { name, why, found, needed, .. } = finding;
        if found == NOT_FOUND {
            format!("  {name}: {why} (not found)")
        } else {
            format!("  {name}: {why} (found {found}, needed {needed})")
        }
    })
}

/// The error that names everything that is missing and the commands that mend it.
fn not_ready(findings: &[Finding], plan: &InstallPlan, host: &Host) -> Error {
    let missing = absent(findings, State::Missing).map(|line| line.trim_start().to_owned()).collect();
    let commands = plan.commands(host);
    let mut remedy = Vec::new();
    if !commands.is_empty() {
        let who = if host.is_root || host.has_sudo { "" } else { " as root" };
        let with_yes = if install::is_supported(plan) && (host.is_root || host.has_sudo) {
            "give --yes, or "
        } else {
            ""
        };
        remedy.push(format!("{with_yes}run{who}:"));
        remedy.extend(commands.into_iter().map(|line| format!("  {line}")));
    }
    let indent = if remedy.is_empty() || plan.advice.is_empty() {
        ""
    } else {
        remedy.push("and by hand:".to_owned());
        "  "
    };
    remedy.extend(plan.advice.iter().map(|advice| format!("{indent}{advice}")));
    Error::NotReady { missing, remedy: remedy.join("\n") }
}
