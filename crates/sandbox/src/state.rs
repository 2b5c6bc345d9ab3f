//! The state of a sandbox, according to its processes and the sockets that the kernel closes with them.

use std::fs;

use rave_vm::ports::PortForward;
use rave_vm::run_dir::InstanceRecord;
use rave_vm::standalone;
use serde::{Deserialize, Serialize};

use crate::control::{Connection, EndKind, Status};
use crate::place::Place;
use crate::snapshot;

/// The state of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is booting and cannot run programs yet.
    Starting,
    /// It can run programs.
    Running,
    /// It is paused because the host's disk is full, and continues once there is space.
    NoSpace,
    /// QEMU is running, but its supervisor was killed: the next command that needs a supervisor starts another.
    Unattended,
    /// It is not running.
    Stopped,
    /// It is not running, and did not end cleanly.
    Crashed,
}

impl State {
    /// The name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::NoSpace => "no-space",
            Self::Unattended => "unattended",
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
        }
    }

    /// Whether QEMU is running.
    pub fn runs(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::NoSpace | Self::Unattended)
    }
}

/// A sandbox at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CurrentState {
    /// Its state.
    pub state: State,
    /// QEMU's process id, if it is running.
    pub qemu: Option<u32>,
    /// The supervisor's report.
    pub status: Option<Status>,
    /// The forwards to its services, if it is running.
    pub forwards: Vec<PortForward>,
    /// QEMU's share of the host's memory (Pss), bytes.
    pub memory: Option<u64>,
    /// What its disk and those of its snapshots use on the host in addition to the base image, bytes. The size of a
    /// file with several hard links is divided among them.
    pub disk: u64,
    /// What the memory of its snapshots uses on the host, bytes.
    pub saved_memory: u64,
    /// How the last run ended, if it is not running and the supervisor saw the end.
    pub end: Option<End>,
}

/// How the last run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How.
    pub how: EndKind,
    /// QEMU's last output, or why it was stopped without a request. Text that may come from a guest.
    pub detail: String,
    /// When the changes of its workspace were fetched to stop it, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<u64>,
}

impl End {
    /// The end of the last run, if its supervisor saw it.
    pub fn find(place: &Place) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.end()).ok()?).ok()
    }
}

/// Determines the state of a sandbox.
pub fn current_state(place: &Place) -> CurrentState {
    // The supervisor first: if it is just starting the machine, it exists before the machine does.
    let status = Connection::open(place).and_then(|mut connection| connection.status().ok());
    let qemu = standalone::find(&place.machine().qmp_socket);
    let forwards = match (&status, qemu) {
        (Some(status), Some(_)) => status.forwards.clone(),
        (None, Some(_)) => InstanceRecord::running(&place.machine().run_dir)
            .map(|record| record.forwards)
            .unwrap_or_default(),
        (_, None) => Vec::new(),
    };
    let snapshots = snapshot::sizes(place);
    CurrentState {
        state: state(place, status.as_ref(), qemu),
        memory: qemu.and_then(pss),
        disk: place.layers().size() + snapshots.disk,
        saved_memory: snapshots.memory,
        end: if qemu.is_none() { End::find(place) } else { None },
        status: status.filter(|_| qemu.is_some()),
        forwards,
        qemu,
    }
}

/// Whether the supervisor of a sandbox or its QEMU is running, without asking either.
pub fn has_processes(place: &Place) -> bool {
    Connection::open(place).is_some() || standalone::find(&place.machine().qmp_socket).is_some()
}

fn state(place: &Place, status: Option<&Status>, qemu: Option<u32>) -> State {
    match (qemu, status) {
        (Some(_), Some(status)) if status.lacks_space => State::NoSpace,
        (Some(_), Some(status)) if status.can_exec => State::Running,
        (Some(_), Some(_)) => State::Starting,
        (Some(_), None) => State::Unattended,
        (None, _) if ended_in_order(place) => State::Stopped,
        (None, _) => State::Crashed,
    }
}

/// Whether the last run ended cleanly, or there was none. If the supervisor was killed too and could not record the
/// end, the run did not end cleanly.
fn ended_in_order(place: &Place) -> bool {
    match End::find(place) {
        Some(end) => end.how != EndKind::Died,
        None => !place.machine().run_dir.exists(),
    }
}

/// `Pss` of `/proc/PID/smaps_rollup`, which is in kB.
fn pss(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
