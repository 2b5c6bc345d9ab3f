//! Runs a plan with apt, as root or through sudo.

use std::time::Instant;

use rave_process::Cmd;
use rave_process::progress::{Event, Sink, StageOutcome};

use crate::apt::{Apt, STAGE};
use crate::apt_network::AptNetwork;
use crate::error::Error;
use crate::install_plan::InstallPlan;
use crate::package_manager::Manager;
use crate::system::Host;

/// Only apt: the other package managers differ too much between their distributions to be run unseen.
pub(crate) fn is_supported(plan: &InstallPlan) -> bool {
    plan.packages.is_empty() || plan.manager == Some(Manager::Apt)
}

/// Whether this user may run the plan, and it can be completed; `may_ask` lets sudo ask for the password.
pub(crate) fn can(host: &Host, plan: &InstallPlan, may_ask: bool) -> bool {
    is_supported(plan)
        && plan.blockers.is_empty()
        && (!plan.packages.is_empty() || !plan.root_commands.is_empty())
        && (host.is_root || (host.has_sudo && sudo_works(may_ask)))
}

fn sudo_works(may_ask: bool) -> bool {
    Cmd::new("sudo").args(["-n", "true"]).output().is_ok()
        || (may_ask && Cmd::new("sudo").arg("-v").inherit_terminal().run(&mut |_| {}).is_ok())
}

/// Runs the plan's commands, with progress. Installs nothing, and leaves nothing in apt's sources, if apt would have to
/// remove or downgrade a package.
pub(crate) fn run(plan: &InstallPlan, host: &Host, sink: Sink<'_>) -> Result<(), Error> {
    let started = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let apt = Apt { is_root: host.is_root, network: AptNetwork::of_this_process()?, sink };
    if !plan.packages.is_empty() {
        apt.install(plan)?;
    }
    for argv in &plan.root_commands {
        apt.root(argv).output().map_err(|error| Error::command("a command failed as root", error))?;
    }
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome: StageOutcome::Built });
    Ok(())
}
