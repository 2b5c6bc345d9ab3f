//! `cargo xtask net NAME`: what a sandbox may reach, and what was refused.

use rave_image::Manifest;
use rave_net::{Denial, Groups, Host, Mode, Policy, Rule};
use rave_sandbox::network::{self, Change, NetworkStatus};
use rave_sandbox::secrets::UsableSecret;
use rave_sandbox::start::attend;
use rave_sandbox::{Connection, Place, SandboxName, now};
use rave_vm::standalone;
use rave_vm::terminal_text::plain;

use super::attend::{Named, supervisor};
use super::groups;
use super::list::time;
use crate::cli::{self, NetCommand};
use crate::exit::Code;
use crate::ui::Ui;

/// How many refusals are reported after a program at most: the last ones.
const MAX_REPORTED: usize = 5;

/// Runs the command.
pub(super) fn run(args: &cli::Net, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    let status = status(&named, change(&named.place(), &args.command)?, ui)?;
    let name = &named.name;
    match &args.command {
        NetCommand::Show(print) if print.json => ui.json(&status.policy)?,
        NetCommand::Log(print) if print.json => ui.json(&status.log.denials)?,
        NetCommand::Learn(print) if print.json => ui.json(&status.log.learned)?,
        NetCommand::Log(_) => log(name, &status, ui),
        NetCommand::Learn(_) => learn(name, &status, ui),
        NetCommand::Show(_) => show(&status, ui),
        NetCommand::Allow(_)
        | NetCommand::Deny(_)
        | NetCommand::Forget(_)
        | NetCommand::Mode(_)
        | NetCommand::Pages(_) => {
            ui.note(&format!("{name}: {}", summary(&status.policy)));
        }
    }
    report_halt(&status, ui);
    Ok(Code::Ok)
}

fn groups_of(place: &Place, allow: &[Rule], deny: &[Rule]) -> anyhow::Result<Groups> {
    let mut groups = groups::of_rules(allow, deny)?;
    let manifest = Manifest::read(place.disk().folder()).ok();
    groups::add_archives(&mut groups, manifest.as_ref().map(Manifest::archives).unwrap_or_default())?;
    Ok(groups)
}

fn change(place: &Place, command: &NetCommand) -> anyhow::Result<Change> {
    Ok(match command {
        NetCommand::Allow(rules) => {
            let groups = groups_of(place, &rules.rules, &[])?;
            Change { allow: rules.rules.clone(), groups, ..Change::default() }
        }
        NetCommand::Deny(rules) => {
            let groups = groups_of(place, &[], &rules.rules)?;
            Change { deny: rules.rules.clone(), groups, ..Change::default() }
        }
        NetCommand::Forget(rules) => Change { forget: rules.rules.clone(), ..Change::default() },
        NetCommand::Mode(mode) => Change { mode: Some(mode.mode), ..Change::default() },
        NetCommand::Pages(pages) => {
            Change { open_pages: Some(pages.which == cli::Pages::Open), ..Change::default() }
        }
        NetCommand::Show(_) | NetCommand::Log(_) | NetCommand::Learn(_) => Change::default(),
    })
}

/// From its supervisor if it is running, otherwise from its files.
fn status(named: &Named, change: Change, ui: &Ui) -> anyhow::Result<NetworkStatus> {
    named.store.get(&named.name)?;
    let place = named.place();
    if let Some(mut connection) = Connection::open(&place) {
        return Ok(connection.network(change)?);
    }
    let lock = named.lock(ui)?;
    if Connection::open(&place).is_none() && standalone::find(&place.machine().qmp_socket).is_none() {
        return Ok(named.store.network_of_stopped(&named.name, &change, &lock)?);
    }
    Ok(attend(&place, &supervisor(&named.name, None)?, &lock)?.network(change)?)
}

