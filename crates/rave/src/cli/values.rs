//! The values of flags, and their parsers.

use camino::Utf8PathBuf;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rave_net::{HostName, Mode};
use rave_spec::{Base, Compression, Format, MAX_JOBS_LIMITS};

/// A value of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatFlag {
    /// Every format.
    All,
    /// This one.
    One(Format),
}

/// How the guest's instructions run on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "a doc comment would be a line of its own in the help")]
pub enum Accel {
    // Hardware virtualisation. Not a doc comment: the values need no lines of their own in the help.
    Kvm,
    // Software emulation: everywhere, slow.
    Tcg,
}

/// Where the guest's screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "a doc comment would be a line of its own in the help")]
pub enum Gui {
    // The best that is available.
    Auto,
    // Windows of QEMU's own.
    Gtk,
    Sdl,
    // Servers on the loopback address.
    Vnc,
    Spice,
}

/// Which image a kept disk boots on after a newer one was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "a doc comment would be a line of its own in the help")]
pub enum KeepBase {
    Old,
    New,
}

/// What the machine starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "a doc comment would be a line of its own in the help")]
pub enum Firmware {
    // SeaBIOS.
    Bios,
    // OVMF.
    Uefi,
}

/// `--ssh-agent KEY@HOST`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    /// The file of the key, or of its public half.
    pub key: Utf8PathBuf,
    /// The host as written in `known_hosts`.
    pub host: String,
}

pub(crate) fn parse_agent_key(text: &str) -> Result<AgentKey, String> {
    let (key, place) = text.rsplit_once('@').unwrap_or_default();
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
        None => (place, Some(22_u16)),
    };
    let name: Option<HostName> = host.parse().ok().filter(|_| !key.is_empty());
    let (Some(name), Some(port)) = (name, port) else {
        return Err("expected KEY@HOST or KEY@HOST:PORT, with the file of a key".into());
    };
    let host = if port == 22 { name.to_string() } else { format!("[{name}]:{port}") };
    Ok(AgentKey { key: key.into(), host })
}

/// `--port NAME=PORT|auto`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFlag {
    /// A service of rave.toml; not yet known to exist.
    pub service: String,
    /// Where the service answers on the host.
    pub host: HostPort,
}

/// The host port of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostPort {
    /// This port.
    Fixed(u16),
    /// Any free one.
    Auto,
}

/// Parses the name of a base.
pub fn base() -> impl TypedValueParser<Value = Base> {
    PossibleValuesParser::new(Base::ALL.iter().map(|base| base.as_str())).try_map(|name| name.parse::<Base>())
}

/// Parses the name of a network's mode.
pub(super) fn network_mode() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.map(Mode::as_str)).try_map(|name| name.parse::<Mode>())
}

pub(super) fn compression() -> impl TypedValueParser<Value = Compression> {
    PossibleValuesParser::new(Compression::ALL.iter().map(|how| how.as_str()))
        .try_map(|name| name.parse::<Compression>())
}

pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(format_names()).try_map(|name| name.parse::<Format>())
}

/// Parses the name of a format, or `all`.
pub fn format_or_all() -> impl TypedValueParser<Value = FormatFlag> {
    PossibleValuesParser::new(format_names().chain(["all"])).try_map(|name| match name.as_str() {
        "all" => Ok(FormatFlag::All),
        name => name.parse().map(FormatFlag::One),
    })
}

fn format_names() -> impl Iterator<Item = &'static str> {
    Format::ALL.iter().map(|format| format.as_str())
}

/// Within the limits of rave.toml's `nixos.max-jobs`.
pub(super) fn max_jobs(text: &str) -> Result<u32, String> {
    let number = text.parse().map_err(|_| "it is not a whole number".to_owned())?;
    let jobs = MAX_JOBS_LIMITS.check(number).map_err(|refusal| refusal.to_string())?;
    u32::try_from(jobs).map_err(|error| error.to_string())
}

pub(super) fn parse_port(text: &str) -> Result<PortFlag, String> {
    let (service, port) =
        text.split_once('=').ok_or("expected NAME=PORT or NAME=auto, for example gateway=8080")?;
    if service.is_empty() {
        return Err("the service's name is missing before `=`".into());
    }
    let host = match port {
        "auto" => HostPort::Auto,
        number => HostPort::Fixed(
            number
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("expected a port from 1 to 65535 or `auto`, found `{number}`"))?,
        ),
    };
    Ok(PortFlag { service: service.to_owned(), host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_in_range_or_auto() {
        assert_eq!(parse_port("ssh=auto").unwrap().host, HostPort::Auto);
        assert_eq!(parse_port("ssh=2223").unwrap().host, HostPort::Fixed(2223));
        for bad in ["ssh", "=1", "ssh=0", "ssh=65536", "ssh=", "ssh=x"] {
            assert!(parse_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_has_a_host() {
        let key = |key: &str, host: &str| Ok(AgentKey { key: key.into(), host: host.into() });
        assert_eq!(parse_agent_key("/k/me@home@git.example"), key("/k/me@home", "git.example"));
        assert_eq!(parse_agent_key("id.pub@Git.Example:2222"), key("id.pub", "[git.example]:2222"));
        for bad in ["", "id", "@git.example", "id@", "id@a b", "id@git.example:0", "id@git.example:x"] {
            assert!(parse_agent_key(bad).is_err(), "{bad}");
        }
    }
}
