//! What a machine that goes on must have in common with the one that was saved, as QEMU was told.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::qemu::Build;
use crate::template::HostProcessor;

/// The part of a command line that device state depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// The kind of machine, as it was asked for.
    pub(super) kind: String,
    /// Values of the options that count, in their order.
    options: Vec<String>,
    /// The processor where the guest sees the host's.
    host: Option<HostProcessor>,
    /// QEMU's build.
    build: Build,
}

/// The options that count.
const OPTIONS: [&str; 5] = ["-m", "-smp", "-accel", "-cpu", "-device"];

impl Shape {
    /// Of arguments.
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

    /// Of a process; nothing where its program was replaced since it was started.
    pub(super) fn of_process(pid: u32, build: Build) -> Result<Option<Self>, Error> {
        let path = camino::Utf8PathBuf::from(format!("/proc/{pid}/cmdline"));
        let line = fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        // The kernel's name of a file that has none any more, proc(5).
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if program.to_string_lossy().ends_with(" (deleted)") {
            return Ok(None);
        }
        let argv: Vec<String> =
            line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Ok(Some(Self::of(&argv, build)))
    }

    /// Whether the machine's number changes when it is cloned.
    pub(super) fn has_generation(&self) -> bool {
        self.options.iter().any(|option| option.starts_with("vmgenid"))
    }
}
