//! How long a process has been running.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

/// How long the process has been running, not counting the time that the host slept; `None` if there is no such
/// process.
pub fn process_age(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    age(&stat, &uptime, clock_ticks_per_second())
}

/// Field 22 of `/proc/PID/stat` is the start time in clock ticks since the host's boot (`proc_pid_stat(5)`). The name
/// before it, in parentheses, may itself contain spaces and parentheses.
fn age(stat: &str, uptime: &str, ticks: u64) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let started: u64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    #[allow(clippy::cast_precision_loss)] // ticks of ten years fit
    let age = uptime - started as f64 / ticks as f64;
    Duration::try_from_secs_f64(age.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_parsed_after_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 25000 123 9";
        assert_eq!(age(stat, "300.50 1.0", 100), Some(Duration::from_millis(50_500)));
        assert_eq!(age("7 (x)", "300.5 1", 100), None);
        let own = process_age(std::process::id()).unwrap();
        assert!(own < Duration::from_secs(3600), "{own:?}");
    }
}
