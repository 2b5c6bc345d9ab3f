//! Who listens on a TCP port of this host, as far as `/proc` tells this user.

use std::fmt;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

/// A process of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// The program it runs; its name where the path cannot be read.
    pub program: Utf8PathBuf,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.program)
    }
}

/// State `TCP_LISTEN` in `/proc/net/tcp`, `include/net/tcp_states.h` of Linux.
const LISTEN: &str = "0A";

/// The process that listens on `port`, on whatever address. Nothing where that process belongs to another user, lives in
/// another container, or is gone already.
pub(crate) fn of_port(port: u16) -> Option<Owner> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| holds(*pid, &sockets)).map(|pid| Owner { pid, program: program(pid) }).next()
}

/// The inodes of the sockets that listen on `port`: column 2 is the address and port in hexadecimal, 4 the state, 10 the
/// inode, `Documentation/networking/proc_net_tcp.rst` of Linux.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    let wanted = format!("{port:04X}");
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
        let matches = local_port == wanted && *columns.get(3)? == LISTEN;
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
    fn only_sockets_that_listen_on_the_port_count() {
        assert_eq!(listening_inodes(TABLE, 3000), [4711]);
        assert_eq!(listening_inodes(TABLE, 22), [99]);
        assert!(listening_inodes(TABLE, 3001).is_empty());
    }

    #[test]
    fn this_process_is_found_by_its_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).unwrap();
            let owner = of_port(listener.local_addr().unwrap().port()).unwrap();
            assert_eq!(owner.pid, std::process::id());
            assert_eq!(owner.program, std::env::current_exe().unwrap());
        }
    }
}
