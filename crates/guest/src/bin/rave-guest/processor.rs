//! Warnings about the guest's processor.

use rave_guest::processor::lacks_avx;
use std::fs;

/// The warning at login and in the health report if Claude Code cannot run.
const NO_AVX: &str = "this processor has no AVX: claude will not run";

/// [`NO_AVX`], if it applies.
pub(crate) fn warning() -> Option<&'static str> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    lacks_avx(&cpuinfo).then_some(NO_AVX)
}
