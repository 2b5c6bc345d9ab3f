//! Which packages of nixpkgs are replaced, by what, and why. Everything else is built by nix.

/// One row.
#[derive(Debug)]
pub(super) struct Replacement {
    /// The name of the derivation, without its version.
    pub(super) name: &'static str,
    pub(super) by: By,
    pub(super) reason: &'static str,
}

/// What an output becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// `bin` is this folder of the host.
    Programs(&'static str),
    /// `bin` is the host's, and `lib/grub` its modules.
    Grub,
    /// `bin/rave` is this very program.
    Rave,
    /// nixpkgs' own setup script, without the hooks that only compilers need.
    StandardEnvironment,
    /// A system of a few kB, in place of a real one.
    System,
}

const SOURCE: &str = "its source cannot be fetched; the host has the same program";

const fn row(name: &'static str, by: By, reason: &'static str) -> Replacement {
    Replacement { name, by, reason }
}

/// The table. It only becomes shorter where it names stand-ins: [`MOST_STAND_INS`].
pub(super) const REPLACEMENTS: &[Replacement] = &[
    row("bash", By::Programs("/usr/bin"), SOURCE),
    row("coreutils", By::Programs("/usr/bin"), SOURCE),
    row("jq", By::Programs("/usr/bin"), SOURCE),
    row("mtools", By::Programs("/usr/bin"), SOURCE),
    row("dosfstools", By::Programs("/usr/sbin"), SOURCE),
    row("e2fsprogs", By::Programs("/usr/sbin"), SOURCE),
    row("util-linux", By::Programs("/usr/sbin"), SOURCE),
    row("grub", By::Grub, SOURCE),
    row("qemu-utils", By::Programs("/usr/bin"), SOURCE),
    row("zstd", By::Programs("/usr/bin"), SOURCE),
    row("squashfs", By::Programs("/usr/bin"), SOURCE),
    row("libisoburn", By::Programs("/usr/bin"), SOURCE),
    row("rave", By::Rave, "its crates would be fetched; it is the same source, compiled by the host"),
    row("stdenv-linux", By::StandardEnvironment, "it would be bootstrapped from compilers"),
    row("nixos-system", By::System, "STAND-IN: the payload of a whole system is not there yet"),
];

/// How many rows are stand-ins at most.
#[cfg(test)]
const MOST_STAND_INS: usize = 1;

/// The row of a derivation: its name is followed by a version, a host name, or nothing.
pub(super) fn of(derivation: &str) -> Option<&'static Replacement> {
    REPLACEMENTS.iter().find(|row| {
        derivation.strip_prefix(row.name).is_some_and(|rest| match row.by {
            By::System => rest.starts_with('-'),
            _ => {
                rest.is_empty()
                    || rest
                        .strip_prefix('-')
                        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_followed_by_a_version() {
        let name = |derivation| of(derivation).map(|row| row.name);
        assert_eq!(name("rave-0.1.0"), Some("rave"));
        assert_eq!(name("rave-disk"), None);
        assert_eq!(name("bash-5.3p9"), Some("bash"));
        assert_eq!(name("bash-completion-2.17"), None);
        assert_eq!(name("stdenv-linux"), Some("stdenv-linux"));
        assert_eq!(name("nixos-system-box-26.05"), Some("nixos-system"));
    }

    #[test]
    fn every_row_has_a_reason_and_stand_ins_only_become_fewer() {
        assert!(REPLACEMENTS.iter().all(|row| !row.reason.is_empty()), "{REPLACEMENTS:?}");
        let stand_ins = REPLACEMENTS.iter().filter(|row| row.reason.starts_with("STAND-IN: ")).count();
        assert_eq!(stand_ins, MOST_STAND_INS, "lower the bound with the table");
    }
}
