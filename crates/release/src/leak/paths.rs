//! Files that are forbidden by name, because their content has no recognisable form.

use super::finding::Rule;

/// Names of histories.
const HISTORIES: &[&str] = &[
    ".bash_history",
    ".zsh_history",
    ".zhistory",
    ".ash_history",
    ".sh_history",
    "fish_history",
    ".history",
    ".python_history",
    ".node_repl_history",
    ".irb_history",
    ".lesshst",
    ".wget-hsts",
    ".viminfo",
    ".mysql_history",
    ".psql_history",
    ".sqlite_history",
    ".rediscli_history",
    ".gdb_history",
    "known_hosts",
];

/// Path suffixes of files with credentials.
const CREDENTIALS: &[&str] = &[
    ".netrc",
    ".git-credentials",
    ".config/git/credentials",
    ".pgpass",
    ".pypirc",
    ".my.cnf",
    ".aws/credentials",
    ".docker/config.json",
    ".config/gh/hosts.yml",
    ".claude/.credentials.json",
    ".kube/config",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".config/gcloud/application_default_credentials.json",
    ".ssh/authorized_keys",
    ".ssh/id_rsa",
    ".ssh/id_ed25519",
    ".ssh/id_ecdsa",
    ".ssh/id_dsa",
    ".gnupg/secring.gpg",
    "etc/apt/auth.conf",
];

/// Files that identify a machine.
const MACHINES: &[&str] = &[
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "loader/random-seed",
    "var/lib/urandom/random-seed",
];

/// Folders in which every file is a credential.
const FOLDERS: &[&str] = &[
    "etc/NetworkManager/system-connections/",
    "etc/apt/auth.conf.d/",
    "root/.gnupg/private-keys-v1.d/",
    "etc/wireguard/",
    "etc/credstore/",
    "etc/credstore.encrypted/",
];

/// The rule that a file breaks by existing. `head` is its first bytes; an empty file breaks none.
pub(super) fn broken(path: &str, head: &[u8]) -> Option<Rule> {
    if head.is_empty() {
        return None;
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if path == "etc/machine-id" {
        // systemd's placeholder for generating one at the next boot (machine-id(5)).
        let text = head.trim_ascii();
        return (!text.is_empty() && text != b"uninitialized").then_some(Rule::MachineId);
    }
    if MACHINES.contains(&path) {
        return Some(Rule::MachineId);
    }
    if path.starts_with("etc/ssh/ssh_host_") {
        return Some(Rule::HostKey);
    }
    if HISTORIES.contains(&name) {
        return Some(Rule::History);
    }
    let ends =
        |ending: &&str| path.strip_suffix(*ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    let is_in = |folder: &&str| path.starts_with(*folder);
    (CREDENTIALS.iter().any(ends) || FOLDERS.iter().any(is_in)).then_some(Rule::Credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_matched_by_path_and_empty_ones_ignored() {
        for (path, content, expected) in [
            ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", Some(Rule::MachineId)),
            ("etc/machine-id", "uninitialized\n", None),
            ("etc/machine-id", "\n", None),
            ("var/lib/dbus/machine-id", "0", Some(Rule::MachineId)),
            ("etc/ssh/ssh_host_ed25519_key", "k", Some(Rule::HostKey)),
            ("etc/ssh/ssh_host_ed25519_key.pub", "k", Some(Rule::HostKey)),
            ("etc/ssh/sshd_config", "k", None),
            ("root/.bash_history", "ls", Some(Rule::History)),
            ("root/.bash_history", "", None),
            ("home/agent/.netrc", "m", Some(Rule::Credential)),
            ("home/agent/.pypirc", "m", Some(Rule::Credential)),
            ("etc/wireguard/wg0.conf", "m", Some(Rule::Credential)),
            ("usr/share/doc/x.netrc", "m", None),
            ("etc/NetworkManager/system-connections/home.nmconnection", "m", Some(Rule::Credential)),
        ] {
            assert_eq!(broken(path, content.as_bytes()), expected, "{path} {content:?}");
        }
    }
}
