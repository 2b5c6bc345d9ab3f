//! Groups: the hosts that a package manager's client, or the model, needs. They come from the clients' own
//! configuration, which respects mirrors; none is built in.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::HostName;

/// The largest number of hosts in a group.
pub const MAX_ORIGINS: usize = 100;

/// A group that a rule can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// npm's registries.
    Npm,
    /// pip's indexes.
    Pypi,
    /// apt's sources.
    Debian,
    /// cargo's registries.
    Crates,
    /// Hosts of git repositories.
    Git,
    /// The model's provider.
    Model,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 6] = [Self::Npm, Self::Pypi, Self::Debian, Self::Crates, Self::Git, Self::Model];

    /// The name of the group in a rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Debian => "debian",
            Self::Crates => "crates",
            Self::Git => "git",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Group {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|group| group.as_str() == text).ok_or(())
    }
}

/// A host of a group: scheme, name and port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Its name.
    pub host: HostName,
    /// Its port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether its address may be a private one, because the user's own configuration names it.
    #[serde(default)]
    pub private: bool,
}

impl Origin {
    /// Parses an http or https URL with a host name; nothing for any other. User information before an `@` is dropped.
    pub fn of_url(url: &str, private: bool) -> Option<Self> {
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return None,
        };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (place, if tls { 443 } else { 80 }),
        };
        Some(Self { host: host.parse().ok()?, port, tls, private })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host.as_str())?;
        if self.port == if self.tls { 443 } else { 80 } { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The hosts of each group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Groups(BTreeMap<Group, Vec<Origin>>);

impl Groups {
    /// The hosts of a group.
    pub fn of(&self, group: Group) -> impl Iterator<Item = &Origin> {
        self.0.get(&group).into_iter().flatten()
    }

    /// Sets the hosts of a group; those beyond [`MAX_ORIGINS`] are dropped.
    pub fn set(&mut self, group: Group, origins: impl IntoIterator<Item = Origin>) {
        let mut origins: Vec<Origin> = origins.into_iter().take(MAX_ORIGINS).collect();
        origins.sort();
        origins.dedup();
        self.0.insert(group, origins);
    }

    /// The groups whose hosts are known.
    pub fn known(&self) -> impl Iterator<Item = Group> {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_parsed_from_a_url() {
        for (url, origin) in [
            ("https://registry.example/", "https://registry.example"),
            ("https://user:p%40ss@nexus.example:8443/repository/npm/", "https://nexus.example:8443"),
            ("http://deb.example/debian?x#y", "http://deb.example"),
            ("http://deb.example:8081", "http://deb.example:8081"),
        ] {
            assert_eq!(Origin::of_url(url, false).unwrap().to_string(), origin);
        }
        for url in [
            "file:///srv",
            "https://",
            "https://127.0.0.1/",
            "https://a:0/",
            "https://[::1]/",
            "git@a.example:x",
        ] {
            assert_eq!(Origin::of_url(url, false), None, "{url}");
        }
    }
}
