//! Which process listens on a TCP port of this host, as far as `/proc` shows this user.

use std::fmt;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

/// A process of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// The program it runs; its name if the path cannot be read.
    pub program: Utf8PathBuf,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.program)
    }
}

/// State `TCP_LISTEN` in `/proc/net/tcp`, `include/net/tcp_states.h` of Linux.
const LISTEN: &str = "0A";
/// State `TCP_ESTABLISHED` there.
const ESTABLISHED: &str = "01";

/// The process that listens on `port`, on any address. `None` if that process belongs to another user, runs in another
/// container, or has exited already.
pub(crate) fn of_port(port: u16) -> Option<Owner> {
    let sockets: Vec<String> = tables()
        .flat_map(|table| rows(&table, &[port], LISTEN))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| holds(*pid, &sockets)).map(|pid| Owner { pid, program: program(pid) }).next()
}

/// Whether there is a connection to one of these ports, on any address.
pub(crate) fn has_connection(ports: &[u16]) -> bool {
    tables().any(|table| !rows(&table, ports, ESTABLISHED).is_empty())
}

/// The TCP sockets of this network namespace.
fn tables() -> impl Iterator<Item = String> {
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|path| fs::read_to_string(path).ok())
}

/// The inodes of the sockets with one of these local ports and in this state: column 2 is the address and port in
/// hexadecimal, 4 the state, 10 the inode, `Documentation/networking/proc_net_tcp.rst` of Linux.
fn rows(table: &str, ports: &[u16], state: &str) -> Vec<u64> {
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = columns.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let matches = ports.contains(&port) && *columns.get(3)? == state;
        if matches { columns.get(9)?.parse().ok() } else { None }
    };
    table.lines().filter_map(inode).collect()
}

fn holds(pid: u32, sockets: &[String]) -> bool {
    // Unreadable for processes of other users.
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|entry| {
        fs::read_link(entry.path())
            .is_ok_and(|target| sockets.iter().any(|socket| target.as_os_str() == &**socket))
    })
}

fn program(pid: u32) -> Utf8PathBuf {
    let folder = Utf8PathBuf::from(format!("/proc/{pid}"));
    let path = fs::read_link(folder.join("exe")).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    path.unwrap_or_else(|| name(&folder))
}

fn name(folder: &Utf8Path) -> Utf8PathBuf {
    let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
    Utf8PathBuf::from(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0
   1: 0100007F:0BB8 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0 100 0 0 10 0
garbage
";

    #[test]
    fn only_listening_sockets_on_the_port_count() {
        assert_eq!(rows(TABLE, &[3000], LISTEN), [4711]);
        assert_eq!(rows(TABLE, &[3000], ESTABLISHED), [4712]);
        assert_eq!(rows(TABLE, &[22, 3001], LISTEN), [99]);
        assert!(rows(TABLE, &[3001], LISTEN).is_empty());
    }

    #[test]
    fn a_connection_counts_while_it_is_open() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!has_connection(&[address.port()]));
        let client = std::net::TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert!(has_connection(&[address.port()]));
        assert!(!has_connection(&[]));
        drop((client, server));
        assert!(!has_connection(&[address.port()]));
    }

    #[test]
    fn this_process_is_found_as_the_owner_of_its_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let owner = of_port(listener.local_addr().unwrap().port()).unwrap();
            assert_eq!(owner.pid, std::process::id());
            assert_eq!(owner.program, std::env::current_exe().unwrap());
        }
    }
}
