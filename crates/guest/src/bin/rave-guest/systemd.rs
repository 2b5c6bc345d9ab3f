//! Queries units of systemd with `systemctl show`, systemctl(1).

use crate::error::Error;
use crate::spawn;
use std::time::Duration;

const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,Job,StateChangeTimestampMonotonic";

/// The state of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) id: String,
    pub(crate) load: String,
    pub(crate) active: String,
    pub(crate) sub: String,
    /// `success`, or the reason of a failure in one word: `exit-code`, `timeout`, `start-limit-hit`.
    pub(crate) result: String,
    /// Whether a job is waiting or running for it.
    pub(crate) job: bool,
    /// When it entered its state, on the monotonic clock.
    pub(crate) changed_ms: u64,
}

impl Unit {
    /// `vibe-kanban.service is activating (auto-restart)`, with the reason unless it is a success.
    pub(crate) fn describe(&self) -> String {
        let Self { id, active, sub, .. } = self;
        if self.load == "not-found" {
            return format!("{id} does not exist");
        }
        match self.result.as_str() {
            "" | "success" => format!("{id} is {active} ({sub})"),
            result => format!("{id} is {active} ({sub}, {result})"),
        }
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active == "active"
    }

    /// Whether it will not start by itself: it has failed, or it is down and nothing is queued to start it. At boot
    /// systemd queues all units at once, so a unit that is down without a job was given up, such as when a unit that it
    /// requires failed.
    pub(crate) fn is_given_up(&self) -> bool {
        self.active == "failed" || self.load == "not-found" || (self.active == "inactive" && !self.job)
    }
}

/// The units with these names, in this order. One call for all, because each takes a process.
pub(crate) fn show(names: &[&str]) -> Result<Vec<Unit>, Error> {
    let mut args = vec!["show", "--property", PROPERTIES, "--"];
    args.extend(names);
    let text = spawn::output("systemctl", &args, Duration::from_secs(20))?;
    Ok(parse(&text))
}

/// One block per unit, separated by empty lines.
fn parse(text: &str) -> Vec<Unit> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(parse_unit).collect()
}

fn parse_unit(block: &str) -> Unit {
    let mut unit = Unit::default();
    for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "Id" => value.clone_into(&mut unit.id),
            "LoadState" => value.clone_into(&mut unit.load),
            "ActiveState" => value.clone_into(&mut unit.active),
            "SubState" => value.clone_into(&mut unit.sub),
            "Result" => value.clone_into(&mut unit.result),
            "Job" => unit.job = value != "0" && !value.is_empty(),
            "StateChangeTimestampMonotonic" => {
                unit.changed_ms = value.parse::<u64>().unwrap_or_default() / 1000;
            }
            _ => {}
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
Id=a.service
Result=exit-code
LoadState=loaded
ActiveState=activating
SubState=auto-restart
Job=211
StateChangeTimestampMonotonic=5120999

Id=b.service
Result=success
LoadState=loaded
ActiveState=inactive
SubState=dead
StateChangeTimestampMonotonic=0
";

    #[test]
    fn each_block_is_a_unit() {
        let units = parse(SHOWN);
        assert_eq!(units.len(), 2);
        assert_eq!(units[0].describe(), "a.service is activating (auto-restart, exit-code)");
        assert_eq!((units[0].job, units[0].changed_ms), (true, 5120));
        assert_eq!(units[1].describe(), "b.service is inactive (dead)");
    }

    #[test]
    fn a_unit_that_is_down_has_failed_unless_it_has_a_job() {
        let mut units = parse(SHOWN);
        assert!(!units[0].is_given_up());
        assert!(units[1].is_given_up());
        units[1].job = true;
        assert!(!units[1].is_given_up());
    }
}
