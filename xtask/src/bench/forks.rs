//! Forks of a sandbox whose programs use some memory: one, ten, and the memory of one of them.

use std::time::Instant;

use crate::bench::tool::Tool;
use crate::bench::{Report, Unit, mebibytes, seconds};

/// One fork, seconds.
const ONE_TARGET: f64 = 1.5;
/// Ten forks, seconds.
const TEN_TARGET: f64 = 5.0;
/// Pss of a fork, MiB.
const MEMORY_TARGET: f64 = 100.0;

/// Fills 400 MiB of the guest's memory with non-zero data.
const TOUCH: &str = "head -c 400M /dev/urandom > /dev/shm/touched";

/// The parent, and its ten forks.
const PARENT: &str = "parent";
const FORKS: [&str; 10] = ["f-0", "f-1", "f-2", "f-3", "f-4", "f-5", "f-6", "f-7", "f-8", "f-9"];

/// Adds the rows.
pub(super) fn measure(report: &mut Report, tool: &Tool<'_>) -> anyhow::Result<()> {
    tool.up(PARENT, false)?;
    tool.ready(PARENT, Instant::now())?;
    tool.run(&["exec", PARENT, "--", "sh", "-c", TOUCH])?;
    let (mut one, mut ten, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..report.runs {
        one.push(tool.run(&["fork", PARENT, "fork"])?);
        tool.run(&["exec", "fork", "--", "true"])?;
        memory.push(mebibytes(tool.memory("fork")?));
        tool.remove("fork")?;
        ten.push(tool.run(&[&["fork", PARENT], &FORKS[..]].concat())?);
        FORKS.iter().try_for_each(|name| tool.remove(name))?;
    }
    tool.remove(PARENT)?;
    report.add_with_target("sandbox: one fork, 400 MiB touched", Unit::Seconds, &seconds(&one), ONE_TARGET);
    report.add_with_target("sandbox: ten forks, 400 MiB touched", Unit::Seconds, &seconds(&ten), TEN_TARGET);
    report.add_with_target("sandbox: memory of a fork (Pss)", Unit::Mebibytes, &memory, MEMORY_TARGET);
    Ok(())
}
