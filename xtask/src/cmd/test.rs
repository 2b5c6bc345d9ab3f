//! `cargo xtask test`: runs every test, and lists at the end what this host could not run.

mod cargo;
mod flake;
mod hosts;
mod nixos;
mod release;
mod steps;
mod summary;

use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use rave_host::Needs;
use rave_process::progress::{Event, StageOutcome};
use rave_process::{Cmd, Error, find_program, interrupt};
use rave_vm::accel::{self, KvmState, ProbeRequest};
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;

use crate::cli::{self, TestStep};
use rave::cli::{FormatFlag, Smoke};
use rave::cmd;
use rave::command_error::{self, CommandError};
use rave::exit::Code;
use rave::host;
use rave::settings::Settings;
use rave::ui::Ui;
use rave_testing::NOT_RUN;
use steps::{HOSTS, NIXOS_SYSTEM, RELEASE, name, needs, steps};
use summary::{Ending, table};

/// Lines of a failed step that are shown; the log has all.
const SHOWN: usize = 40;

pub(crate) fn run(args: &cli::Test, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    let steps = steps(&args.steps);
    // A row that does not exist should not be found after the build.
    nixos::rows(&args.rows)?;
    if !args.rows.is_empty() && !steps.contains(&TestStep::NixosSystem) {
        return Err(CommandError::usage(format!("--rows belongs to the step {NIXOS_SYSTEM}"))
            .remedy(format!("add {NIXOS_SYSTEM}, or leave --rows out; `smoke --rows` boots the Debian base"))
            .into());
    }
    // Checked before the first step: a requirement of the last one should not be found missing after half an hour.
    let needs: Vec<Needs> = steps.iter().flat_map(|step| needs(*step)).copied().collect();
    if !needs.is_empty() {
        host::ensure_for_tests(settings, ui, &needs)?;
    }
    let not_run = if args.steps.is_empty() { steps::only_by_name() } else { Vec::new() };
    let mut session = Session { settings, ui, rows: &args.rows, ended: Vec::new(), not_run };
    for step in steps {
        session.step(step)?;
    }
    session.close()
}

struct Session<'a> {
    settings: &'a Settings,
    ui: &'a Ui,
    /// The rows that a NixOS system boots.
    rows: &'a [String],
    /// Every step that was run, with its result and duration.
    ended: Vec<(TestStep, Ending, Duration)>,
    /// What could not be run here, and why.
    not_run: Vec<String>,
}

