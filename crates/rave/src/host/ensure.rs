//! What commands call first: everything is there, or it is installed, or the error says what to do.

use std::fs;
use std::slice;
use std::time::Duration;

use rave_process::{Cmd, find_program, interrupt};
use rave_spec::Base;
use rave_vm::machine::Arch;

use super::install;
use super::package_manager::Manager;
use super::plan::{Host, Plan, Release};
use super::repos::{self, Backports};
use super::requirement::Part;
use super::rows::{Fix, NOT_FOUND, Row, State, examine};
use crate::command_error::{CommandError, lines_of};
use crate::settings::Settings;
use crate::ui::Ui;

/// How long `--version` may take on a machine under load.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// Which command is about to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// An image of the base.
    Image,
    /// Booting one.
    Run,
    /// Building and booting one.
    Smoke,
    /// Every test.
    Test,
    /// An image of the format iso.
    Iso,
    /// A raw disk as `.img.zst`.
    Zst,
    /// `run --gui` with this display.
    Gtk,
    /// The same with SDL.
    Sdl,
    /// The same with SPICE.
    Spice,
}

impl Needs {
    /// The NixOS base brings what it builds with.
    fn parts(self, base: Base) -> &'static [Part] {
        match self {
            Self::Image | Self::Iso | Self::Zst if base == Base::Nixos => &[],
            Self::Smoke if base == Base::Nixos => &[Part::Boot],
            Self::Image => &[Part::Build],
            Self::Run => &[Part::Boot],
            Self::Smoke => &[Part::Build, Part::Boot],
            Self::Test => &[Part::Build, Part::Boot, Part::Zst],
            Self::Iso => &[Part::Iso],
            Self::Zst => &[Part::Zst],
            Self::Gtk => &[Part::Gtk],
            Self::Sdl => &[Part::Sdl],
            Self::Spice => &[Part::Spice],
        }
    }
}

/// Makes sure that the host has what a command needs. Some tens of milliseconds when all is there.
pub fn ensure(settings: &Settings, ui: &Ui, needs: Needs) -> anyhow::Result<()> {
    let rows = resolve(settings, ui, needs.parts(settings.base))?;
    for row in rows.iter().filter(|row| row.state == State::Warning) {
        ui.warn(&warning(row));
    }
    if needs == Needs::Test { for_tests(settings, ui) } else { Ok(()) }
}

fn warning(row: &Row) -> String {
    let fact = format!("{}: {}, needed is {}", row.name, row.found, row.needed);
    match &row.fix {
        Fix::Advice(advice) => format!("{fact}; {advice}"),
        Fix::None | Fix::Package(_) | Fix::RootCommand(_) => fact,
    }
}

/// What only tests need, installed where that is wanted and can be done. The others run without it.
fn for_tests(settings: &Settings, ui: &Ui) -> anyhow::Result<()> {
    const PARTS: &[Part] = &[Part::Test];
    let rows = examine(settings, PARTS);
    if rows.iter().all(|row| row.state != State::Optional) {
        return Ok(());
    }
    let host = look_at_host();
    let plan = Plan::of(&rows, State::Optional, &host);
    let wanted = settings.yes || (settings.is_terminal && asked(ui, &rows, State::Optional, &plan, &host));
    if wanted && install::can(&host, &plan, !settings.yes) && install::run(&plan, &host, ui).is_err() {
        // One that this release does not have should not cost the others.
        for row in rows.iter().filter(|row| row.state == State::Optional) {
            interrupt::check()?;
            let plan = Plan::of(slice::from_ref(row), State::Optional, &host);
            if let Err(error) = install::run(&plan, &host, ui) {
                let lines = lines_of(&error).join("\n");
                ui.warn(&format!("{}: {}", row.name, lines.trim_start_matches("error: ")));
            }
        }
    }
    let rows = examine(settings, PARTS);
    let optional = rows.iter().filter(|row| row.state == State::Optional);
    let names: Vec<&str> = optional.map(|row| row.name.as_str()).collect();
    if !names.is_empty() {
        ui.note(&format!("tests that need this will not run: {}", names.join(", ")));
        let plan = Plan::of(&rows, State::Optional, &host);
        plan.commands(&host).iter().for_each(|line| ui.note(&format!("  $ {line}")));
    }
    Ok(())
}

