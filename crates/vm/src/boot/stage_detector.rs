//! What a boot leaves behind, and how far it got according to that.

use std::collections::BTreeMap;
use std::time::Duration;

use rave_guest::protocol::{GuestEvent, GuestStage, MAX_LINE, StageState};

use super::text::Console;
use super::timeline::Marks;
use super::{BootStage, Timeline};

/// The stages that each report one service's readiness.
const SERVICES: [(GuestStage, &str); 4] = [
    (GuestStage::Sshd, "ssh"),
    (GuestStage::Kanban, "kanban"),
    (GuestStage::Router, "router"),
    (GuestStage::Gateway, "gateway"),
];

/// The line that the image's GRUB prints on the serial port before it loads the kernel.
pub const LOADER_MARKER: &str = "rave: boot loader";

/// Why there is no point in waiting longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadEnd {
    /// The kernel panicked; the line it printed.
    Panic(String),
    /// The line printed by a program that then waits for a person.
    GaveUp(String),
}

/// Everything known about one boot.
#[derive(Debug, Clone, Default)]
pub struct StageDetector {
    marks: Marks,
    /// When the firmware reported that it starts the code on the disk.
    handed_over: Option<Duration>,
    firmware: Console,
    serial: Console,
    /// The last event of each stage, and when it was first ok.
    events: BTreeMap<GuestStage, (GuestEvent, Option<Duration>)>,
    partial_event: Vec<u8>,
    /// The id of the previous boot; its events are ignored.
    previous_boot: Option<String>,
    dead_end: Option<DeadEnd>,
    lost_timer: Option<String>,
}

impl StageDetector {
    /// A detector for the boot after the one with this id of the guest's kernel, whose last events may still arrive.
    pub fn after_boot(previous: Option<String>) -> Self {
        Self { previous_boot: previous, ..Self::default() }
    }

    /// Starts over after a reset of the machine: what was reported so far belongs to the boot before it.
    pub(crate) fn forget_boot(&mut self) {
        let previous = self.boot_id().map(str::to_owned).or_else(|| self.previous_boot.take());
        let Self { firmware, serial, partial_event, .. } = std::mem::take(self);
        *self = Self { firmware, serial, partial_event, ..Self::after_boot(previous) };
    }

    /// Adds output of the firmware's debug port, received `at` after the beginning.
    pub fn firmware(&mut self, bytes: &[u8], at: Duration) {
        let mut console = std::mem::take(&mut self.firmware);
        console.push(bytes, &mut |line| self.firmware_line(line, at));
        self.firmware = console;
    }

    /// Adds output of the guest's serial console, received `at` after the beginning.
    pub fn serial(&mut self, bytes: &[u8], at: Duration) {
        let mut console = std::mem::take(&mut self.serial);
        console.push(bytes, &mut |line| self.serial_line(line, at));
        self.serial = console;
    }

