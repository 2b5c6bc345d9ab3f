//! The user who runs the second build.

use std::env;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;

/// Subordinate ids that a user needs to unpack a Debian system: mmdebstrap(1), MODES, unshare.
const IDS: u64 = 65_536;

/// The user who builds, and the toolchain.
pub(super) struct Builder {
    /// The command prefix that switches to that user; empty for the current user.
    pub(super) before: Vec<String>,
    /// The home to set.
    pub(super) home: Utf8PathBuf,
    /// Other variables.
    pub(super) variables: Vec<(String, String)>,
    /// Cargo's folder from which crates are copied into the home.
    pub(super) cargo_to_copy: Option<Utf8PathBuf>,
    account: Option<Account>,
}

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    name: String,
    uid: String,
    gid: String,
    home: Utf8PathBuf,
}

impl Builder {
    /// `uid:gid` of another user.
    pub(super) fn owner(&self) -> Option<String> {
        self.account.as_ref().map(|account| format!("{}:{}", account.uid, account.gid))
    }
}

/// A different user if this one is root and another one can build; otherwise this user. Also returns a line that says
/// which and why.
pub(super) fn choose(home: &Utf8Path) -> (Builder, String) {
    if !rustix::process::geteuid().is_root() {
        return (
            same(home),
            "the second build is done by the same user: only root can become another".into(),
        );
    }
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let able = able(&read("/etc/passwd"), &read("/etc/subuid"), &read("/etc/subgid"));
    let ours = version(&[], &[]);
    for account in able {
        let builder = of(account);
        if ours.is_some() && version(&builder.before, &builder.variables) == ours {
            let name = builder.account.as_ref().map(|account| account.name.clone()).unwrap_or_default();
            return (builder, format!("the second build is done by the user {name}"));
        }
    }
    let why = "the second build is done by root too: no other user has 65536 subordinate ids and this Rust toolchain";
    (same(home), why.into())
}

/// The current user with a separate home and the same toolchain.
pub(super) fn same(home: &Utf8Path) -> Builder {
    let ours = env::home_dir().and_then(|home| Utf8PathBuf::from_path_buf(home).ok()).unwrap_or_default();
    let folder =
        |variable: &str, name: &str| env::var(variable).map_or_else(|_| ours.join(name), Utf8PathBuf::from);
    let variables = [
        ("CARGO_HOME".to_owned(), home.join(".cargo").to_string()),
        ("RUSTUP_HOME".to_owned(), folder("RUSTUP_HOME", ".rustup").to_string()),
    ];
    Builder {
        before: Vec::new(),
        home: home.to_owned(),
        variables: variables.into(),
        cargo_to_copy: Some(folder("CARGO_HOME", ".cargo")),
        account: None,
    }
}

/// A different user, with that user's own home and toolchain.
fn of(account: Account) -> Builder {
    let ids = [format!("--reuid={}", account.uid), format!("--regid={}", account.gid)];
    let before = ["setpriv".to_owned()].into_iter().chain(ids).chain(["--init-groups".to_owned()]).collect();
    let cargo = account.home.join(".cargo");
    let path = env::var("PATH").unwrap_or_default();
    let variables = [
        ("PATH", format!("{cargo}/bin:{path}")),
        ("CARGO", format!("{cargo}/bin/cargo")),
        ("CARGO_HOME", cargo.to_string()),
        ("RUSTUP_HOME", account.home.join(".rustup").to_string()),
        ("USER", account.name.clone()),
        ("LOGNAME", account.name.clone()),
    ];
    Builder {
        before,
        home: account.home.clone(),
        variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
        cargo_to_copy: None,
        account: Some(account),
    }
}

/// The version that the user's compiler reports.
fn version(before: &[String], variables: &[(String, String)]) -> Option<String> {
    let arguments: Vec<String> = before.iter().cloned().chain(["rustc", "-vV"].map(String::from)).collect();
    let mut command = Cmd::new(&arguments[0]).args(&arguments[1..]).current_dir("/");
    for (name, value) in variables {
        command = command.env(name, value);
    }
    command.output().ok().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Users other than root with enough subordinate users and groups.
fn able(passwd: &str, users: &str, groups: &str) -> Vec<Account> {
    let enough = |file: &str, name: &str| {
        file.lines().any(|line| {
            let mut fields = line.split(':');
            let (owner, number) = (fields.next(), fields.nth(1));
            owner == Some(name)
                && number.and_then(|number| number.parse::<u64>().ok()).is_some_and(|number| number >= IDS)
        })
    };
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        Some(Account { name: name.into(), uid: uid.into(), gid: gid.into(), home: home.into() })
    };
    let accounts = passwd.lines().filter_map(account);
    accounts
        .filter(|account| account.uid != "0" && enough(users, &account.name) && enough(groups, &account.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_users_with_subordinate_uids_and_gids_can_unpack_a_system() {
        let passwd = "root:x:0:0::/root:/bin/sh\nann:x:1001:1002:Ann,,:/home/ann:/bin/sh\nbob:x:1003:1003::/b:/bin/sh\n";
        let ids = "root:1:65536\nann:100000:65536\nbob:200000:65536\n";
        let names = |users: &str, groups: &str| {
            able(passwd, users, groups).into_iter().map(|account| account.name).collect::<Vec<_>>()
        };
        assert_eq!(names(ids, ids), ["ann", "bob"]);
        assert_eq!(names(ids, "ann:100000:65536\nbob:200000:1000\n"), ["ann"]);
        assert_eq!(names("", ids), Vec::<String>::new());
        let ann = able(passwd, ids, ids).remove(0);
        assert_eq!((ann.uid.as_str(), ann.gid.as_str(), ann.home.as_str()), ("1001", "1002", "/home/ann"));
    }
}
