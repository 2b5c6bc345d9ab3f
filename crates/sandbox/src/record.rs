//! The description of a sandbox in its folder.

use camino::Utf8Path;
use rave_fs::Replace;
use rave_spec::Format;
use rave_vm::keys::KeyPair;
use rave_vm::machine::{Disk, DiskExtent, Fence, Grants, Link, Machine, Overlay};
use rave_vm::ports::{PortForward, PortPolicy, PortRequest};
use rave_vm::sandbox::Hardware;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::SandboxName;
use crate::place::Place;

/// The version of the record.
pub const SCHEMA: u32 = 1;

/// The longest record that is read, bytes.
const LIMIT: usize = 1 << 20;

/// A sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`] of the version that wrote it.
    pub schema: u32,
    /// Its name.
    pub name: SandboxName,
    /// When it was created, seconds since 1970.
    pub created: u64,
    /// The base of its image.
    pub base: String,
    /// The profile of its image.
    pub profile: String,
    /// The format of its image.
    pub format: Format,
    /// The guest's user.
    pub user: String,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Size of the disk, MiB.
    pub disk_mib: u64,
    /// The host's ports for its services.
    pub ports: Vec<PortChoice>,
    /// When to stop it automatically.
    #[serde(default)]
    pub expiry: Expiry,
    /// Do not start it if this host cannot provide all of QEMU's fence.
    #[serde(default)]
    pub require_fence: bool,
    /// The parent that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// Where a fork came from. The parent may have been replaced or removed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The parent's name.
    pub name: SandboxName,
    /// When it was forked, seconds since 1970.
    pub when: u64,
}

/// When to stop a sandbox automatically. Its disk stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// This long after its start, seconds.
    pub ttl: Option<u64>,
    /// This long after it was last used, seconds.
    pub idle: Option<u64>,
}

/// The port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortChoice {
    /// The service's name in `rave.toml`.
    pub service: String,
    /// Its port in the guest.
    pub guest: u16,
    /// The host's port, if one was requested; otherwise any free port.
    pub host: Option<u16>,
}

impl Record {
    pub(crate) fn parse(path: &Utf8Path, bytes: &[u8]) -> Result<Self, Error> {
        let bad = |why: String| Error::BadRecord { path: path.to_owned(), why };
        if bytes.len() > LIMIT {
            return Err(bad("it is too long".into()));
        }
        let value: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
        match value["schema"].as_u64() {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            other => return Err(bad(format!("its schema is {other:?}, and this version reads {SCHEMA}"))),
        }
        serde_json::from_value(value).map_err(|error| bad(error.to_string()))
    }

    /// Saves the record; the sandbox exists from then on.
    pub fn save(&self, place: &Place) -> Result<(), Error> {
        let path = place.record();
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::io("write", &path, e.into()))?;
        Replace::new(&path).mode(0o600).write(text).map_err(|e| Error::io("write", &path, e))
    }

    /// The requests for its ports, preferring those in `last`.
    pub(crate) fn port_requests(&self, last: &[(String, u16)]) -> Vec<PortRequest> {
        let request = |choice: &PortChoice| {
            let before = last.iter().find(|(service, _)| *service == choice.service).map(|(_, port)| *port);
            let policy = match (choice.host, before) {
                (Some(port), _) => PortPolicy::Fixed(port),
                (None, Some(port)) => PortPolicy::FixedOrFree(port),
                (None, None) => PortPolicy::Auto,
            };
            PortRequest::new(&choice.service, choice.guest, policy)
        };
        self.ports.iter().map(request).collect()
    }

    /// The machine, with these ports.
    pub fn machine(&self, place: &Place, forwards: Vec<PortForward>) -> Result<Machine, Error> {
        let bad = |why: String| Error::BadRecord { path: place.record(), why };
        let folder = place.disk();
        let on = place
            .on()
            .ok_or_else(|| bad(format!("the image of its disk is missing from {}", folder.folder())))?;
        Ok(Machine { forwards, ..self.bare_machine(place, &on)? })
    }

    /// The machine without its ports, for attaching to one that is already running.
    pub fn running_machine(&self, place: &Place) -> Result<Machine, Error> {
        self.bare_machine(place, &place.on().unwrap_or_default())
    }

    fn bare_machine(&self, place: &Place, on: &Utf8Path) -> Result<Machine, Error> {
        let hardware = Hardware::of(self.format);
        let files = place.machine();
        let key = KeyPair::read(place.folder())?;
        let layers = place.layers();
        Ok(Machine {
            disk: Some(Disk {
                path: layers.backing_layer()?.unwrap_or_else(|| on.to_owned()),
                extent: DiskExtent::Whole,
                format: hardware.format,
                interface: hardware.interface,
            }),
            overlay: Overlay::Keep(layers.active()?),
            disk_mib: Some(self.disk_mib),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            network: Some(hardware.nic),
            link: Link::Stream,
            fence: Fence::Closed(Grants::default()),
            channel: true,
            credentials: vec![key.credential()],
            ..Machine::new(format!("rave-{}", self.name), &files.run_dir)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_version_is_refused_by_name() {
        let path = Utf8Path::new("/s/record.json");
        for (text, why) in [
            ("", "EOF"),
            ("{}", "its schema is None"),
            (r#"{"schema": 2}"#, "its schema is Some(2), and this version reads 1"),
            (r#"{"schema": 1, "name": "../x"}"#, "not a name"),
        ] {
            let error = Record::parse(path, text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("/s/record.json") && error.contains(why), "{error}");
        }
    }
}