/// One line about a policy.
fn summary(policy: &Policy) -> String {
    let Policy { mode, allow, deny, open_pages, groups: _ } = policy;
    let pages = if *open_pages { "; pages are open" } else { "" };
    format!("{mode}; rules that allow: {}, that deny: {}{pages}", allow.len(), deny.len())
}

fn show(status: &NetworkStatus, ui: &Ui) {
    let policy = &status.policy;
    let mut rows = vec![vec!["mode".to_owned(), policy.mode.to_string()]];
    for rule in &policy.allow {
        rows.push(vec!["allow".to_owned(), rule.to_string()]);
        rows.extend(hosts(policy, rule));
    }
    for rule in &policy.deny {
        rows.push(vec!["deny".to_owned(), rule.to_string()]);
        rows.extend(hosts(policy, rule));
    }
    let is_closed = matches!(policy.mode, Mode::Restricted | Mode::Offline) && !policy.open_pages;
    let pages = if is_closed { "to their own origin alone" } else { "anywhere" };
    rows.push(vec!["pages connect".to_owned(), pages.to_owned()]);
    for secret in &status.secrets {
        let UsableSecret { name, host, variable } = secret;
        rows.push(vec!["secret".to_owned(), format!("{name} for {host}; ${variable} in the guest")]);
    }
    ui.table(&["what", "value"], &rows);
    ui.note(match policy.mode {
        Mode::Restricted if policy.allow.is_empty() => "nothing is reached",
        Mode::Offline => "nothing is reached, whatever is allowed",
        Mode::Learn | Mode::Open => "every public address is reached; the host and private networks are not",
        Mode::Restricted => {
            "TLS is inspected only for groups, rules with ,inspect and hosts with a secret: the server of another allowed name can relay requests elsewhere (docs/isolation.md)"
        }
    });
}

/// The hosts of a rule's group.
fn hosts(policy: &Policy, rule: &Rule) -> Vec<Vec<String>> {
    let Host::Group { group, .. } = rule.host else { return Vec::new() };
    policy.groups.of(group).map(|origin| vec![format!("  {group}"), origin.to_string()]).collect()
}

/// Warns that the network is halted, and why.
fn report_halt(status: &NetworkStatus, ui: &Ui) {
    if let Some(why) = &status.halted {
        ui.warn(&format!("the network is halted until its record can be written: {why}"));
    }
}

/// Reports what the network refused while a failed program ran: that may be the cause. The messages are those of `log`.
pub(super) fn report_denials(named: &Named, since: u64, has_failed: bool, ui: &Ui) {
    let status = Connection::open(&named.place()).and_then(|mut it| it.network(Change::default()).ok());
    if let Some(status) = &status {
        report_halt(status, ui);
    }
    if !has_failed {
        return;
    }
    let mut denials = status.map(|status| status.log.denials).unwrap_or_default();
    denials.retain(|denial| denial.last >= since);
    // Times are whole seconds: refusals of another program in the same second come first, and are dropped first.
    denials.sort_by_key(|denial| denial.last);
    for denial in &denials[denials.len().saturating_sub(MAX_REPORTED)..] {
        ui.note(&network::message(&named.name, denial));
    }
}

fn log(name: &SandboxName, status: &NetworkStatus, ui: &Ui) {
    let row = |denial: &Denial| {
        vec![
            format!("{} ago", time(now().saturating_sub(denial.last))),
            denial.count.to_string(),
            plain(&denial.message()).trim().to_owned(),
            network::allows(name, denial).unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = status.log.denials.iter().map(row).collect();
    ui.table(&["last", "count", "what", "to allow it"], &rows);
    if status.log.dropped > 0 {
        ui.note(&format!("{} more were refused and are not listed", status.log.dropped));
    }
}

fn learn(name: &SandboxName, status: &NetworkStatus, ui: &Ui) {
    for rule in &status.log.learned {
        ui.data(&plain(rule));
    }
    if status.log.learned.is_empty() {
        ui.note(&format!("nothing was learned; start learning with: cargo xtask net {name} mode learn"));
    }
}
