//! What the guest's processor lacks for the tools.

use std::fs;

/// The sentence that people get at login and in the health report where Claude Code cannot run: its program is built
/// for processors with AVX, and ends with an illegal instruction on any other.
pub(crate) const NO_AVX: &str = "this processor has no AVX: claude will not run";

/// [`NO_AVX`], where it is so.
pub(crate) fn warning() -> Option<&'static str> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    lacks_avx(&cpuinfo).then_some(NO_AVX)
}

/// Whether the flags of a processor are told and AVX is not among them (`proc_cpuinfo(5)`, on x86).
fn lacks_avx(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.into_iter().any(|(_, flags)| flags.split_whitespace().all(|flag| flag != "avx"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avx_is_a_flag_of_its_own() {
        assert!(!lacks_avx("processor\t: 0\nflags\t\t: fpu sse2 avx xsave\n"));
        assert!(lacks_avx("processor\t: 0\nflags\t\t: fpu sse2 avx2 xsave\n"));
        assert!(!lacks_avx("processor\t: 0\nFeatures\t: fp asimd\n"), "no x86, no AVX to miss");
    }
}
