//! The agent's account, added to the base's account files: passwd(5), shadow(5), group(5), gshadow(5),
//! subuid(5).

use crate::error::Error;

/// First ordinary user (adduser.conf(5), `FIRST_UID`).
pub const USER_ID: u64 = 1000;

/// First subordinate id and the number per user (useradd(8), `SUB_UID_MIN`, `SUB_UID_COUNT`).
const SUBORDINATE: (u32, u32) = (100_000, 65_536);

/// Groups that the agent joins if the base has them: administration, logs, devices, desktop, Docker.
pub const GROUPS: &[&str] =
    &["sudo", "adm", "audio", "video", "plugdev", "netdev", "input", "render", "docker"];

const SECONDS_PER_DAY: u64 = 86_400;

/// The account to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its login name.
    pub user: String,
    /// Its password's crypt(5) hash; `None` locks password logins.
    pub password_hash: Option<String>,
    /// `SOURCE_DATE_EPOCH`, in seconds: the day of the last password change.
    pub epoch: u64,
}

impl Account {
    /// Whether a file of the base needs [`Account::amend`].
    pub fn amends(path: &str) -> bool {
        ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/subuid", "etc/subgid"].contains(&path)
    }

    /// The new text of an account file.
    pub fn amend(&self, path: &str, text: &str) -> Result<String, Error> {
        let user = &self.user;
        let exists = text.lines().any(|line| line.split(':').next() == Some(user));
        if exists && matches!(path, "etc/passwd" | "etc/group") {
            let detail = format!(
                "\"{user}\" is an account of the base system already (in /{path}); choose another name"
            );
            return Err(Error::Input { what: "guest.user".into(), detail });
        }
        let line = match path {
            "etc/passwd" => format!("{user}:x:{USER_ID}:{USER_ID}::/home/{user}:/bin/bash"),
            "etc/shadow" => {
                let hash = self.password_hash.as_deref().unwrap_or("!");
                format!("{user}:{hash}:{}:0:99999:7:::", self.epoch / SECONDS_PER_DAY)
            }
            "etc/group" => format!("{user}:x:{USER_ID}:"),
            "etc/gshadow" => format!("{user}:!::"),
            _ => format!("{user}:{}:{}", SUBORDINATE.0, SUBORDINATE.1),
        };
        let joined = if path.contains("group") || path.contains("gshadow") {
            self.join_groups(text)
        } else {
            text.into()
        };
        let separator = if joined.is_empty() || joined.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{joined}{separator}{line}\n"))
    }

    /// The member list is the last field of both group files.
    fn join_groups(&self, text: &str) -> String {
        let join = |line: &str| {
            let name = line.split(':').next().unwrap_or_default();
            match line.rsplit_once(':') {
                Some((_, "")) if GROUPS.contains(&name) => format!("{line}{}\n", self.user),
                Some(_) if GROUPS.contains(&name) => format!("{line},{}\n", self.user),
                _ => format!("{line}\n"),
            }
        };
        text.lines().map(join).collect()
    }
}

/// A password's hash by crypt(5)'s SHA-512 scheme. The salt is derived from the inputs, so that the same inputs give
/// the same image; the password is a published default or the user's own choice anyway.
pub fn hash_password(password: &str, user: &str) -> String {
    let salt = crate::digest::Digest::of_bytes(format!("rave password salt\0{user}\0{password}").as_bytes());
    // Twelve bytes give sixteen characters, the maximum of the scheme.
    crypt::sha512(password.as_bytes(), &salt.bytes()[..12])
}

mod crypt {
    use sha_crypt::{PasswordHasher as _, ShaCrypt};

    pub(super) fn sha512(password: &[u8], salt: &[u8]) -> String {
        let hash = ShaCrypt::default().hash_password_with_salt(password, salt);
        hash.expect("a salt of 12 bytes is valid").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account { user: "agent".into(), password_hash: Some("$6$x".into()), epoch: 86_400 * 5 }
    }

    #[test]
    fn the_account_is_added_to_each_file() {
        let amend = |path, text| account().amend(path, text).unwrap();
        assert_eq!(
            amend("etc/passwd", "root:x:0:0::/root:/bin/bash\n").lines().last().unwrap(),
            "agent:x:1000:1000::/home/agent:/bin/bash"
        );
        assert_eq!(
            amend("etc/shadow", "root:*:1:0:99999:7:::\n").lines().last().unwrap(),
            "agent:$6$x:5:0:99999:7:::"
        );
        assert_eq!(
            amend("etc/group", "sudo:x:27:\nadm:x:4:bob\nman:x:12:\n"),
            "sudo:x:27:agent\nadm:x:4:bob,agent\nman:x:12:\nagent:x:1000:\n"
        );
        assert_eq!(amend("etc/gshadow", "sudo:*::\n"), "sudo:*::agent\nagent:!::\n");
        assert_eq!(amend("etc/subuid", ""), "agent:100000:65536\n");
    }

    #[test]
    fn a_user_name_of_the_base_is_refused() {
        let error = account().amend("etc/passwd", "agent:x:99:99::/:/bin/sh\n").unwrap_err();
        assert!(
            error.to_string().contains("guest.user: \"agent\" is an account of the base system already"),
            "{error}"
        );
    }

    #[test]
    fn a_locked_account_has_no_usable_hash() {
        let locked = Account { password_hash: None, ..account() };
        assert_eq!(locked.amend("etc/shadow", "").unwrap(), "agent:!:5:0:99999:7:::\n");
    }

    #[test]
    fn hashes_are_reproducible_sha512_crypt() {
        let hash = hash_password("agent", "agent");
        assert!(hash.starts_with("$6$"), "{hash}");
        assert_eq!(hash, hash_password("agent", "agent"));
        assert_ne!(hash, hash_password("other", "agent"));
    }
}
