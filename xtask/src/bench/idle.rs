//! Twenty idle clones: their memory, and the processor time of all.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rave_process::interrupt;

use crate::bench::tool::Tool;
use crate::bench::{Report, Unit, mebibytes};
use rave::ui::Ui;

const CLONES: usize = 20;
/// How long they do nothing before they are measured.
const IDLE: Duration = Duration::from_secs(300);
/// How long processor time is counted.
const COUNTED: Duration = Duration::from_secs(60);
/// Pss of a clone with its router, MiB.
const MEMORY_TARGET: f64 = 160.0;
/// Share of one processor that all of them use.
const CPU_TARGET: f64 = 0.4;

/// Adds the rows.
pub(crate) fn measure(report: &mut Report, tool: &Tool<'_>, ui: &Ui) -> anyhow::Result<()> {
    let names: Vec<String> = (1..=CLONES).map(|number| format!("idle-{number}")).collect();
    ui.note(&format!("bench: {CLONES} idle clones"));
    names.iter().try_for_each(|name| tool.up(name, false).map(drop))?;
    names.iter().try_for_each(|name| tool.ready(name, Instant::now()).map(drop))?;
    interrupt::pause(IDLE)?;
    let memory: Vec<u64> = names.iter().map(|name| tool.memory(name)).collect::<Result<_, _>>()?;
    let processes: Vec<[u32; 2]> = names.iter().map(|name| tool.processes(name)).collect::<Result<_, _>>()?;
    let used =
        || processes.as_flattened().iter().map(|id| processor_time(*id)).sum::<anyhow::Result<Duration>>();
    let (before, since) = (used()?, Instant::now());
    interrupt::pause(COUNTED)?;
    let share = used()?.saturating_sub(before).as_secs_f64() / since.elapsed().as_secs_f64();
    names.iter().try_for_each(|name| tool.remove(name))?;
    let memory: Vec<f64> = memory.into_iter().map(mebibytes).collect();
    let what = format!("sandbox: memory of each of {CLONES} idle clones (Pss)");
    report.add_with_target(&what, Unit::Mebibytes, &memory, MEMORY_TARGET);
    let what = format!("sandbox: processors that {CLONES} idle clones use together");
    report.add_with_target(&what, Unit::Times, &[share], CPU_TARGET);
    Ok(())
}

/// Fields 14 and 15 of `proc_pid_stat(5)`, in clock ticks.
fn processor_time(id: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).with_context(|| format!("{id} has ended"))?;
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // The first field after the name is the 3rd.
    let ticks = after.split_whitespace().skip(14 - 3).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<_, _>>()?;
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(Duration::from_secs(ticks.into()) / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let id = std::process::id();
        let (before, since) = (processor_time(id).unwrap(), Instant::now());
        while processor_time(id).unwrap() < before + Duration::from_millis(50) {
            assert!(since.elapsed() < Duration::from_secs(60));
        }
    }
}
