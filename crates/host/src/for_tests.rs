//! Requirements of tests only, as data. A test that lacks one says so and passes.

use crate::requirement::{Part, Probe, Requirement, packages};

pub(crate) const TEST: &[Part] = &[Part::Test];

/// Program names of Chromium and browsers based on it.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// In the order of doctor's rows, after the requirements of images and machines.
pub(crate) const FOR_TESTS: &[Requirement] = &[
    Requirement {
        name: "nginx",
        why: "tests of the gateway run the guest's settings under it",
        probe: Probe::Program,
        packages: packages("nginx", "nginx", "nginx", "nginx", "nginx").with_units(&["nginx.service"]),
        parts: TEST,
    },
    Requirement {
        name: "sshd",
        why: "a test reads the guest's settings with it",
        probe: Probe::Program,
        packages: packages("openssh-server", "openssh-server", "openssh", "openssh-server", "")
            .with_units(&["ssh.service", "ssh.socket"]),
        parts: TEST,
    },
    Requirement {
        name: "visudo",
        why: "a test checks the guest's sudo rule with it",
        probe: Probe::Program,
        packages: packages("sudo", "sudo", "sudo", "sudo", ""),
        parts: TEST,
    },
    Requirement {
        name: "systemd-analyze",
        why: "tests verify the guest's units with it",
        probe: Probe::Program,
        packages: packages("systemd", "systemd", "systemd", "systemd", ""),
        parts: TEST,
    },
    Requirement {
        name: "unzip",
        why: "tests unpack an npm tool with it",
        probe: Probe::Program,
        packages: packages("unzip", "unzip", "unzip", "unzip", "unzip"),
        parts: TEST,
    },
    Requirement {
        name: "xz",
        why: "tests unpack a kernel's modules with it",
        probe: Probe::Program,
        packages: packages("xz-utils", "xz", "xz", "xz", "xz"),
        parts: TEST,
    },
    Requirement {
        name: "curl",
        why: "a test of forwarded pages uses it as a client",
        probe: Probe::Program,
        packages: packages("curl", "curl", "curl", "curl", "curl"),
        parts: TEST,
    },
    Requirement {
        name: "bzip2",
        why: "tests pack disks with it",
        probe: Probe::Program,
        packages: packages("bzip2", "bzip2", "bzip2", "bzip2", "bzip2"),
        parts: TEST,
    },
    Requirement {
        name: "lz4",
        why: "tests pack disks with it",
        probe: Probe::Program,
        packages: packages("lz4", "lz4", "lz4", "lz4", "lz4"),
        parts: TEST,
    },
    Requirement {
        name: "less",
        why: "a test shows a diff in it",
        probe: Probe::Program,
        packages: packages("less", "less", "less", "less", "less"),
        parts: TEST,
    },
    Requirement {
        name: "sgdisk",
        why: "smoke asks it too about a raw disk's partition table",
        probe: Probe::Program,
        packages: packages("gdisk", "gdisk", "gptfdisk", "gptfdisk", "gptfdisk"),
        parts: TEST,
    },
    Requirement {
        name: "xmllint",
        why: "smoke asks it too about an OVA's descriptor",
        probe: Probe::Program,
        packages: packages("libxml2-utils", "libxml2", "libxml2", "libxml2-tools", "libxml2"),
        parts: TEST,
    },
    Requirement {
        name: "chromium",
        why: "a test opens the smoke report in it",
        probe: Probe::AnyProgram { of: BROWSERS },
        packages: packages("chromium", "chromium", "chromium", "chromium", ""),
        parts: TEST,
    },
    Requirement {
        name: "Xvfb",
        why: "the screen on which a test opens `run --gui`",
        probe: Probe::Program,
        packages: packages("xvfb", "xorg-x11-server-Xvfb", "xorg-server-xvfb", "xorg-x11-server-Xvfb", ""),
        parts: TEST,
    },
];
