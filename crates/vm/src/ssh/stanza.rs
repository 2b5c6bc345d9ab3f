//! Access to a guest for a user's own ssh.

use std::fmt;

use camino::Utf8Path;

use super::quote;

/// A stanza of `ssh_config(5)`. It pins the guest's keys and exposes nothing of the user's: no agent, no display, no
/// environment, no other key.
#[derive(Debug, Clone, Copy)]
pub struct Stanza<'a> {
    /// The host name to call ssh with, which is also the guest's name in `known_hosts`.
    pub alias: &'a str,
    /// The user to log in as.
    pub user: &'a str,
    /// The command line, for a shell, of the program that connects.
    pub proxy: &'a str,
    /// A key that the guest accepts.
    pub key: &'a Utf8Path,
    /// The file of the guest's pinned keys.
    pub known_hosts: &'a Utf8Path,
}

impl fmt::Display for Stanza<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alias, user, proxy, key, known_hosts } = self;
        // A percent sign starts a token.
        let proxy = proxy.replace('%', "%%");
        let (key, known_hosts) = (quote(key), quote(known_hosts));
        write!(
            f,
            "\
Host {alias}
  User {user}
  ProxyCommand {proxy}
  IdentityFile {key}
  IdentitiesOnly yes
  IdentityAgent none
  HostKeyAlias {alias}
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  UpdateHostKeys no
  ForwardAgent no
  ForwardX11 no
  PermitLocalCommand no
  SendEnv -*
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_process::Cmd;

    /// Checks how ssh(1) itself parses the stanza, with paths that contain characters special to its parser.
    #[test]
    fn ssh_accepts_the_stanza_and_forwards_no_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let config = Utf8Path::from_path(folder.path()).unwrap().join("config");
        let stanza = Stanza {
            alias: "demo.rave",
            user: "agent",
            proxy: "/p/rave ssh-proxy demo --state '/a b%c'",
            key: "/a b%c/ssh-key".into(),
            known_hosts: "/a b%c/known_hosts".into(),
        };
        let around = format!("SendEnv LANG\n{stanza}\nHost *\n  ForwardAgent yes\n  ForwardX11 yes\n");
        std::fs::write(&config, around).unwrap();
        let ssh = Cmd::new("ssh").args(["-F", config.as_str(), "-G", "demo.rave"]);
        let printed = String::from_utf8(rave_testing::or_skip!(ssh.output()).stdout).unwrap();
        for line in [
            "user agent",
            "forwardagent no",
            "forwardx11 no",
            "permitlocalcommand no",
            "stricthostkeychecking true",
            "hostkeyalias demo.rave",
            "identityagent none",
        ] {
            assert!(printed.lines().any(|printed| printed == line), "{line}: {printed}");
        }
        assert!(printed.contains("/ssh-key") && printed.contains("a b%"), "{printed}");
        assert!(!printed.to_lowercase().contains("sendenv lang"), "{printed}");
    }
}
