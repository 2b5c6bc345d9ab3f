//! Where a file of a package lies in the tree.

/// Links in `/nix` that the rewritten names lead through, and what they lead to in the tree.
pub(in super::super) const LINKS: &[(&str, &str)] = &[
    ("bin", "bin"),
    ("sbin", "sbin"),
    ("lib", "lib"),
    ("lib64", "lib"),
    ("libexec", "libexec"),
    ("share", "share"),
    ("include", "include"),
    ("x86_64-linux-gnu", "lib/x86_64-linux-gnu"),
    ("ld.so", "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
    ("sh", "bin/bash"),
    ("bash", "bin/bash"),
    ("sshd", "empty"),
];

/// Folders that systemd would read besides NixOS's own: moved out of its sight.
const VENDOR: &[&str] = &[
    "lib/systemd/system/",
    "lib/systemd/user/",
    "lib/systemd/system-preset/",
    "lib/systemd/user-preset/",
    "lib/systemd/initrd-preset/",
    "lib/tmpfiles.d/",
    "lib/sysusers.d/",
    "lib/sysctl.d/",
    "lib/modules-load.d/",
    "lib/binfmt.d/",
    "lib/environment.d/",
    "lib/kernel/",
];

/// Folders in which only systemd's and udev's own files stay.
const VENDOR_OF_OTHERS: &[&str] = &[
    "lib/systemd/network/",
    "lib/udev/rules.d/",
    "lib/systemd/system-generators/",
    "lib/systemd/user-generators/",
];

/// Documents and what only dpkg needs.
const LEFT_OUT: &[&str] = &[
    "share/doc/",
    "share/doc-base/",
    "share/man/",
    "share/info/",
    "share/lintian/",
    "share/bug/",
    "share/locale/",
    "share/perl5/debconf",
    "share/menu/",
    "share/linda/",
];

/// The place of a file that a package has at this path; none: it is left out.
pub(in super::super) fn place_of(package: &str, path: &str) -> Option<String> {
    let path = path.trim_start_matches("./").trim_start_matches('/');
    let below = match path.split_once('/')? {
        ("usr", below) => below.to_owned(),
        ("bin" | "sbin" | "lib" | "lib64" | "etc" | "boot", _) => path.to_owned(),
        _ => return None,
    };
    let below = match below.strip_prefix("lib64/") {
        Some(rest) => format!("lib/{rest}"),
        None => below,
    };
    if LEFT_OUT.iter().any(|folder| below.starts_with(folder)) {
        return None;
    }
    let systemds = matches!(package, "systemd" | "udev") || package.starts_with("systemd-");
    let hidden = VENDOR.iter().any(|folder| below.starts_with(folder))
        || (!systemds && VENDOR_OF_OTHERS.iter().any(|folder| below.starts_with(folder)));
    Some(if hidden { format!("vendor/{below}") } else { below })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_folders_are_one_and_vendors_are_out_of_sight() {
        let of = |package, path| place_of(package, path).unwrap_or_default();
        assert_eq!(of("acl", "./usr/bin/setfacl"), "bin/setfacl");
        assert_eq!(of("acl", "./bin/setfacl"), "bin/setfacl");
        assert_eq!(of("libc6", "./usr/lib64/ld-linux-x86-64.so.2"), "lib/ld-linux-x86-64.so.2");
        assert_eq!(
            of("dbus", "./usr/lib/systemd/system/dbus.service"),
            "vendor/lib/systemd/system/dbus.service"
        );
        assert_eq!(of("lvm2", "./usr/lib/udev/rules.d/69-lvm.rules"), "vendor/lib/udev/rules.d/69-lvm.rules");
        assert_eq!(
            of("udev", "./usr/lib/udev/rules.d/99-systemd.rules"),
            "lib/udev/rules.d/99-systemd.rules"
        );
        assert_eq!(of("acl", "./usr/share/doc/acl/README"), "");
        assert_eq!(of("acl", "./var/lib/x"), "");
    }
}
