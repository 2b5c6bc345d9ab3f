//! `run --detach`: a background process continues the guest's network, and exits with QEMU.

use std::fs;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_process::{Cmd, interrupt, shell_quote};
use rave_vm::{Instance, network};

use crate::cli;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::program::this_program;

/// How long the background process may take to start.
const LIMIT: Duration = Duration::from_secs(60);
/// How often the start is polled.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of its output is reported, bytes.
const MAX_LOG_TAIL: usize = 2000;

/// The name of the hidden command.
const COMMAND: &str = "serve-network";

/// Runs the hidden command: serves until the machine has ended.
pub(crate) fn serve(args: &cli::ServeNetwork) -> anyhow::Result<Code> {
    network::serve(&args.run_dir)?;
    Ok(Code::Ok)
}

/// Hands the guest's network over to a process that outlives this one; returns its id.
pub(super) fn hand_over(instance: &mut Instance) -> anyhow::Result<u32> {
    let program = this_program()?;
    let run_dir = instance.machine().files.run_dir.clone();
    let log = run_dir.join("network.log");
    instance.hand_network_over()?;
    // setsid(1) starts the program in a session without a terminal; see rave_sandbox::start.
    let command = Cmd::new("setsid")
        .args(["--fork", program.as_str(), COMMAND, run_dir.as_str()])
        .current_dir("/")
        .log_file(log.as_std_path());
    command.spawn()?.detach();
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(pid) = network::served_by(&run_dir) {
            return Ok(pid);
        }
        // The first line is the command; the program prints nothing unless it fails.
        let tail = log_tail(&log);
        let has_failed = tail.ends_with('\n') && tail.lines().count() > 1;
        if has_failed || Instant::now() >= deadline {
            return Err(CommandError::host_not_ready(
                "the guest's network could not continue without this process",
            )
            .detail(tail.trim().to_owned())
            .remedy("run it without --detach")
            .into());
        }
        interrupt::pause(PAUSE)?;
    }
}

/// The command that restores the network after its process was killed.
pub(super) fn restore_command(run_dir: &Utf8Path) -> String {
    format!("cargo xtask {COMMAND} {}", shell_quote(run_dir.as_str()))
}

fn log_tail(log: &Utf8Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MAX_LOG_TAIL)..]).into_owned()
}