/// The rows of `parts`, all of them usable. What is missing is installed with `--yes`, or after a question where
/// somebody is there to answer it; else it is an error with the exact commands.
pub fn resolve(settings: &Settings, ui: &Ui, parts: &[Part]) -> anyhow::Result<Vec<Row>> {
    let rows = examine(settings, parts);
    if rows.iter().all(|row| row.state != State::Missing) {
        return Ok(rows);
    }
    let host = look_at_host();
    let plan = Plan::of(&rows, State::Missing, &host);
    let wanted = settings.yes
        || (settings.is_terminal && plan.is_complete() && asked(ui, &rows, State::Missing, &plan, &host));
    if !wanted {
        return Err(not_ready(&rows, &plan, &host).into());
    }
    if install::can(&host, &plan, !settings.yes) {
        install::run(&plan, &host, ui)?;
    } else {
        return Err(not_ready(&rows, &plan, &host).into());
    }
    let rows = examine(settings, parts);
    if rows.iter().all(|row| row.state != State::Missing) {
        return Ok(rows);
    }
    let host = look_at_host();
    Err(not_ready(&rows, &Plan::of(&rows, State::Missing, &host), &host).into())
}

fn asked(ui: &Ui, rows: &[Row], state: State, plan: &Plan, host: &Host) -> bool {
    let lines = absent(rows, state).chain(plan.commands(host).into_iter().map(|line| format!("  $ {line}")));
    ui.note("this host lacks:");
    lines.for_each(|line| ui.note(&line));
    ui.ask("run these commands now?")
}

/// A line for each row in `state`: what is not there, and what it would be for.
fn absent(rows: &[Row], state: State) -> impl Iterator<Item = String> + '_ {
    rows.iter().filter(move |row| row.state == state).map(|row| {
        let (name, why, found, needed) = (&row.name, row.why, &row.found, &row.needed);
        if found == NOT_FOUND {
            format!("  {name}: {why} (not found)")
        } else {
            format!("  {name}: {why} (found {found}, needed {needed})")
        }
    })
}

/// The failure that names everything that is missing and the commands that mend it.
fn not_ready(rows: &[Row], plan: &Plan, host: &Host) -> CommandError {
    let count = rows.iter().filter(|row| row.state == State::Missing).count();
    let what = if count == 1 { "a thing".to_owned() } else { format!("{count} things") };
    let mut failure = CommandError::host_not_ready(format!("this host lacks {what} that this command needs"));
    failure.detail.extend(absent(rows, State::Missing).map(|line| line.trim_start().to_owned()));
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
    failure.remedy(remedy.join("\n"))
}

fn look_at_host() -> Host {
    let is_here = |name: &str| find_program(name).is_some();
    let release = Release::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default());
    let manager = Manager::detect(&is_here);
    let backports = if manager == Some(Manager::Apt) {
        repos::backports(&release.codename, &install::apt_sources())
    } else {
        Backports::Unknown
    };
    Host {
        manager,
        release,
        backports,
        qemu_is_backported: qemu_is_backported(),
        is_root: rustix::process::geteuid().is_root(),
        has_sudo: is_here("sudo"),
    }
}

/// Packages of Debian's backports have `~bpo` in their version, which QEMU prints with its own.
fn qemu_is_backported() -> bool {
    let version = Cmd::new(Arch::X86_64.qemu_name()).arg("--version").timeout(VERSION_DEADLINE).output();
    version.is_ok_and(|output| output.text().lines().next().is_some_and(|line| line.contains("~bpo")))
}
