//! `cargo xtask ps`: the sandboxes and their states.

use camino::Utf8PathBuf;
use rave_net::{Mode, Usage};
use rave_sandbox::snapshot::{self, Snapshot};
use rave_sandbox::state::{CurrentState, current_state};
use rave_sandbox::{Identity, Record, SandboxName, Store, network, now, process_age};
use rave_vm::terminal_text::plain;
use serde::Serialize;

use super::ports::Port;
use crate::cli;
use crate::exit::Code;
use crate::settings;
use crate::ui::Ui;

/// A row of `ps --json`, and what `inspect NAME --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: SandboxName,
    /// None if it cannot be read.
    pub(super) record: Option<Record>,
    #[serde(flatten)]
    pub(super) current: CurrentState,
    /// What a clone renewed.
    pub(super) identity: Option<Identity>,
    /// Its snapshots.
    pub(super) snapshots: Vec<Snapshot>,
    /// What its network reaches if no rule decides; none if that cannot be read.
    pub(super) network: Option<Mode>,
    /// Its usage of the model; none if it was not used.
    pub(super) model: Option<Usage>,
    /// The ports of its services, and whether they accept connections.
    pub(super) ports: Vec<Port>,
    /// The host folder that was pushed into it.
    pub(super) workspace: Option<Utf8PathBuf>,
    /// Seconds since a program last started or ended; 0 while one runs.
    pub(super) idle_seconds: Option<u64>,
    /// Seconds until it is stopped because of `--ttl`.
    pub(super) ttl_seconds: Option<u64>,
    /// Seconds until it is stopped if it stays idle.
    pub(super) idle_stop_seconds: Option<u64>,
}

impl Row {
    pub(super) fn of(store: &Store, name: SandboxName) -> Self {
        let place = store.place(&name);
        let current = current_state(&place);
        let idle_seconds = current.status.as_ref().map(|status| match status.running {
            0 => now().saturating_sub(status.last_use),
            _ => 0,
        });
        let (record, identity) = (store.find(&name).ok().flatten(), Identity::of(&place));
        let expiry = record.as_ref().map(|record| record.expiry).unwrap_or_default();
        let left = |limit: Option<u64>, since: Option<u64>| Some(limit?.saturating_sub(since?));
        let age = current.qemu.and_then(process_age).map(|age| age.as_secs());
        let (ttl_seconds, idle_stop_seconds) = (left(expiry.ttl, age), left(expiry.idle, idle_seconds));
        let network = network::read(&place).ok().map(|policy| policy.mode);
        let snapshots = snapshot::list(&place).unwrap_or_default();
        let model = network::usage(&place);
        let ports = Port::all(&current);
        let workspace = rave_workspace::Record::source_of(&rave_workspace::Place::new(place.folder()));
        Self {
            name,
            record,
            current,
            identity,
            snapshots,
            network,
            model,
            ports,
            workspace,
            idle_seconds,
            ttl_seconds,
            idle_stop_seconds,
        }
    }

    /// When it will be stopped automatically.
    fn stops(&self) -> Option<String> {
        self.ttl_seconds
            .into_iter()
            .chain(self.idle_stop_seconds)
            .min()
            .map(|left| format!("in {}", time(left)))
    }

    /// Its network is halted because its record cannot be written.
    fn is_halted(&self) -> bool {
        self.current.status.as_ref().is_some_and(|status| status.record_failure.is_some())
    }

    fn cells(&self) -> Vec<String> {
        let ports = self.ports.iter().map(Port::short);
        let unknown = || "-".to_owned();
        let record = self.record.as_ref();
        vec![
            self.name.to_string(),
            record.map_or("unreadable", |_| self.current.state.as_str()).to_owned(),
            record.map_or_else(unknown, |record| record.profile.clone()),
            record
                .and_then(|record| record.parent.as_ref())
                .map_or_else(unknown, |parent| parent.name.to_string()),
            match self.network {
                Some(_) if self.is_halted() => "halted".to_owned(),
                network => network.map_or_else(unknown, |mode| mode.to_string()),
            },
            record.map_or_else(unknown, |record| time(now().saturating_sub(record.created))),
            self.idle_seconds.map_or_else(unknown, time),
            self.stops().unwrap_or_else(unknown),
            self.current.memory.map_or_else(unknown, mebibytes),
            mebibytes(self.current.disk),
            self.model.map_or_else(unknown, used),
            ports.collect::<Vec<_>>().join(" "),
            self.workspace.as_ref().map_or_else(unknown, |folder| plain(folder.as_str()).trim().to_owned()),
        ]
    }
}

pub(super) fn run(args: &cli::Ps, ui: &Ui) -> anyhow::Result<Code> {
    let store = Store::new(&settings::state_dir()?);
    let rows = store.names()?.into_iter().map(|name| Row::of(&store, name));
    let rows: Vec<Row> = rows.filter(|row| args.all || row.current.state.runs()).collect();
    if args.json {
        ui.json(&rows)?;
        return Ok(Code::Ok);
    }
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    ui.table(
        &[
            "name",
            "state",
            "profile",
            "fork of",
            "network",
            "age",
            "idle",
            "stops",
            "memory",
            "disk",
            "model",
            "ports",
            "workspace",
        ],
        &cells,
    );
    Ok(Code::Ok)
}

/// `3 requests, 1200 tokens, 0.0125`: the last is money, in the unit of the prices, if prices are configured.
fn used(usage: Usage) -> String {
    let tokens = usage.input_tokens.saturating_add(usage.output_tokens);
    let requests = if usage.requests == 1 { "request" } else { "requests" };
    let money = if usage.money > 0.0 { format!(", {:.4}", usage.money) } else { String::new() };
    format!("{} {requests}, {tokens} tokens{money}", usage.requests)
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// `42 s`, `7 min`, `3 h`, `5 d`.
pub(in crate::cmd) fn time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_formatted_briefly() {
        let times: Vec<String> = [0, 119, 120, 7199, 7200, 200_000].into_iter().map(time).collect();
        assert_eq!(times, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
        assert_eq!([mebibytes(0), mebibytes(1), mebibytes(3 << 20)], ["0 MiB", "1 MiB", "3 MiB"]);
    }

    #[test]
    fn model_usage_has_costs_if_prices_are_known() {
        let usage = Usage { requests: 1, input_tokens: 10, output_tokens: 5, money: 0.0 };
        assert_eq!(used(usage), "1 request, 15 tokens");
        assert_eq!(used(Usage { requests: 2, money: 0.000_105, ..usage }), "2 requests, 15 tokens, 0.0001");
    }
}
