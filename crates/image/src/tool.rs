//! Programs that write an image's bytes, run without the builder's variables that would affect these bytes.

use std::env;
use std::ffi::{OsStr, OsString};

use rave_process::Cmd;

/// Variables that affect a program's output: tar(1), xz(1), gzip(1), bzip2(1), zstd(1), mke2fs(8), mtools(5), perl(1),
/// Node.js ("Command-line API"), dpkg(1), Cargo's reference ("Environment variables Cargo reads").
const REMOVED: &[&str] = &[
    "BZIP",
    "BZIP2",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_INCREMENTAL",
    "DPKG_FORCE",
    "DPKG_ROOT",
    // Takes precedence over `SOURCE_DATE_EPOCH`.
    "E2FSPROGS_FAKE_TIME",
    "GZIP",
    "MTOOLSRC",
    "NODE_OPTIONS",
    "PERL5LIB",
    "PERL5OPT",
    "POSIXLY_CORRECT",
    "RUSTFLAGS",
    "TAR_OPTIONS",
    "XZ_DEFAULTS",
    "XZ_OPT",
    "ZSTD_CLEVEL",
    "ZSTD_NBTHREADS",
];

/// The same by prefix. npm's variables are not included: some set a registry or a proxy, and its command line overrides
/// the others. The guest's own Python runs while packages are configured, and honours the builder's variables.
const REMOVED_PREFIXES: &[&str] = &["CARGO_PROFILE_", "MKE2FS_", "MTOOLS_", "PYTHON"];

/// The command for such a program.
pub(crate) fn tool(program: impl Into<OsString>) -> Cmd {
    without(Cmd::new(program), env::vars_os().map(|(name, _)| name))
}

fn without(command: Cmd, names: impl Iterator<Item = OsString>) -> Cmd {
    names.filter(|name| is_removed(name)).fold(command, Cmd::env_remove)
}

fn is_removed(name: &OsStr) -> bool {
    let starts = |prefix: &&str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
    REMOVED.iter().any(|removed| name == *removed) || REMOVED_PREFIXES.iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_bytes_are_removed_and_network_variables_kept() {
        let removed = ["TAR_OPTIONS", "PYTHONHASHSEED", "MKE2FS_CONFIG", "CARGO_PROFILE_GUEST_LTO"];
        let kept =
            ["PATH", "HOME", "npm_config_registry", "https_proxy", "CARGO_HOME", "MYPYTHON", "TAR_OPTIONS2"];
        for name in removed {
            assert!(is_removed(OsStr::new(name)), "{name}");
        }
        for name in kept {
            assert!(!is_removed(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn removed_variables_are_invisible_to_a_command() {
        let inherited =
            Cmd::new("sh").env("TAR_OPTIONS", "--mtime=@1").env("https_proxy", "http://proxy.test");
        let names = ["TAR_OPTIONS", "https_proxy"].map(OsString::from).into_iter();
        let command = without(inherited, names).args(["-c", "echo ${TAR_OPTIONS-none} $https_proxy"]);
        assert_eq!(command.output().unwrap().stdout, b"none http://proxy.test\n");
    }
}
