//! `port NAME` and `inspect NAME`.

use camino::Utf8Path;
use rave_net::Mode;
use rave_sandbox::state::current_state;
use rave_sandbox::{SandboxName, Store};
use rave_vm::ports::PortForward;
use rave_vm::terminal_text::plain;

use super::attend::Named;
use super::list::{Row, mebibytes, time};
use super::ports::{self, Port};
use super::snapshot::has;
use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// `cargo xtask port`
pub(super) fn ports(args: &cli::Port, ui: &Ui) -> anyhow::Result<Code> {
    let named = Named::new(&args.name)?;
    named.store.get(&named.name)?;
    let current = current_state(&named.place());
    if current.qemu.is_none() {
        return Err(rave_sandbox::Error::NotRunning { name: named.name }.into());
    }
    let Some(service) = &args.service else {
        if args.json {
            ui.json(&Port::all(&current))?;
        } else {
            ui.table(&["service", "where"], &ports::rows(&named.name, &Port::all(&current)));
        }
        return Ok(Code::Ok);
    };
    let forward = find(&current.forwards, service)?;
    ui.data(&format!("{}:{}", forward.bind, forward.host));
    Ok(Code::Ok)
}

/// The forward of a service; the sandbox must be running.
pub(super) fn forward_of(named: &Named, service: &str) -> anyhow::Result<PortForward> {
    named.store.get(&named.name)?;
    let current = current_state(&named.place());
    if current.qemu.is_none() {
        return Err(rave_sandbox::Error::NotRunning { name: named.name.clone() }.into());
    }
    Ok(find(&current.forwards, service)?.clone())
}

fn find<'a>(forwards: &'a [PortForward], service: &str) -> Result<&'a PortForward, CommandError> {
    let known: Vec<&str> = forwards.iter().map(|forward| forward.service.as_str()).collect();
    forwards.iter().find(|forward| forward.service == service).ok_or_else(|| {
        CommandError::usage(format!("unknown service {service:?}"))
            .detail(format!("expected one of {}", known.join(", ")))
    })
}

/// `cargo xtask inspect NAME`; `None` if the argument is a file or not the name of a sandbox.
pub fn describe(argument: &Utf8Path, json: bool, ui: &Ui) -> anyhow::Result<Option<Code>> {
    let Ok(name) = argument.as_str().parse::<SandboxName>() else { return Ok(None) };
    let store = Store::new(&settings::state_dir()?);
    if argument.exists() {
        return Ok(None);
    }
    if !store.names()?.contains(&name) {
        return Err(CommandError::usage(format!("there is neither a file nor a sandbox {name}"))
            .remedy("`cargo xtask ps --all` lists the sandboxes")
            .into());
    }
    let record = store.get(&name)?;
    let row = Row::of(&store, name);
    if json {
        ui.json(&row)?;
        return Ok(Some(Code::Ok));
    }
    let place = store.place(&row.name);
    let current = &row.current;
    let process = |pid: Option<u32>| pid.map_or("-".to_owned(), |pid| format!("process {pid}"));
    let status = current.status.as_ref();
    let mut rows = vec![
        ("name", row.name.to_string()),
        ("state", current.state.as_str().to_owned()),
        ("image", format!("{}, {}", record.base, record.profile)),
        ("made", format!("{} ago", time(rave_sandbox::now().saturating_sub(record.created)))),
        ("memory", format!("{} MiB", record.memory_mib)),
        ("CPUs", record.cpus.to_string()),
        ("network", row.network.map_or("unreadable", Mode::as_str).to_owned()),
        ("folder", place.folder().to_string()),
        ("QEMU", process(current.qemu)),
        ("supervisor", process(status.map(|status| status.supervisor))),
    ];
    if let Some(parent) = &record.parent {
        let ago = time(rave_sandbox::now().saturating_sub(parent.when));
        rows.push(("fork of", format!("{}, as it was {ago} ago", parent.name)));
    }
    for one in &row.snapshots {
        let ago = time(rave_sandbox::now().saturating_sub(one.when));
        rows.push(("snapshot", format!("{}: {}, {ago} old, {}", one.label, has(one), mebibytes(one.bytes))));
    }
    let limit = |seconds: Option<u64>| {
        seconds.map_or("never".to_owned(), |seconds| format!("after {}", time(seconds)))
    };
    rows.push(("stops", limit(record.expiry.ttl)));
    rows.push(("stops if idle", limit(record.expiry.idle)));
    if let Some(end) = current.end.as_ref().filter(|end| !end.detail.is_empty()) {
        rows.push(("ended", plain(&end.detail).trim().to_owned()));
    }
    let workspace = row.workspace.as_ref().map(|folder| plain(folder.as_str()).trim().to_owned());
    rows.extend(workspace.map(|folder| ("workspace", folder)));
    rows.extend(row.idle_seconds.map(|idle| ("idle", time(idle))));
    if let Some(status) = status {
        rows.push(("boot", status.stage.clone()));
        let halted = |why: &String| ("network halted", format!("its record cannot be written: {why}"));
        rows.extend(status.record_failure.iter().map(halted));
        rows.extend(status.failure.iter().map(|failure| ("failure", plain(failure).trim().to_owned())));
    }
    if let Some(clock) = status.and_then(|status| status.clock) {
        let ago = time(rave_sandbox::now().saturating_sub(clock.at));
        let (before, after) = (clock.behind_ms, clock.behind_after_ms);
        rows.push(("clock", format!("set {ago} ago; it was {before} ms behind, then {after} ms")));
    }
    if let Some(identity) = &row.identity {
        let renewed = plain(&identity.receipt.renewed.join(", ")).trim().to_owned();
        let (before, after) = (identity.receipt.clock_behind_ms, identity.clock_behind_after_ms);
        rows.push((
            "identity",
            format!("renewed: {renewed}; its clock was {before} ms behind, then {after} ms"),
        ));
    }
    let mut table: Vec<Vec<String>> =
        rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]).collect();
    table.extend(ports::rows(&row.name, &row.ports));
    ui.table(&["what", "value"], &table);
    Ok(Some(Code::Ok))
}
