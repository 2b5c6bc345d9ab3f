//! The processor features that the tools need. Claude Code's program is built for processors with AVX, and fails with
//! an illegal instruction on others.

/// Whether `/proc/cpuinfo` (`proc_cpuinfo(5)`, on x86) lists a processor's flags without AVX.
pub fn lacks_avx(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter_map(|line| line.strip_prefix("flags")?.split_once(':'));
    flags.into_iter().any(|(_, flags)| flags.split_whitespace().all(|flag| flag != "avx"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avx_is_distinguished_from_similar_flags() {
        assert!(!lacks_avx("processor\t: 0\nflags\t\t: fpu sse2 avx xsave\n"));
        assert!(lacks_avx("processor\t: 0\nflags\t\t: fpu sse2 avx2 xsave\n"));
        assert!(!lacks_avx("processor\t: 0\nFeatures\t: fp asimd\n"), "no x86, no AVX to miss");
    }
}
