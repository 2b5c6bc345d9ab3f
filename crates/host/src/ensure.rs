//! Called first by commands: everything that they need exists, or is installed, or the error says what to do.

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

/// The largest number of installations. A requirement may have another one that is only found afterwards.
const ROUNDS: usize = 3;

/// Ensures that the host has what a command needs. Takes some tens of milliseconds if nothing is missing.
pub fn ensure(context: Context<'_>, dialog: &Dialog<'_>, needs: &[Needs]) -> Result<(), Error> {
    let mut parts: Vec<Part> = Vec::new();
    for part in needs.iter().flat_map(|needs| needs.parts(context.base)) {
        if !parts.contains(part) {
            parts.push(*part);
        }
    }
    let findings = resolve(context, dialog, &parts)?;
    for finding in findings.iter().filter(|finding| finding.state == State::Warning) {
        dialog.warn(&warning(finding));
    }
    if needs.contains(&Needs::Tests) { for_tests(context, dialog) } else { Ok(()) }
}

fn warning(finding: &Finding) -> String {
    let fact = format!("{}: {}; required: {}", finding.name, finding.found, finding.needed);
    match &finding.fix {
        Fix::Advice(advice) => format!("{fact}; {advice}"),
        Fix::Upgrade(_) => format!("{fact}; give --yes to upgrade it"),
        Fix::None | Fix::Package(_) | Fix::RootCommand(_) => fact,
    }
}

/// Installs what only tests need, if wanted and possible. Other tests run without it.
fn for_tests(context: Context<'_>, dialog: &Dialog<'_>) -> Result<(), Error> {
    const PARTS: &[Part] = &[Part::Test];
    let findings = examine(context, PARTS);
    let optional = in_state(&findings, State::Optional);
    if optional.is_empty() {
        return Ok(());
    }
    let host = Host::examine();
    let plan = InstallPlan::of(optional.iter().copied(), &host);
    let wanted = is_wanted(dialog, &optional, &plan, &host) && install::can(&host, &plan, may_ask(dialog));
    if wanted && install::run(&plan, &host, dialog.sink).is_err() {
        // A package that this release lacks should not prevent the others.
        for finding in &optional {
            interrupt::check()?;
            let plan = InstallPlan::of([*finding], &host);
            if let Err(error) = install::run(&plan, &host, dialog.sink) {
                dialog.warn(&format!("{}: {}", finding.name, lines(&error).join("\n")));
            }
        }
    }
    let findings = examine(context, PARTS);
    let optional = in_state(&findings, State::Optional);
    if !optional.is_empty() {
        let names: Vec<&str> = optional.iter().map(|finding| finding.name.as_str()).collect();
        dialog.note(&format!("tests that need this will not run: {}", names.join(", ")));
        let plan = InstallPlan::of(optional, &host);
        plan.commands(&host).iter().for_each(|line| dialog.note(&format!("  $ {line}")));
    }
    Ok(())
}

fn in_state(findings: &[Finding], state: State) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.state == state).collect()
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

/// The findings for `parts`, all of them usable. Missing packages are installed with consent, and so are those that are
/// found to be missing afterwards; otherwise the error has the exact commands.
pub fn resolve(context: Context<'_>, dialog: &Dialog<'_>, parts: &[Part]) -> Result<Vec<Finding>, Error> {
    let mut findings = examine(context, parts);
    let mut tried: Option<InstallPlan> = None;
    for _ in 0..ROUNDS {
        let wanted = to_mend(&findings, dialog);
        if wanted.is_empty() {
            return Ok(findings);
        }
        let host = Host::examine();
        let plan = InstallPlan::of(wanted.iter().copied(), &host);
        if tried.as_ref() == Some(&plan) {
            break; // it has changed nothing, and would not the next time
        }
        let missing = in_state(&findings, State::Missing);
        match round(dialog, &wanted, &plan, &host) {
            Ok(true) => {}
            Ok(false) if missing.is_empty() => return Ok(findings),
            Ok(false) => return Err(not_ready(&missing, &plan, &host)),
            // A failed upgrade of something that works is only a warning.
            Err(error) if missing.is_empty() && !matches!(error, Error::Interrupted(_)) => {
                dialog.warn(&lines(&error).join("\n"));
                return Ok(findings);
            }
            Err(error) => return Err(error),
        }
        tried = Some(plan);
        findings = examine(context, parts);
    }
    let missing = in_state(&findings, State::Missing);
    if missing.is_empty() {
        return Ok(findings);
    }
    let host = Host::examine();
    let plan = InstallPlan::of(missing.iter().copied(), &host);
    Err(not_ready(&missing, &plan, &host))
}

