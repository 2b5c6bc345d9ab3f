//! Names: closed sets (formats, bases, services) and checked texts (user, host, profile, package, suite).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidValue;

/// A closed set of names: the enum, its texts, `ALL`, `FromStr`, `Display`.
macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident, $thing:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All values, in display order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in `rave.toml` and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;
            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let known = Self::ALL.iter().copied();
                known.clone().find(|name| name.as_str() == text)
                    .ok_or_else(|| InvalidValue::unknown($thing, text, known.map(Self::as_str)))
            }
        }
    };
}

closed_set! {
    /// An image format; each is one artifact.
    Format, "format" {
        /// qcow2, for QEMU and libvirt.
        Qemu = "qemu",
        /// OVA with a VMDK, for `VirtualBox`.
        Virtualbox = "virtualbox",
        /// VMDK, for `VMware`.
        Vmware = "vmware",
        /// The raw disk.
        Raw = "raw",
        /// A bootable ISO image.
        Iso = "iso",
    }
}

closed_set! {
    /// How an artifact is compressed.
    Compression, "compression" {
        /// Not at all.
        None = "none",
        /// DEFLATE, which every QEMU reads.
        Zlib = "zlib",
        /// Zstandard.
        Zstd = "zstd",
    }
}

closed_set! {
    /// When Claude Code, which not everybody may redistribute, is installed in a guest.
    ClaudeCode, "value of tools.claude" {
        /// It is in the image.
        Baked = "baked",
        /// The guest installs it once it has a network.
        FirstBoot = "first-boot",
    }
}

closed_set! {
    /// What a sandbox may reach if no rule decides.
    NetworkMode, "network mode" {
        /// Nothing.
        Restricted = "restricted",
        /// Nothing, even if rules allow it.
        Offline = "offline",
        /// Public addresses; the rules that a list would need are recorded.
        Learn = "learn",
        /// Public addresses.
        Open = "open",
    }
}

closed_set! {
    /// The source of an image's time stamps.
    Date, "date" {
        /// The date of the packages: a commit that changes no input changes no image.
        Lock = "lock",
        /// The date of the commit.
        Commit = "commit",
    }
}

closed_set! {
    /// The system that the guest's root filesystem is built from.
    Base, "base" {
        /// `NixOS`, built by Nix.
        Nixos = "nixos",
        /// Debian, built by mmdebstrap.
        Debian = "debian",
    }
}

closed_set! {
    /// A service of the guest that the host reaches through a forwarded port.
    ServiceName, "service" {
        /// Vibe Kanban.
        Kanban = "kanban",
        /// Claude Code Router.
        Router = "router",
        /// nginx in front of both.
        Gateway = "gateway",
        /// OpenSSH.
        Ssh = "ssh",
    }
}

closed_set! {
    /// What a profile may add to the common content of guests; the same on each base.
    Feature, "feature" {
        /// Xfce with automatic login, Chromium, a network applet.
        Desktop = "desktop",
        /// Sound in programs and on the desktop.
        Sound = "sound",
        /// Docker with compose, for the user.
        Docker = "docker",
        /// C and C++ compilers, and make.
        BuildTools = "build-tools",
        /// A virtual screen, for programs that need one.
        VirtualScreen = "virtual-screen",
        /// The desktop over VNC, on loopback.
        Vnc = "vnc",
        /// Playwright, which drives the system's Chromium.
        Playwright = "playwright",
        /// Common command line tools: zip, tree, htop, nano.
        EverydayTools = "everyday-tools",
        /// cloud-init, and the guest agents of QEMU and `VMware`.
        Cloud = "cloud",
    }
}

/// Defines a text type that can only be created by its check.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidValue;
            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let check: fn(&str) -> Result<(), InvalidValue> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidValue;
            fn try_from(text: String) -> Result<Self, InvalidValue> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}
pub(crate) use checked_text;

checked_text! {
    /// A login name that Debian's `adduser` and `useradd` accept and that no package of the base uses.
    ///
    /// `NAME_REGEX` of adduser.conf(5) without its trailing `$` (for Samba machine accounts), and at most 32 characters
    /// as in useradd(8).
    UserName, check_user_name
}

checked_text! {
    /// A host name by RFC 1123 section 2.1, at most 64 characters (`HOST_NAME_MAX` of Linux, gethostname(2)).
    Hostname, check_hostname
}

checked_text! {
    /// The name of a profile, which is a part of its artifacts' paths.
    ProfileName, check_profile_name
}

checked_text! {
    /// The name of a package in the base's archive, by Debian policy 5.6.1.
    PackageName, check_package_name
}

checked_text! {
    /// A suite of Debian's archive, such as `trixie`.
    Suite, check_suite
}

checked_text! {
    /// The identifier of a licence: `license-id` or `license-ref` of SPDX 2.3, annex D.
    LicenceName, check_licence_name
}