    /// Adds output of the guest's readiness port; returns the events in it.
    pub fn ready(&mut self, bytes: &[u8], at: Duration) -> Vec<GuestEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                // One byte more than the maximum, so that a longer line is recognised as too long.
                if self.partial_event.len() <= MAX_LINE {
                    self.partial_event.push(byte);
                }
                continue;
            }
            let event = GuestEvent::parse(&self.partial_event);
            self.partial_event.clear();
            events.extend(event.filter(|event| self.event(event, at)));
        }
        events
    }

    fn event(&mut self, event: &GuestEvent, at: Duration) -> bool {
        if self.previous_boot.as_deref().is_some_and(|id| id == event.boot_id) {
            return false;
        }
        // The guest has restarted.
        if !event.boot_id.is_empty() && self.boot_id().is_some_and(|id| id != event.boot_id) {
            self.forget_boot();
        }
        let earlier = self.events.get(&event.stage).and_then(|(_, at)| *at);
        let ok_at = earlier.or((event.state == StageState::Ok).then_some(at));
        self.events.insert(event.stage, (event.clone(), ok_at));
        true
    }

    fn firmware_line(&mut self, line: &str, at: Duration) {
        // SeaBIOS, src/boot.c; OVMF, MdeModulePkg/Universal/BdsDxe.
        if line.contains("Booting from 0000:7c00") {
            self.handed_over.get_or_insert(at);
        } else if line.contains("No bootable device.") {
            self.handed_over = None;
            self.give_up(line);
        }
    }

    fn serial_line(&mut self, line: &str, at: Duration) {
        if line.contains("Kernel panic - not syncing") {
            self.dead_end.get_or_insert(DeadEnd::Panic(line.to_owned()));
        }
        if GIVING_UP.iter().any(|words| line.contains(words)) {
            self.give_up(line);
        }
        if line.contains(LOST_TIMER) {
            self.lost_timer.get_or_insert_with(|| line.to_owned());
        }
        let marks = &mut self.marks;
        // A mark counts only if no later mark has been seen: systemd logs the kernel's line again.
        if line.contains("BdsDxe: starting") {
            self.handed_over.get_or_insert(at);
        } else if line.contains("BdsDxe: failed") {
            self.handed_over = None;
        } else if line.contains(LOADER_MARKER) && marks.kernel.is_none() {
            marks.loader.get_or_insert(at);
        } else if line.contains("Linux version ") && marks.init.is_none() {
            marks.kernel.get_or_insert(at);
        } else if marks.kernel.is_some() && marks.userspace.is_none() {
            if is_systemd(line) {
                marks.userspace = Some(at);
            } else if is_init(line) {
                marks.init.get_or_insert(at);
            }
        }
    }

    fn give_up(&mut self, line: &str) {
        self.dead_end.get_or_insert(DeadEnd::GaveUp(line.to_owned()));
    }

    /// The stage that the boot has reached.
    pub fn stage(&self) -> BootStage {
        if !self.events.is_empty() {
            return self.waiting_for().into();
        }
        let Marks { loader, kernel, init, userspace } = self.marks;
        if userspace.is_some() {
            BootStage::Userspace
        } else if init.is_some() {
            BootStage::Initrd
        } else if kernel.is_some() {
            BootStage::Kernel
        } else if loader.is_some() || self.handed_over.is_some() {
            BootStage::BootLoader
        } else {
            BootStage::Firmware
        }
    }

    /// The first stage that failed, otherwise the first that has not been reached.
    fn waiting_for(&self) -> GuestStage {
        let state = |stage| self.events.get(&stage).map(|(event, _)| event.state);
        let first = |wanted: &dyn Fn(Option<StageState>) -> bool| {
            GuestStage::ALL.into_iter().find(|&stage| wanted(state(stage)))
        };
        // "Not ready" only follows from the other failures; it is not a failure of its own.
        first(&|state| state == Some(StageState::Failed))
            .filter(|stage| *stage != GuestStage::Ready)
            .or_else(|| first(&|state| state != Some(StageState::Ok)))
            .unwrap_or(GuestStage::Ready)
    }

    /// The last event of the stage that the boot has reached.
    pub fn last_event(&self) -> Option<&GuestEvent> {
        self.events
            .get(&self.waiting_for())
            .or_else(|| self.events.get(&GuestStage::Ready))
            .map(|(event, _)| event)
    }

    /// The event of a stage up to `until` that will not be reached without help. A missing network matters only if
    /// `until` is the network: the guest becomes ready without it, and may still get an address.
    pub fn failed(&self, until: GuestStage) -> Option<&GuestEvent> {
        let counts = |stage: GuestStage| stage != GuestStage::Network || until == GuestStage::Network;
        let events =
            self.events.range(..=until).filter(|(stage, _)| counts(**stage)).map(|(_, (event, _))| event);
        events.into_iter().find(|event| event.state == StageState::Failed)
    }

    /// When the guest's stage was reached, if it was.
    pub fn reached(&self, stage: GuestStage) -> Option<Duration> {
        self.events.get(&stage).and_then(|(_, ok_at)| *ok_at)
    }

    /// The last event of `stage`.
    pub fn event_of(&self, stage: GuestStage) -> Option<&GuestEvent> {
        self.events.get(&stage).map(|(event, _)| event)
    }

    /// The services that have reported in this boot that they respond, by their names in `rave.toml`.
    pub fn services(&self) -> Vec<&'static str> {
        let answers =
            |stage: GuestStage| self.event_of(stage).is_some_and(|event| event.state == StageState::Ok);
        SERVICES.iter().filter(|(stage, _)| answers(*stage)).map(|(_, name)| *name).collect()
    }

    /// The id of this boot of the guest's kernel, once an event has reported it.
    pub fn boot_id(&self) -> Option<&str> {
        self.events.values().map(|(event, _)| event.boot_id.as_str()).find(|id| !id.is_empty())
    }

    /// Why there is no point in waiting longer.
    pub fn dead_end(&self) -> Option<&DeadEnd> {
        self.dead_end.as_ref()
    }

    /// The kernel's line about timers of a processor that no longer expire, if it came before userspace: after that a
    /// restart would lose the guest's work, so only the deadline decides.
    pub fn lost_timer(&self) -> Option<&str> {
        self.lost_timer.as_deref().filter(|_| self.stage().is_before_userspace())
    }

    /// The last lines of the serial console, or of the firmware if the console is silent.
    pub fn last_lines(&self) -> Vec<String> {
        let serial = self.serial.tail();
        if serial.is_empty() { self.firmware.tail() } else { serial }
    }

    /// Where the time went, for a guest that became ready `ready` after the beginning.
    pub fn timeline(&self, ready: Duration) -> Timeline {
        let stages = self.events.iter().filter_map(|(stage, (_, at))| at.map(|at| (*stage, at)));
        let mut stages: Vec<_> = stages.collect();
        stages.sort_by_key(|(_, at)| *at);
        // The firmware reports the handover before the boot loader prints anything.
        let loader = self.handed_over.or(self.marks.loader);
        Timeline::new(&Marks { loader, ..self.marks }, stages, ready)
    }

    /// The evidence for [`StageDetector::stage`], in words.
    pub fn reason(&self) -> String {
        let seen = |what: &str, at: Option<Duration>| {
            at.map(|at| format!("{what} was seen on the serial port after {:.1} s", at.as_secs_f64()))
        };
        let marks = &self.marks;
        if let Some(event) = self.last_event() {
            let detail = if event.detail.is_empty() { "no detail" } else { event.detail.as_str() };
            let state = match event.state {
                StageState::Waiting => "waits",
                StageState::Ok => "is ok",
                StageState::Failed => "failed",
            };
            return format!("the guest reports: {} {state}: {detail}", event.stage);
        }
        if !self.events.is_empty() {
            return format!("the guest has reported nothing about {}", self.stage());
        }
        seen("the init of the root filesystem", marks.userspace)
            .or_else(|| seen("the kernel's start of its first program", marks.init))
            .or_else(|| seen("the kernel", marks.kernel))
            .or_else(|| seen("the boot loader's marker", marks.loader))
            .unwrap_or_else(|| {
                if self.handed_over.is_some() {
                    "the firmware started the disk's boot code, which printed nothing on the serial port"
                        .to_owned()
                } else {
                    "no boot loader was seen on the serial port".to_owned()
                }
            })
    }
}

/// Printed by programs that then wait for a person: OVMF, GRUB, initramfs-tools, systemd.
const GIVING_UP: [&str; 6] = [
    "BdsDxe: No bootable option or device was found",
    "grub rescue>",
    "Dropping to a shell!",
    "(initramfs)",
    "You are in emergency mode",
    "Freezing execution",
];

/// Printed 21 s after the kernel last saw a timer of a processor expire: `rcu_check_gp_kthread_expired_fqs_timer`,
/// `kernel/rcu/tree_stall.h`.
const LOST_TIMER: &str = "Possible timer handling issue on cpu=";

/// systemd as the root filesystem's init: its log lines, or its greeting.
fn is_systemd(line: &str) -> bool {
    line.contains("systemd[1]:") || line.starts_with("Welcome to ")
}

/// The kernel's `run_init_process` (init/main.c), or the first words of initramfs-tools.
fn is_init(line: &str) -> bool {
    (line.contains("Run /") && line.contains(" as init process"))
        || line.contains("Loading, please wait")
        || line.starts_with("Begin: ")
}

#[cfg(test)]
mod tests;