/// The findings to install: what is missing, and, if the user consented to everything, what has a newer version that
/// works better.
fn to_mend<'a>(findings: &'a [Finding], dialog: &Dialog<'_>) -> Vec<&'a Finding> {
    let upgrades = matches!(dialog.consent, Consent::Given);
    let is_wanted = |finding: &&Finding| match finding.state {
        State::Missing => true,
        State::Warning => upgrades && matches!(finding.fix, Fix::Upgrade(_)),
        State::Ok | State::Optional => false,
    };
    findings.iter().filter(is_wanted).collect()
}

/// Runs the plan if that is allowed; `false` if it is not.
fn round(dialog: &Dialog<'_>, wanted: &[&Finding], plan: &InstallPlan, host: &Host) -> Result<bool, Error> {
    let cannot_help = matches!(dialog.consent, Consent::Ask(_)) && !plan.is_complete();
    if cannot_help || !is_wanted(dialog, wanted, plan, host) || !install::can(host, plan, may_ask(dialog)) {
        return Ok(false);
    }
    for advice in &plan.advice {
        dialog.warn(&format!("packages alone may not fix this: {advice}"));
    }
    install::run(plan, host, dialog.sink)?;
    Ok(true)
}

/// Whether sudo may ask for a password.
fn may_ask(dialog: &Dialog<'_>) -> bool {
    matches!(dialog.consent, Consent::Ask(_))
}

fn is_wanted(dialog: &Dialog<'_>, findings: &[&Finding], plan: &InstallPlan, host: &Host) -> bool {
    let ask = match dialog.consent {
        Consent::Given => return true,
        Consent::Withheld => return false,
        Consent::Ask(ask) => ask,
    };
    dialog.note("missing on this host:");
    absent(findings).for_each(|line| dialog.note(&line));
    plan.commands(host).iter().for_each(|line| dialog.note(&format!("  $ {line}")));
    ask("run these commands now?")
}

/// A line for each finding: what is missing, and its purpose.
fn absent<'a>(findings: &'a [&Finding]) -> impl Iterator<Item = String> + 'a {
    findings.iter().map(|finding| {
        let Finding { name, why, found, needed, .. } = finding;
        if found == NOT_FOUND {
            format!("  {name}: {why} (not found)")
        } else {
            format!("  {name}: {why} (found {found}, needed {needed})")
        }
    })
}

/// The error with everything that is missing and the commands to fix it.
fn not_ready(findings: &[&Finding], plan: &InstallPlan, host: &Host) -> Error {
    let missing = absent(findings).map(|line| line.trim_start().to_owned()).collect();
    let commands = plan.commands(host);
    let mut remedy = Vec::new();
    if !commands.is_empty() {
        let who = if host.is_root || host.has_sudo { "" } else { " as root" };
        let may_run = install::is_supported(plan) && plan.blockers.is_empty();
        let with_yes = if may_run && (host.is_root || host.has_sudo) { "give --yes, or " } else { "" };
        remedy.push(format!("{with_yes}run{who}:"));
        remedy.extend(commands.into_iter().map(|line| format!("  {line}")));
    }
    let by_hand: Vec<&String> = plan.blockers.iter().chain(&plan.advice).collect();
    let indent = if remedy.is_empty() || by_hand.is_empty() {
        ""
    } else {
        remedy.push("and by hand:".to_owned());
        "  "
    };
    remedy.extend(by_hand.iter().map(|advice| format!("{indent}{advice}")));
    Error::NotReady { missing, remedy: remedy.join("\n") }
}
