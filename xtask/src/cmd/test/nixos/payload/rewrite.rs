//! Names that programs have compiled in, replaced by names of the same length, so that nothing in a file moves.

/// The ELF interpreter of the payload's programs.
pub(in super::super) const LOADER: &str = "/nix//////////////////ld.so";

/// What it replaces (System V ABI for AMD64, section 5.2.1). Any byte of an ELF file may be before it.
const INTERPRETER: &str = "/lib64/ld-linux-x86-64.so.2";

/// What is replaced, by what. A name counts only as a whole: nothing that continues a path or a word is before it, and no letter
/// after it.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("/usr/lib", "/nix/lib"),
    ("/usr/lib64", "/nix/lib64"),
    ("/usr/libexec", "/nix/libexec"),
    ("/usr/bin", "/nix/bin"),
    ("/usr/sbin", "/nix/sbin"),
    ("/usr/share", "/nix/share"),
    ("/usr/include", "/nix/include"),
    (INTERPRETER, LOADER),
    // ld.so(8): its cache and its default folders, or the host's libraries come first.
    ("/lib/x86_64-linux-gnu", "/nix/x86_64-linux-gnu"),
    ("/etc/ld.so.cache", "/nix/ld.so.cache"),
];

/// Only at the start of a file: the guest's `/bin` may not be mounted yet.
const INTERPRETERS: &[(&[u8], &[u8])] = &[
    (b"#!/bin/sh", b"#!/nix/sh"),
    (b"#! /bin/sh", b"#! /nix/sh"),
    (b"#!/bin/bash", b"#!/nix/bash"),
    (b"#! /bin/bash", b"#! /nix/bash"),
];

/// sshd's folder without privileges (sshd(8), FILES). The end of the name is the user's name too.
pub(in super::super) const SSHD: (&str, &str) = ("/run/sshd", "/nix/sshd");

/// Replaces all of them in a file's bytes; says whether there was any.
pub(in super::super) fn rewrite(bytes: &mut [u8], more: &[(&str, &str)]) -> bool {
    let mut any = false;
    for (from, to) in INTERPRETERS {
        if bytes.starts_with(from) && !bytes.get(from.len()).is_some_and(|next| is_word(*next)) {
            bytes[..to.len()].copy_from_slice(to);
            any = true;
        }
    }
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'/') {
        at += found;
        if continues(&bytes[..at]) && !bytes[at..].starts_with(INTERPRETER.as_bytes()) {
            at += 1;
            continue;
        }
        let fits = |(from, _): &&(&str, &str)| {
            bytes[at..].starts_with(from.as_bytes())
                && !bytes.get(at + from.len()).is_some_and(|next| is_word(*next))
        };
        match NAMES.iter().chain(more).find(fits) {
            Some((_, to)) => {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
                at += to.len();
                any = true;
            }
            None => at += 1,
        }
    }
    any
}

/// Whether a path or a word goes on after these bytes. A compiler's `-I` and `-L` are none.
fn continues(before: &[u8]) -> bool {
    let is_option = before.ends_with(b"-I") || before.ends_with(b"-L");
    before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_.-+}/)]*".contains(byte))
        && !is_option
}

/// A letter of a longer name.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        rewrite(&mut bytes, &[SSHD]);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_name_keeps_its_length() {
        for (from, to) in NAMES.iter().chain([&SSHD]) {
            assert_eq!(from.len(), to.len(), "{from}");
        }
        for (from, to) in INTERPRETERS {
            assert_eq!(from.len(), to.len(), "{from:?}");
        }
    }

    #[test]
    fn whole_names_are_replaced_and_nothing_else() {
        assert_eq!(rewritten("PATH=/usr/sbin:/usr/bin"), "PATH=/nix/sbin:/nix/bin");
        assert_eq!(rewritten("-L/usr/lib -I/usr/include"), "-L/nix/lib -I/nix/include");
        assert_eq!(rewritten("\0/usr/lib64\0/usr/lib/\0"), "\0/nix/lib64\0/nix/lib/\0");
        assert_eq!(rewritten("/lib64/ld-linux-x86-64.so.2\0"), "/nix//////////////////ld.so\0");
        assert_eq!(rewritten("\u{7f}x/lib64/ld-linux-x86-64.so.2\0"), "\u{7f}x/nix//////////////////ld.so\0");
        for other in ["$root/usr/bin", "/usr/local/bin", "/usr/library", "/sysroot/usr/lib", "${x}/usr/lib"] {
            assert_eq!(rewritten(other), other);
        }
        assert_eq!(rewritten("/run/sshd\0"), "/nix/sshd\0");
    }

    #[test]
    fn interpreters_are_replaced_at_the_start_of_a_file_alone() {
        assert_eq!(rewritten("#!/bin/sh -e\n"), "#!/nix/sh -e\n");
        assert_eq!(rewritten("#! /bin/bash\n#!/bin/sh\n"), "#! /nix/bash\n#!/bin/sh\n");
        assert_eq!(rewritten("#!/usr/bin/python3\n"), "#!/nix/bin/python3\n");
        assert_eq!(rewritten("#!/bin/shfmt\n"), "#!/bin/shfmt\n");
    }
}
