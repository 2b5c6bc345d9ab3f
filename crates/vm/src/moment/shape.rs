//! What a resumed machine must have in common with the saved one, according to QEMU's arguments.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::qemu::Build;
use crate::template::HostProcessor;

/// The part of a command line that device state depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// The machine type, as requested.
    pub(super) kind: String,
    /// Values of the relevant options, in order.
    options: Vec<String>,
    /// The host's processor, if it is passed through to the guest.
    host: Option<HostProcessor>,
    /// QEMU's build.
    build: Build,
}

/// The options that the state of devices depends on.
const OPTIONS: [&str; 5] = ["-m", "-smp", "-accel", "-cpu", "-device"];

impl Shape {
    /// The shape described by these arguments.
    pub(super) fn of(argv: &[String], build: Build) -> Self {
        let values = |option: &str| {
            let pairs = argv.iter().zip(argv.iter().skip(1));
            pairs.filter(|(name, _)| *name == option).map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let kind = values("-machine").first().and_then(|value| value.split(',').next().map(str::to_owned));
        let is_kvm = values("-accel").iter().any(|value| value.starts_with("kvm"));
        Self {
            kind: kind.unwrap_or_default(),
            options: OPTIONS.iter().flat_map(|option| values(option)).collect(),
            host: is_kvm.then(HostProcessor::of_this_host),
            build,
        }
    }

    /// The shape of a process; `None` if its program was replaced since it was started.
    pub(super) fn of_process(pid: u32, build: Build) -> Result<Option<Self>, Error> {
        let path = camino::Utf8PathBuf::from(format!("/proc/{pid}/cmdline"));
        let line = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        // How the kernel marks a file that was deleted, proc(5).
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if program.to_string_lossy().ends_with(" (deleted)") {
            return Ok(None);
        }
        let argv: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Ok(Some(Self::of(&argv, build)))
    }

    /// Whether the machine has a generation ID, which changes when it is cloned.
    pub(super) fn has_generation(&self) -> bool {
        self.options.iter().any(|option| option.starts_with("vmgenid"))
    }
}
