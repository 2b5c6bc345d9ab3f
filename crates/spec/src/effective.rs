//! The effective values as text, for `config`.

use std::fmt::{Display, Write};

use crate::spec::Profile;
use crate::{Loaded, Origin, ProfileName, Spec};

/// A key with its value and origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The dotted key: `services.ssh.host`.
    pub key: String,
    /// The value in TOML; a password other than the documented one is masked.
    pub value: String,
    /// The origin of the value.
    pub origin: Origin,
}

/// Every key that has a value, in the order of `rave.toml`: as lines of `key = value` they are a valid `rave.toml`.
///
/// `defaults.base`, `nixos.max-jobs`, `network.mode` and the limits of `sandboxes` are omitted if they are not set.
pub fn effective(loaded: &Loaded) -> Vec<Effective> {
    render(&loaded.spec, loaded.spec.guest.shown_password())
        .into_iter()
        .map(|(key, value)| {
            let origin = loaded.origins.get(&key).clone();
            Effective { key, value, origin }
        })
        .collect()
}

/// Keys and values in TOML.
pub(crate) fn render(spec: &Spec, password: &str) -> Vec<(String, String)> {
    let mut lines = Lines(Vec::new());
    lines.push("schema", crate::SCHEMA);
    lines.push("defaults.profile", text(&spec.defaults.profile));
    lines.push("defaults.formats", list(&spec.defaults.formats));
    if let Some(base) = spec.defaults.base {
        lines.push("defaults.base", text(base));
    }
    lines.push("guest.user", text(&spec.guest.user));
    lines.push("guest.password", text(password));
    lines.push("guest.hostname", text(&spec.guest.hostname));
    lines.push("guest.authorized_keys", list(&spec.guest.authorized_keys));
    lines.push("guest.gateway_names", list(&spec.guest.gateway_names));
    lines.push("guest.certificates", list(&spec.guest.certificates));
    lines.push("vm.memory", spec.vm.memory);
    lines.push("vm.cpus", spec.vm.cpus);
    lines.push("vm.disk", spec.vm.disk);
    if let Some(memory) = spec.sandboxes.memory {
        lines.push("sandboxes.memory", memory);
    }
    if let Some(disk) = spec.sandboxes.disk {
        lines.push("sandboxes.disk", disk);
    }
    lines.push("sandboxes.keep-audit", spec.sandboxes.keep_audit);
    lines.push("sandboxes.require-fence", spec.sandboxes.require_fence);
    if let Some(mode) = spec.network.mode {
        lines.push("network.mode", text(mode));
    }
    lines.push("network.allow", list(&spec.network.allow));
    lines.push("network.deny", list(&spec.network.deny));
    lines.push("compress.qemu", text(spec.compress.qemu));
    lines.push("compress.raw", text(spec.compress.raw));
    for (name, service) in spec.services.iter() {
        lines.push(format!("services.{name}.guest"), service.guest);
        lines.push(format!("services.{name}.host"), service.host);
    }
    lines.push("tools.claude", text(spec.tools.claude));
    lines.push("extra.packages", list(&spec.extra.packages));
    lines.push("extra.units", list(&spec.extra.units));
    let environment = spec.extra.environment.iter().map(|(name, value)| format!("{name}={value}"));
    lines.push("extra.environment", list(environment));
    lines.push("release.denied_licences", list(&spec.release.denied_licences));
    for (name, profile) in &spec.profiles {
        lines.profile(name, profile);
    }
    lines.push("debian.suite", text(&spec.debian.suite));
    lines.push("debian.date", text(spec.debian.date));
    for (key, mirror) in [("mirror", &spec.debian.mirror), ("security_mirror", &spec.debian.security_mirror)]
    {
        if let Some(mirror) = mirror {
            lines.push(format!("debian.{key}"), text(mirror));
        }
    }
    lines.push("debian.packages", list(&spec.debian.packages));
    for (feature, packages) in &spec.debian.features {
        lines.push(format!("debian.features.{feature}"), list(packages));
    }
    lines.push("nixos.builders", list(&spec.nixos.builders));
    lines.push("nixos.substituters", list(&spec.nixos.substituters));
    if let Some(jobs) = spec.nixos.max_jobs {
        lines.push("nixos.max-jobs", jobs);
    }
    lines.push("nixos.offline", spec.nixos.offline);
    lines.push("nixos.rebuild", spec.nixos.rebuild);
    lines.0
}

struct Lines(Vec<(String, String)>);

impl Lines {
    fn push(&mut self, key: impl Into<String>, value: impl Display) {
        self.0.push((key.into(), value.to_string()));
    }

    fn profile(&mut self, name: &ProfileName, profile: &Profile) {
        self.push(format!("profiles.{name}.description"), text(&profile.description));
        self.push(format!("profiles.{name}.hardened"), profile.hardened);
        self.push(format!("profiles.{name}.features"), list(&profile.features));
        self.push(format!("profiles.{name}.debian"), list(&profile.packages));
    }
}

fn list(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<_> = items.into_iter().map(text).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML.
fn text(value: impl Display) -> String {
    let mut quoted = String::from('"');
    for c in value.to_string().chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String never fails.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