/// Users and groups of base-passwd (adduser creates a group with the user's name), and those that the base's packages
/// add.
#[rustfmt::skip]
pub const RESERVED_USERS: &[&str] = &[
    // base-passwd, passwd.master
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "backup",
    "list", "irc", "nobody",
    // base-passwd, group.master
    "adm", "tty", "disk", "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip", "operator",
    "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "users", "nogroup",
    // dbus, openssh-server, udev, polkit
    "messagebus", "sshd", "input", "kvm", "render", "sgx", "clock", "polkitd",
    // lightdm, network-manager, docker.io, dhcpcd-base
    "lightdm", "netdev", "docker", "dhcpcd",
];

fn check_user_name(text: &str) -> Result<(), InvalidValue> {
    const EXPECTED: &str = "a lower-case letter, then letters a-z, digits, - or _, at most 32 characters";
    if !starts_lower_then(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_')) || text.len() > 32 {
        return Err(InvalidValue::new(format!("{text:?} is not a valid Debian user name"), EXPECTED));
    }
    if RESERVED_USERS.contains(&text) || text.starts_with("systemd-") {
        return Err(InvalidValue::new(format!("user name {text:?} is reserved by Debian"), "another name"));
    }
    Ok(())
}

fn check_hostname(text: &str) -> Result<(), InvalidValue> {
    const EXPECTED: &str = "labels of letters, digits and inner hyphens with dots between, not a number last, at most 64 characters";
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A number in the last place would be read as an IPv4 address (RFC 1123 section 2.1).
    let numeric_end = text.rsplit('.').next().is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    if text.len() <= 64 && text.split('.').all(label) && !numeric_end {
        return Ok(());
    }
    Err(InvalidValue::new(format!("{text:?} is not a host name"), EXPECTED))
}

fn check_profile_name(text: &str) -> Result<(), InvalidValue> {
    if starts_lower_then(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '-')) && text.len() <= 32 {
        return Ok(());
    }
    Err(InvalidValue::new(
        format!("{text:?} is not a profile name"),
        "a lower-case letter, then letters a-z, digits or -, at most 32 characters",
    ))
}

fn check_package_name(text: &str) -> Result<(), InvalidValue> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '+' | '-' | '.');
    if text.len() >= 2 && starts_well && text.chars().all(rest) {
        return Ok(());
    }
    Err(InvalidValue::new(
        format!("{text:?} is not a package name"),
        "at least two of a-z, 0-9, +, - and ., the first a letter or digit",
    ))
}

fn check_suite(text: &str) -> Result<(), InvalidValue> {
    if starts_lower_then(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Ok(());
    }
    Err(InvalidValue::new(format!("{text:?} is not a suite"), "a name such as trixie"))
}

fn check_licence_name(text: &str) -> Result<(), InvalidValue> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '+');
    if !text.is_empty() && text.len() <= 100 && text.chars().all(name) {
        return Ok(());
    }
    Err(InvalidValue::new(
        format!("{text:?} is not the identifier of a licence"),
        "one of SPDX such as SSPL-1.0, or LicenseRef- and a name",
    ))
}

fn starts_lower_then(text: &str, rest: impl Fn(char) -> bool) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enum_names_round_trip() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(*format));
        }
        for base in Base::ALL {
            assert_eq!(base.to_string().parse(), Ok(*base));
        }
        for service in ServiceName::ALL {
            assert_eq!(service.to_string().parse(), Ok(*service));
        }
        assert_eq!(
            "vmwear".parse::<Format>().unwrap_err().to_string(),
            r#"unknown format "vmwear"; did you mean "vmware"?"#
        );
    }

    #[test]
    fn names_at_their_limits_are_accepted() {
        assert!("a".repeat(32).parse::<UserName>().is_ok());
        assert!("a-b_c9".parse::<UserName>().is_ok());
        assert!(format!("{}.x", "a".repeat(62)).parse::<Hostname>().is_ok());
        assert!("a".repeat(63).parse::<Hostname>().is_ok());
        assert!("3com.Example".parse::<Hostname>().is_ok());
        assert!("g++".parse::<PackageName>().is_ok());
        assert!("libc6.1-dev".parse::<PackageName>().is_ok());
    }

    #[test]
    fn names_past_their_limits_are_refused() {
        for name in ["", "a b", "ä", "-a", "_apt", "a.b", "nobody", "systemd-resolve"] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
        for name in ["", ".", "a..b", "a.", "ä", "-a", "a b", "42"] {
            assert!(name.parse::<Hostname>().is_err(), "{name:?}");
        }
        assert!(format!("{}.x", "a".repeat(63)).parse::<Hostname>().is_err());
        for name in ["", "a", "+a", "a_b", "a/b", "a b", "a\n"] {
            assert!(name.parse::<PackageName>().is_err(), "{name:?}");
        }
        for name in ["", "..", "a/b", "A", "a_b", &"a".repeat(33)] {
            assert!(name.parse::<ProfileName>().is_err(), "{name:?}");
        }
    }
}
