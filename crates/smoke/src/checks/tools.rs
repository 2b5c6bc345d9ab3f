//! Programs that agents use: each must run and report its version; those in the npm lock must have the locked version.

use rave_guest::assets::claude;
use rave_guest::protocol::{ClaudeState, Health};

use super::web;
use crate::guest::Guest;
use crate::http;
use crate::poll::{CheckError, Observation, ensure};

/// The oldest Node.js that the router and npm support.
const LEAST_NODE: u32 = 20;

pub(crate) fn node(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let version = printed(guest, seen, "node --version")?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure(major.is_some_and(|major| major >= LEAST_NODE), || {
        format!("node is {version}; {LEAST_NODE} or newer is required")
    })
}

pub(crate) fn npm(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    locked(guest, seen, "npm --version", "npm")
}

pub(crate) fn pnpm(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    locked(guest, seen, "pnpm --version", "pnpm")
}

pub(crate) fn yarn(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    locked(guest, seen, "yarn --version", "yarn")
}

pub(crate) fn claude(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    is_installed(guest)?;
    locked(guest, seen, "claude --version", claude::PACKAGE)
}

/// Claude Code may be installed in the guest after this check.
fn is_installed(guest: &Guest) -> Result<(), CheckError> {
    if !guest.expected.claude_at_first_boot {
        return Ok(());
    }
    let answer = http::get(guest.address("gateway")?, "/healthz", &mut Observation::default())?;
    let health: Health = web::json(&answer)?;
    match health.claude {
        Some(ClaudeState::Ready) => Ok(()),
        Some(ClaudeState::Pending) => {
            let log = claude::LOG;
            Err(CheckError::NotYet(format!(
                "Claude Code is being installed, which needs the network: {log} in the guest"
            )))
        }
        None => Err(CheckError::Failed("/healthz does not report whether Claude Code is installed".into())),
    }
}

/// As Claude Code uses them: a namespace without a network, and a relay inside it.
pub(crate) fn sandbox(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let inside = "bwrap --ro-bind / / --dev /dev --proc /proc --unshare-pid --unshare-net \
                  socat -u SYSTEM:'echo inside' STDOUT";
    prints(guest, seen, inside, "inside")
}

/// Vibe Kanban's default would download the latest version of its agents.
pub(crate) fn kanban_agent(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    is_installed(guest)?;
    let script = format!("python3 - <<'END'\n{}END", include_str!("kanban_agent.py"));
    let agent = guest.succeed(&script, seen)?;
    let claude = if guest.expected.claude_at_first_boot {
        // The search path has a launcher, which executes this program.
        claude::program()
    } else {
        guest.succeed("readlink -f \"$(command -v claude)\"", &mut Observation::default())?
    };
    ensure(agent.trim() == claude.trim(), || {
        format!("the agent is {}; the pinned claude is {}", agent.trim(), claude.trim())
    })
}

pub(crate) fn ccr(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    locked(guest, seen, "ccr --version", "@musistudio/claude-code-router")
}

pub(crate) fn python3(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "python3 --version", "Python 3.")
}

pub(crate) fn pip(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "pip --version", "pip ")
}

pub(crate) fn virtualenv(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "virtualenv --version", "virtualenv ")
}

pub(crate) fn rustc(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    // A compiler without a linker would still report its version.
    let link = "cd \"$(mktemp -d)\" && echo 'fn main(){println!(\"linked\")}' > a.rs && rustc a.rs && ./a";
    prints(guest, seen, link, "linked")?;
    prints(guest, seen, "rustc --version", "rustc 1.")
}

pub(crate) fn cargo(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "cargo --version", "cargo 1.")
}

pub(crate) fn git(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "git --version", "git version ")
}

pub(crate) fn curl(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "curl --version", "curl ")
}

pub(crate) fn wget(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "wget --version", "GNU Wget ")
}

pub(crate) fn vim(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    prints(guest, seen, "vim --version", "VIM - Vi IMproved")
}

/// Runs a command. QEMU's emulation rarely makes a sound command fail (seen once in a matrix of 16 guests: WebAssembly
/// in Node.js read out of bounds), so under emulation a failed command is run once more; the report has both attempts.
/// A crash is not retried.
fn printed(guest: &Guest, seen: &mut Observation, command: &str) -> Result<String, CheckError> {
    match guest.succeed(command, seen) {
        Err(CheckError::Failed(_)) if guest.is_emulated => guest.succeed(command, seen),
        answer => answer,
    }
}

fn prints(guest: &Guest, seen: &mut Observation, command: &str, text: &str) -> Result<(), CheckError> {
    let output = printed(guest, seen, command)?;
    ensure(output.contains(text), || {
        format!("`{command}` printed {:?}, which does not contain {text:?}", seen.answer)
    })
}

fn locked(guest: &Guest, seen: &mut Observation, command: &str, package: &str) -> Result<(), CheckError> {
    let output = printed(guest, seen, command)?;
    let version = guest.expected.npm_versions.get(package);
    let version =
        version.ok_or_else(|| CheckError::CouldNotRun(format!("{package} is not in the manifest")))?;
    let is_printed = output
        .split(|letter: char| letter.is_whitespace() || letter == ',')
        .any(|word| word.trim_start_matches('v') == version);
    ensure(is_printed, || format!("`{command}` printed {:?}; the locked version is {version}", seen.answer))
}
