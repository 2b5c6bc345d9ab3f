//! Renames the image's user in the account files: passwd(5), shadow(5), group(5), gshadow(5), subuid(5), subgid(5).
//! usermod(8) would not change the last two, and would check who is logged in to the live session.

use super::answers::refused;
use crate::error::Error;
use crate::files::{self, below, failed};
use rave_guest::config::GuestConfig;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const FILES: [&str; 6] = ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/subuid", "etc/subgid"];

/// Refuses a name that a user or a group of the system under `root` already has.
pub(super) fn check_free(root: &Path, name: &str) -> Result<(), Error> {
    for file in ["etc/passwd", "etc/group"] {
        let text = files::read(root.join(file))?;
        if text.lines().any(|line| line.split(':').next() == Some(name)) {
            return Err(refused(format!("{name} is an account of the system itself"), "choose another name"));
        }
    }
    Ok(())
}

/// Creates the user's account in a system under `root` that has never run, copied from the running system under `live`,
/// which is the same system. NixOS creates its accounts at the first boot, and keeps an existing password and home.
pub(super) fn create(live: &Path, root: &Path, config: &GuestConfig) -> Result<(), Error> {
    if root.join(FILES[0]).exists() {
        return Ok(());
    }
    for file in ["etc/passwd", "etc/shadow"] {
        let source = live.join(file);
        let of_user = |line: &&str| line.split(':').next() == Some(&config.user);
        let text = files::read(&source)?;
        let line = text.lines().find(of_user).ok_or_else(|| {
            refused(
                format!("the live session's /{file} has no user {}", config.user),
                "start the machine from RAVE's ISO again",
            )
        })?;
        files::write(&root.join(file), mode(&source)?, Some(files::owner(&source)?), format!("{line}\n"))?;
    }
    let home = below(live, &config.home);
    files::directory(&below(root, &config.home), mode(&home)?, Some(files::owner(&home)?))
}

fn mode(path: &Path) -> Result<u32, Error> {
    Ok(fs::metadata(path).map_err(failed("look at", path))?.mode() & 0o7777)
}

/// Renames the user, its own group and its home; IDs and password stay.
pub(super) fn rename(root: &Path, from: &GuestConfig, to: &GuestConfig) -> Result<(), Error> {
    for file in FILES {
        let path = root.join(file);
        files::write(
            &path,
            mode(&path)?,
            Some(files::owner(&path)?),
            renamed(&files::read(&path)?, from, to),
        )?;
    }
    let home = below(root, &from.home);
    fs::rename(&home, below(root, &to.home)).map_err(failed("rename", &home))
}

/// All six files have fields separated by colons. The name is in the first one or in a list of a group's members; the
/// home is a whole field.
fn renamed(text: &str, from: &GuestConfig, to: &GuestConfig) -> String {
    let member = |name: &str| if name == from.user { to.user.clone() } else { name.to_owned() };
    let field = |(number, field): (usize, &str)| match number {
        // The password field never has a name.
        1 => field.to_owned(),
        _ if field == from.home => to.home.clone(),
        _ => field.split(',').map(member).collect::<Vec<_>>().join(","),
    };
    text.lines()
        .map(|line| line.split(':').enumerate().map(field).collect::<Vec<_>>().join(":") + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn me() -> GuestConfig {
        GuestConfig { user: "me".into(), home: "/home/me".into(), ..GuestConfig::default() }
    }

    #[test]
    fn the_user_is_renamed_in_every_account_file() {
        for (before, after) in [
            ("agent:x:1000:1000::/home/agent:/bin/bash\n", "me:x:1000:1000::/home/me:/bin/bash\n"),
            ("agent:$6$agent$x:5:0:99999:7:::\n", "me:$6$agent$x:5:0:99999:7:::\n"),
            (
                "sudo:x:27:agent\nadm:x:4:bob,agent\nagent:x:1000:\n",
                "sudo:x:27:me\nadm:x:4:bob,me\nme:x:1000:\n",
            ),
            ("sudo:*:agent:bob,agent\nagent:!::\n", "sudo:*:me:bob,me\nme:!::\n"),
            ("agent:100000:65536\n", "me:100000:65536\n"),
            ("agents:x:7:7::/home/agents:/bin/sh\n", "agents:x:7:7::/home/agents:/bin/sh\n"),
        ] {
            assert_eq!(renamed(before, &GuestConfig::default(), &me()), after);
        }
    }

    #[test]
    fn files_keep_their_mode_and_the_home_is_moved() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("home/agent")).unwrap();
        for file in FILES {
            fs::write(root.join(file), "agent:x:1:\n").unwrap();
        }
        let shadow = root.join("etc/shadow");
        fs::set_permissions(&shadow, fs::Permissions::from_mode(0o640)).unwrap();
        rename(root, &GuestConfig::default(), &me()).unwrap();
        for file in FILES {
            assert_eq!(fs::read_to_string(root.join(file)).unwrap(), "me:x:1:\n", "{file}");
        }
        assert_eq!(fs::metadata(shadow).unwrap().mode() & 0o7777, 0o640);
        assert!(root.join("home/me").is_dir() && !root.join("home/agent").exists());
    }

    #[test]
    fn only_a_system_that_never_booted_is_renamed() {
        let scratch = tempfile::tempdir().unwrap();
        let [live, root] = ["live", "root"].map(|name| scratch.path().join(name));
        for folder in [live.join("etc"), live.join("home/agent"), root.join("etc"), root.join("home")] {
            fs::create_dir_all(folder).unwrap();
        }
        let line = "agent:x:1000:100::/home/agent:/run/current-system/sw/bin/bash\n";
        fs::write(live.join("etc/passwd"), format!("root:x:0:0::/root:/bin/sh\n{line}")).unwrap();
        fs::write(live.join("etc/shadow"), "agent:$6$a:1::::::\nnobody:!:1::::::\n").unwrap();
        for (path, mode) in [("etc/shadow", 0o640), ("home/agent", 0o750)] {
            fs::set_permissions(live.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let config = GuestConfig::default();
        create(&live, &root, &config).unwrap();
        let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        assert_eq!(read("etc/passwd"), line);
        assert_eq!(read("etc/shadow"), "agent:$6$a:1::::::\n");
        assert_eq!(mode(&root.join("etc/shadow")).unwrap(), 0o640);
        assert_eq!(mode(&root.join("home/agent")).unwrap(), 0o750);

        fs::write(root.join("etc/shadow"), "agent:another:1::::::\n").unwrap();
        create(&live, &root, &config).unwrap();
        assert_eq!(read("etc/shadow"), "agent:another:1::::::\n");

        fs::remove_file(root.join("etc/passwd")).unwrap();
        let error = create(&live, &root, &me()).unwrap_err().to_string();
        assert!(error.starts_with("the live session's /etc/passwd has no user me"), "{error}");
    }

    #[test]
    fn system_accounts_are_refused_as_user_names() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir_all(scratch.path().join("etc")).unwrap();
        fs::write(scratch.path().join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n").unwrap();
        fs::write(scratch.path().join("etc/group"), "sudo:x:27:agent\n").unwrap();
        for name in ["root", "sudo"] {
            let error = check_free(scratch.path(), name).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is an account of the system itself")), "{error}");
        }
        check_free(scratch.path(), "roo").unwrap();
    }
}
