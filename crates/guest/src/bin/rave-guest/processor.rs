//! What people are told of the guest's processor.

use rave_guest::processor::lacks_avx;
use std::fs;

/// What people get at login and in the health report where Claude Code cannot run.
const NO_AVX: &str = "this processor has no AVX: claude will not run";

/// [`NO_AVX`], where it is so.
pub(crate) fn warning() -> Option<&'static str> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    lacks_avx(&cpuinfo).then_some(NO_AVX)
}