impl Session<'_> {
    /// Runs one step. A failure does not prevent the next one.
    fn step(&mut self, step: TestStep) -> anyhow::Result<()> {
        let started = Instant::now();
        let result = match step {
            TestStep::Format => self.tool("rustfmt", step, &["fmt", "--all", "--check"]),
            TestStep::Clippy => match self.tool("clippy", step, cargo::CLIPPY) {
                Ok(true) => self.tool("clippy", step, cargo::CLIPPY_BY_NAME),
                ended => ended,
            },
            TestStep::Unit => {
                self.cargo(step, cargo::unit_arguments(find_program("cargo-nextest").is_some()))
            }
            TestStep::Flake => self.flake(),
            TestStep::Nixos => self.nixos(),
            TestStep::NixosSystem => self.nixos_system(),
            TestStep::Smoke => self.smoke(),
            TestStep::Faults => {
                self.cargo(step, &cargo::faults_arguments(find_program("cargo-nextest").is_some()))
            }
            TestStep::Matrix => self.matrix(),
            TestStep::Cloud => {
                self.cargo(step, &cargo::cloud_arguments(find_program("cargo-nextest").is_some()))
            }
            TestStep::Hosts => self.hosts(),
            TestStep::Proxy => {
                self.cargo(step, &cargo::proxy_arguments(find_program("cargo-nextest").is_some()))
            }
            TestStep::Release => self.release(),
        };
        if interrupt::requested().is_some() {
            return result.map(|_| ());
        }
        match result {
            Ok(true) => self.ended.push((step, Ending::Passed, started.elapsed())),
            Ok(false) => self.ended.push((step, Ending::NotRun, started.elapsed())),
            Err(error) => {
                self.ui.error(&command_error::lines_of(&error));
                self.ended.push((step, Ending::Failed, started.elapsed()));
            }
        }
        Ok(())
    }

    /// Runs a step with an optional component of the toolchain; `false` if it is not installed.
    fn tool(&mut self, component: &str, step: TestStep, arguments: &[&str]) -> anyhow::Result<bool> {
        if cargo::cargo().args([arguments[0], "--version"]).output().is_err() {
            interrupt::check()?;
            let step = name(step);
            self.not_run.push(format!("{step}: {component} is missing; rustup component add {component}"));
            return Ok(false);
        }
        self.cargo(step, arguments)
    }

    fn cargo(&mut self, step: TestStep, arguments: &[&str]) -> anyhow::Result<bool> {
        let has_nextest = find_program("cargo-nextest").is_some();
        let cargo = cargo::cargo().args(arguments.iter().copied()).env("CARGO_TERM_COLOR", "never");
        match self.logged(step, cargo, &|line| cargo::is_closing(line, has_nextest))? {
            Ok(()) => Ok(true),
            Err(failed) => Err(failed.failure(step)),
        }
    }

    /// Evaluates the flake; `false` if this host cannot.
    fn flake(&mut self) -> anyhow::Result<bool> {
        match self.logged(TestStep::Flake, flake::command(&self.settings.root), &flake::is_closing)? {
            Ok(()) => Ok(true),
            Err(failed) => match flake::not_run(&failed.error) {
                Some(reason) => {
                    self.not_run.push(format!("{}: {reason}; {}", name(TestStep::Flake), flake::COMMAND));
                    Ok(false)
                }
                None => Err(failed.failure(TestStep::Flake)),
            },
        }
    }

    /// Builds the flake's disk with nix from a stand-in system; `false` if this host cannot.
    fn nixos(&mut self) -> anyhow::Result<bool> {
        let stage = name(TestStep::Nixos);
        let tree = match nixos::tree() {
            Ok(tree) => tree,
            Err(reason) => {
                self.not_run.push(format!("{stage}: {reason}; {}", nixos::COMMAND));
                return Ok(false);
            }
        };
        let log = self.log(stage)?;
        let built = nixos::run(&self.settings.root, &tree, &self.settings.cache_dir, &log)?;
        self.ui.data(&format!(
            "nix built the disk and four formats twice, the same bytes: {} derivations built, {} filled",
            built.built, built.filled
        ));
        Ok(true)
    }

    /// nix builds a whole system from a payload, which passes the smoke suite; `false` where this host cannot.
    fn nixos_system(&mut self) -> anyhow::Result<bool> {
        let stage = name(TestStep::NixosSystem);
        let tree = match nixos::system_tree() {
            Ok(tree) => tree,
            Err(reason) => {
                self.not_run.push(format!("{stage}: {reason}; {}", nixos::SYSTEM_COMMAND));
                return Ok(false);
            }
        };
        let log = self.log(stage)?;
        let rows = nixos::rows(self.rows)?;
        let system = nixos::system(&self.settings.root, &tree, &self.settings.cache_dir, &log, rows)?;
        self.ui.data(&system.told());
        self.ui.data(&format!("any command with its store: {} COMMAND", system.write_enter()?));
        let Some(smoke) = system.smoke()? else { return Ok(true) };
        match self.logged(TestStep::NixosSystem, smoke, &nixos::is_closing)? {
            Ok(()) => Ok(true),
            Err(failed) => Err(failed.failure(TestStep::NixosSystem)),
        }
    }

    /// Runs a command at the checkout's root; its output goes to a log, lines that are `closing` to stdout.
    fn logged(
        &mut self,
        step: TestStep,
        command: Cmd,
        is_closing: &dyn Fn(&str) -> bool,
    ) -> anyhow::Result<Result<(), Failed>> {
        let stage = name(step);
        let sink = self.ui.sink();
        let log = self.log(stage)?;
        let started = Instant::now();
        sink(Event::StageStarted { stage });
        let (mut closing, mut not_run, mut failures) = (Vec::new(), Vec::new(), cargo::Failures::default());
        let result = command.current_dir(&self.settings.root).log_file(&log).run(&mut |line| {
            sink(Event::StageOutput { stage, line: line.text });
            failures.take(line.text);
            if is_closing(line.text) {
                closing.push(line.text.trim().to_owned());
            }
            if let Some((_, what)) = line.text.split_once(NOT_RUN) {
                not_run.push(format!("{stage}: {what}"));
            }
        });
        self.not_run.extend(not_run);
        if result.is_ok() {
            sink(Event::StageFinished { stage, elapsed: started.elapsed(), outcome: StageOutcome::Built });
        }
        for line in &closing {
            self.ui.data(line);
        }
        Ok(result.map(|_| ()).map_err(|error| Failed { error, log, failures: failures.lines }))
    }

    /// Builds, boots and smoke-tests one real image.
    fn smoke(&mut self) -> anyhow::Result<bool> {
        if let Some(reason) = self.without_kvm() {
            self.not_run.push(format!("smoke under kvm (it ran under software emulation): {reason}"));
        }
        match cmd::smoke::run(&Smoke::default(), self.settings, self.ui)? {
            Code::Ok => Ok(true),
            code => Err(CommandError::new(code, "the smoke suite failed").into()),
        }
    }

    /// Runs every row of the matrix, and the tests that take minutes: the installer's faults, first boots, isolation,
    /// forks.
    fn matrix(&mut self) -> anyhow::Result<bool> {
        let args = Smoke { formats: vec![FormatFlag::All], ..Smoke::default() };
        let code = cmd::smoke::run(&args, self.settings, self.ui)?;
        if code != Code::Ok {
            return Err(CommandError::new(code, "the smoke suite failed").into());
        }
        self.cargo(TestStep::Matrix, &cargo::matrix_arguments(find_program("cargo-nextest").is_some()))
    }

    /// Lets third-party programs read a release of the fixture, then cuts a real one; `false` if they are not available.
    fn release(&mut self) -> anyhow::Result<bool> {
        let folder = release::folder(&self.settings.cache_dir);
        for command in release::commands(&folder) {
            if let Err(failed) = self.logged(TestStep::Release, command, &|_| false)? {
                interrupt::check()?;
                self.not_run.push(format!("{RELEASE}: the readers cannot be installed: {}", failed.error));
                return Ok(false);
            }
        }
        let has_nextest = find_program("cargo-nextest").is_some();
        let python = folder.join("bin/python");
        for arguments in [release::arguments(has_nextest).to_vec(), cargo::release_arguments(has_nextest)] {
            let cargo = cargo::cargo().args(arguments).env(release::VARIABLE, python.as_str());
            if let Err(failed) =
                self.logged(TestStep::Release, cargo, &|line| cargo::is_closing(line, has_nextest))?
            {
                return Err(failed.failure(TestStep::Release));
            }
        }
        Ok(true)
    }

    /// Prepares each kind of machine with `doctor --yes`; `false` if none can be made.
    fn hosts(&mut self) -> anyhow::Result<bool> {
        if let Some(reason) = hosts::not_run() {
            self.not_run.push(format!("{HOSTS}: {reason}"));
            return Ok(false);
        }
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        for kind in hosts::KINDS {
            let started = Instant::now();
            let result = self.host(kind)?;
            if result.is_err() {
                failed.push(kind.name);
            }
            let (Ok(text) | Err(text)) = result;
            rows.push(hosts::row(kind, &text, started.elapsed()));
        }
        self.ui.table(hosts::HEADERS, &rows);
        if failed.is_empty() {
            return Ok(true);
        }
        Err(CommandError::new(
            Code::CheckFailed,
            format!("machines that were not prepared: {}", failed.join(", ")),
        )
        .into())
    }

    /// The last line that one machine's check printed.
    fn host(&self, kind: &hosts::Kind) -> anyhow::Result<Result<String, String>> {
        let (stage, sink) = (kind.name, self.ui.sink());
        let log = self.log(&format!("{HOSTS}-{stage}"))?;
        let started = Instant::now();
        sink(Event::StageStarted { stage });
        let mut last = String::new();
        let result = hosts::command(&self.settings.root, kind).log_file(&log).run(&mut |line| {
            sink(Event::StageOutput { stage, line: line.text });
            line.text.trim().clone_into(&mut last);
        });
        interrupt::check()?;
        if result.is_ok() {
            sink(Event::StageFinished { stage, elapsed: started.elapsed(), outcome: StageOutcome::Built });
        }
        Ok(result.map(|_| last.clone()).map_err(|_| format!("{last}; all of it: {log}")))
    }

    /// Where the output of a step goes.
    fn log(&self, step: &str) -> anyhow::Result<Utf8PathBuf> {
        let log = self.settings.state_dir.join("logs").join(format!("test-{step}.log"));
        std::fs::create_dir_all(log.parent().unwrap_or(&log))?;
        Ok(log)
    }

    /// Why KVM is not available here.
    fn without_kvm(&self) -> Option<String> {
        let qemu = Qemu::find(Arch::X86_64).ok()?;
        let cache_dir = &self.settings.state_dir;
        let verdict =
            accel::probe(&ProbeRequest { qemu: &qemu, cache_dir, force: None, refresh: false }).ok()?;
        (!matches!(verdict.kvm, KvmState::Works { .. })).then(|| verdict.kvm.to_string())
    }

    fn close(self) -> anyhow::Result<Code> {
        let names = |ending| {
            let steps = self.ended.iter().filter(|(_, ended, _)| *ended == ending);
            steps.map(|(step, ..)| name(*step)).collect::<Vec<_>>()
        };
        let (passed, failed) = (names(Ending::Passed), names(Ending::Failed));
        self.ui.table(&["step", "result", "time"], &table(&self.ended));
        if !self.not_run.is_empty() {
            self.ui.data("not run on this host:");
            self.not_run.iter().for_each(|what| self.ui.data(&format!("  {what}")));
        }
        if failed.is_empty() && passed.is_empty() {
            self.ui.data("no step was run");
            return Ok(Code::Ok);
        }
        if failed.is_empty() {
            self.ui.data(&format!("all steps passed: {}", passed.join(", ")));
            return Ok(Code::Ok);
        }
        Err(CommandError::new(Code::CheckFailed, format!("failed steps: {}", failed.join(", ")))
            .remedy(format!("see above; `cargo xtask test {}` runs one again", failed[0]))
            .into())
    }
}

/// A step's command that failed.
struct Failed {
    error: Error,
    /// The log of all its output.
    log: Utf8PathBuf,
    /// libtest's output for the failed tests.
    failures: Vec<String>,
}

impl Failed {
    fn failure(&self, step: TestStep) -> anyhow::Error {
        let what = format!("{} failed", name(step));
        let error = CommandError::of_command(Code::CheckFailed, what, &self.error, SHOWN);
        let error = self.failures.iter().fold(error, |error, line| error.detail(line.clone()));
        error.detail(format!("all of it: {}", self.log)).into()
    }
}
