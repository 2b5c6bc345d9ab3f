//! A user of the guest, from the files of the user database: a static program cannot use glibc's functions, which would
//! load plug-ins.

use std::fs;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user's ID.
    pub uid: u32,
    /// The ID of the user's own group.
    pub gid: u32,
    /// The IDs of all groups of the user.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

impl User {
    /// Finds a user by name in `/etc/passwd` and `/etc/group`.
    pub fn find(name: &str) -> Option<Self> {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/etc/passwd"), &read("/etc/group"), name)
    }

    /// Finds a user by ID.
    pub fn of_number(uid: u32) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let is_it = |line: &&str| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(uid);
        let name = passwd.lines().find(is_it)?.split(':').next()?.to_owned();
        Self::find(&name)
    }

    /// Fields of passwd(5): name, password, UID, GID, comment, home, shell. Of group(5): name, password, GID, users.
    fn parse(passwd: &str, group: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == name)?;
        let gid = fields.get(3)?.parse().ok()?;
        let mut groups = vec![gid];
        for line in group.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [_, _, number, users] = fields.as_slice()
                && users.split(',').any(|user| user == name)
                && let Ok(number) = number.parse()
                && !groups.contains(&number)
            {
                groups.push(number);
            }
        }
        let shell = fields.get(6).filter(|shell| !shell.is_empty()).unwrap_or(&"/bin/sh");
        Some(Self {
            name: name.to_owned(),
            uid: fields.get(2)?.parse().ok()?,
            gid,
            groups,
            home: (*fields.get(5)?).to_owned(),
            shell: (*shell).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_in_the_groups_that_list_it() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nagent2:x:7:8::/:\nagent:x:1000:1001:,,,:/home/agent:/bin/bash\n";
        let group = "sudo:x:27:other,agent\nagent:x:1001:\nagent2:x:8:agents\nbroken\nadm:x:4:agent\n";
        let user = User::parse(passwd, group, "agent").unwrap();
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (1000, 1001, [1001, 27, 4].as_slice()));
        assert_eq!((user.home.as_str(), user.shell.as_str()), ("/home/agent", "/bin/bash"));
        assert_eq!(User::parse(passwd, group, "agent2").unwrap().shell, "/bin/sh");
        assert_eq!(User::parse(passwd, group, "agen"), None);
    }
}
