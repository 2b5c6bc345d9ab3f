//! Information from /proc and /dev, and from the user database.

use crate::error::Error;
use crate::files::{self, Ids, failed};
use std::fs::{self, File};
use std::io::Read as _;

/// Milliseconds since the kernel started, including time asleep: the first field of `/proc/uptime`, proc(5).
pub(crate) fn uptime_ms() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    parse_uptime(&text).unwrap_or_default()
}

fn parse_uptime(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1000 + hundredths.parse::<u64>().ok()? * 10)
}

/// The ID of this boot.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The current host name.
pub(crate) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// A user's IDs from `/etc/passwd`. A static program cannot use glibc's functions, which would load plug-ins.
pub(crate) fn user_ids(user: &str) -> Result<Ids, Error> {
    let text = files::read("/etc/passwd")?;
    parse_ids(&text, user).ok_or_else(|| Error::NoUser { user: user.to_owned() })
}

/// Fields of passwd(5): name, password, UID, GID, ...
fn parse_ids(passwd: &str, user: &str) -> Option<Ids> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then_some(())?;
        Some(Ids { user: fields.nth(1)?.parse().ok()?, group: fields.next()?.parse().ok()? })
    })
}

/// Whether something listens on a TCP port, without connecting to it: a row of `/proc/net/tcp` or `tcp6` in state 0A
/// (`TCP_LISTEN` of `linux/tcp_states.h`).
pub(crate) fn listens(port: u16) -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .any(|path| fs::read_to_string(path).is_ok_and(|table| table_listens(&table, port)))
}

fn table_listens(table: &str, port: u16) -> bool {
    let ending = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&ending)) && fields.nth(1) == Some("0A")
    })
}

/// Random bytes from the kernel.
pub(crate) fn random<const COUNT: usize>() -> Result<[u8; COUNT], Error> {
    let path = "/dev/urandom";
    let mut bytes = [0; COUNT];
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(failed("read", path))?;
    Ok(bytes)
}

/// The state of the network.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// There is a route through this interface, so it has an address.
    Up(String),
    /// No interface has an address: those that could have one, if any.
    Down(Vec<String>),
}

/// Reads `/proc/net/route` and `/sys/class/net`.
pub(crate) fn network() -> Network {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    if let Some(interface) = routed_interface(&routes) {
        return Network::Up(interface.to_owned());
    }
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    // Only hardware has a device, unlike loopback, bridges or tunnels.
    let hardware = entries.filter(|entry| entry.path().join("device").exists());
    let mut names: Vec<String> =
        hardware.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Network::Down(names)
}

/// The first column of the first row after the heading.
fn routed_interface(routes: &str) -> Option<&str> {
    routes.lines().skip(1).filter_map(|line| line.split_whitespace().next()).find(|name| *name != "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_is_parsed_in_milliseconds() {
        assert_eq!(parse_uptime("350735.47 234388.90\n"), Some(350_735_470));
        assert_eq!(parse_uptime("0.05 0.00"), Some(50));
        assert_eq!(parse_uptime("what"), None);
    }

    #[test]
    fn a_user_is_matched_by_the_complete_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nagent2:x:7:8::/:/bin/sh\nagent:x:1000:1001:,,,:/home/agent:/bin/bash\n";
        assert_eq!(parse_ids(passwd, "agent"), Some(Ids { user: 1000, group: 1001 }));
        assert_eq!(parse_ids(passwd, "age"), None);
    }

    #[test]
    fn only_a_listening_socket_counts() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:0BB8 00000000:0000 0A 00000000\n   1: 0100007F:0BB9 0100007F:9C40 01 00000000\n";
        assert!(table_listens(table, 3000));
        assert!(!table_listens(table, 3001));
        assert!(!table_listens(table, 0x9C40));
    }

    #[test]
    fn a_route_has_its_interface() {
        assert_eq!(routed_interface("Iface\tDestination\nens3\t00000000\t0202000A\n"), Some("ens3"));
        assert_eq!(routed_interface("Iface\tDestination\n"), None);
    }

    #[test]
    fn a_real_listener_is_detected() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(listens(port));
        drop(listener);
        assert!(!listens(port));
    }
}
