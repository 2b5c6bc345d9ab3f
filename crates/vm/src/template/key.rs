//! What a clone must have in common with its template, so that QEMU and the guest's kernel can resume.

use std::fmt::{self, Write as _};
use std::fs;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::accel::{Accelerator, Engine};
use crate::qemu::Build;

/// Everything that distinguishes templates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// SHA-256 of the image's content, hexadecimal.
    pub image: String,
    /// The profile of the image.
    pub profile: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Size of the disk, MiB: the guest's file system has grown to it.
    pub disk_mib: u64,
    /// The versioned machine type.
    pub machine: String,
    /// Its devices, as in QEMU's arguments.
    pub devices: Vec<String>,
    /// QEMU's build.
    pub qemu: Build,
    /// What runs the guest's instructions, and with which processor.
    pub accelerator: Accelerator,
    /// QEMU's `-cpu`.
    pub cpu: String,
    /// The host's processor, if it is passed through to the guest.
    pub host: Option<HostProcessor>,
}

/// The host's processor and its kernel, which determine what a guest under KVM sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostProcessor {
    model: String,
    microcode: String,
    flags: String,
    kernel: String,
}

/// A key's short name, for a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyId(String);

impl Key {
    /// Fills in the facts about QEMU and the host.
    pub(super) fn with_host(self, qemu: &Build, engine: Engine) -> Self {
        let host = (engine.accelerator() == Accelerator::Kvm).then(HostProcessor::of_this_host);
        let (accelerator, cpu) = (engine.accelerator(), engine.cpu().to_owned());
        Self { qemu: qemu.clone(), accelerator, cpu, host, ..self }
    }

    /// Its name.
    #[expect(clippy::missing_panics_doc, reason = "strings, numbers and lists always serialise")]
    pub fn id(&self) -> KeyId {
        let text = serde_json::to_vec(self).expect("strings, numbers and lists always serialise");
        KeyId(hexadecimal(&Sha256::digest(&text))[..16].to_owned())
    }
}

impl KeyId {
    /// Parses the name of a lock file, `NAME.lock`.
    pub(super) fn of_lock(file: &str) -> Option<Self> {
        let name = file.strip_suffix(".lock")?;
        let is_name = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_name.then(|| Self(name.to_owned()))
    }

    /// The name of the template's folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // cannot fail
        text
    })
}

impl HostProcessor {
    pub(crate) fn of_this_host() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/cpuinfo"), read("/proc/sys/kernel/osrelease").trim())
    }

    /// Parses `/proc/cpuinfo`, proc(5).
    fn parse(cpuinfo: &str, kernel: &str) -> Self {
        let value = |key: &str| {
            let line = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            let mut found = line.filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim());
            found.next().unwrap_or_default().to_owned()
        };
        let (model, microcode, flags) = (value("model name"), value("microcode"), value("flags"));
        Self { model, microcode, flags, kernel: kernel.to_owned() }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::template) fn key() -> Key {
        let version = crate::qemu::OLDEST;
        let build = serde_json::json!({
            "schema": 1, "program": "/usr/bin/qemu", "version": version, "size": 1, "modified": [2, 3],
        });
        Key {
            image: "ab".repeat(32),
            profile: "headless".into(),
            memory_mib: 1024,
            cpus: 2,
            disk_mib: 8192,
            machine: "pc-q35-10.0".into(),
            devices: vec!["virtio-rng-pci".into()],
            qemu: serde_json::from_value(build).unwrap(),
            accelerator: Accelerator::Tcg,
            cpu: "max".into(),
            host: None,
        }
    }

    #[test]
    fn every_change_gives_another_template_key() {
        let mut other = key().qemu;
        other.program = "/usr/local/bin/qemu".into();
        let all = [
            key(),
            Key { image: "cd".repeat(32), ..key() },
            Key { profile: "simple".into(), ..key() },
            Key { memory_mib: 2048, ..key() },
            Key { cpus: 1, ..key() },
            Key { disk_mib: 4096, ..key() },
            Key { machine: "pc-q35-10.1".into(), ..key() },
            Key { devices: Vec::new(), ..key() },
            Key { qemu: other, ..key() },
            Key { accelerator: Accelerator::Kvm, ..key() },
            Key { cpu: "host".into(), ..key() },
            Key { host: Some(HostProcessor::parse("microcode : 0x1", "6.1")), ..key() },
            Key { host: Some(HostProcessor::parse("microcode : 0x2", "6.1")), ..key() },
            Key { host: Some(HostProcessor::parse("microcode : 0x1", "6.2")), ..key() },
        ];
        let mut names: Vec<String> = all.iter().map(|key| key.id().to_string()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert_eq!(key().id(), key().id());
    }

    #[test]
    fn the_first_processor_determines_the_key() {
        let text = "processor\t: 0\nmodel name\t: Foo 1\nmicrocode\t: 0x5\n\nmodel name\t: Bar\n";
        let host = HostProcessor::parse(text, "6.1.0");
        assert_eq!((host.model.as_str(), host.microcode.as_str()), ("Foo 1", "0x5"));
    }
}
