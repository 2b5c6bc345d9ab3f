//! Rules for texts without a type of their own, and rules between keys.

use std::fmt;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};

use crate::parse::ServicePorts;
use crate::reader::{At, Reader};
use crate::{Port, Refusal};

/// Unit types that are files and can be enabled: systemd.unit(5) without `device` and `scope`.
const UNIT_SUFFIXES: &[&str] =
    &["service", "socket", "timer", "path", "target", "mount", "automount", "swap", "slice"];

/// chpasswd(8) reads `name:password` lines. The message does not repeat the password.
pub(crate) fn password(text: &str) -> Result<(), Refusal> {
    const EXPECTED: &str = "at least one character, no colon and no control character";
    let bad = text.chars().find(|c| *c == ':' || c.is_control());
    match bad {
        Some(bad) => Err(Refusal::new(format!("the password holds {bad:?}"), EXPECTED)),
        None if text.is_empty() => Err(Refusal::new("the password is empty", EXPECTED)),
        None => Ok(()),
    }
}

pub(crate) fn one_line(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Refusal::new(format!("{text:?} is not a line of text"), "a line of text"));
    }
    Ok(())
}

/// A path below the file's folder that names a unit which can be installed and enabled.
pub(crate) fn unit_path(text: &str) -> Result<Utf8PathBuf, Refusal> {
    let path = Utf8Path::new(text);
    let below = path.components().all(|part| matches!(part, Utf8Component::Normal(_)));
    if !below || text.chars().any(char::is_control) {
        return Err(Refusal::new(
            format!("{text:?} does not stay below the folder of rave.toml"),
            "a relative path without ..",
        ));
    }
    // Characters and length of a unit's name: systemd.unit(5).
    let name = path.file_name().unwrap_or_default();
    let named_well = name.len() <= 255
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@'));
    let suffix = path.extension().is_some_and(|suffix| UNIT_SUFFIXES.contains(&suffix));
    if !named_well || !suffix || text.ends_with('/') {
        let suffixes = UNIT_SUFFIXES.iter().map(|suffix| format!(".{suffix}")).collect::<Vec<_>>();
        let suffixes: Vec<_> = suffixes.iter().map(String::as_str).collect();
        return Err(Refusal::new(
            format!("{text:?} does not name a systemd unit"),
            format!("a file name that ends in {}", crate::refusal::one_of(&suffixes)),
        ));
    }
    Ok(path.to_owned())
}

/// An entry of the guest's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvironmentEntry {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl fmt::Display for EnvironmentEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// `NAME=value` with a name by POSIX (Base Definitions, 8.1) and a value of one line.
pub(crate) fn environment(text: &str) -> Result<EnvironmentEntry, Refusal> {
    const EXPECTED: &str = "\"NAME=value\"";
    let Some((name, value)) = text.split_once('=') else {
        return Err(Refusal::new(format!("{text:?} has no ="), EXPECTED));
    };
    let name_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !name_fits {
        return Err(Refusal::new(
            format!("{name:?} is not the name of a variable"),
            "letters, digits and _, the first not a digit",
        ));
    }
    if let Some(bad) = value.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(Refusal::new(format!("the value of {name} holds {bad:?}"), "a value of one line"));
    }
    Ok(EnvironmentEntry { name: name.to_owned(), value: value.to_owned() })
}

/// Refuses two items of a list that have the same `identity`.
pub(crate) fn duplicates<T>(
    reader: &mut Reader,
    key: &str,
    items: &[At<T>],
    identity: impl Fn(&T) -> String,
) {
    for (index, item) in items.iter().enumerate() {
        let name = identity(&item.value);
        if let Some(first) = items[..index].iter().find(|earlier| identity(&earlier.value) == name) {
            let what = format!("{name:?} occurs twice; first at {}", first.place);
            reader.refuse(&item.place, format!("{key}[{index}]"), Refusal::new(what, ""));
        }
    }
}

/// Refuses two services with the same port in the guest, or on the host.
pub(crate) fn duplicate_ports(services: &[ServicePorts], reader: &mut Reader) {
    let sides: [fn(&ServicePorts) -> (&str, Option<&At<Port>>); 2] = [
        |service| (&service.guest_key, service.guest.as_ref()),
        |service| (&service.host_key, service.host.as_ref()),
    ];
    for side in sides {
        let ports: Vec<_> =
            services.iter().map(side).filter_map(|(key, port)| port.map(|port| (key, port))).collect();
        for (index, (key, port)) in ports.iter().enumerate() {
            let earlier = ports[..index].iter().find(|(_, earlier)| earlier.value == port.value);
            if let Some((first_key, first)) = earlier {
                let what = format!("port {} is taken by {first_key} at {}", port.value, first.place);
                reader.refuse(&port.place, *key, Refusal::new(what, "a port of its own"));
            }
        }
    }
}
