//! What the answers change in the written system, before it is bootable.

use super::answers::{Answers, refused};
use crate::error::Error;
use crate::files::{self, Ids, failed};
use crate::spawn;
use rave_guest::config::{self, GuestConfig};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PLACE: &str = "/run/rave/target";
const LIMIT: Duration = Duration::from_secs(120);

/// A file that every NixOS has.
const NIXOS: &str = "/etc/NIXOS";
/// chpasswd(8) of Debian, and of NixOS, whose /run is empty until it runs.
const CHPASSWD: [&str; 2] = ["/usr/sbin/chpasswd", "/nix/var/nix/profiles/system/sw/bin/chpasswd"];

/// Whether the system takes a host name from a file: NixOS's is part of its configuration.
pub(super) fn takes_a_host_name() -> bool {
    !Path::new(NIXOS).exists()
}

/// Refuses what this system cannot be told, before anything is written.
pub(super) fn check(answers: &Answers, config: &GuestConfig) -> Result<(), Error> {
    if answers.host_name.is_some() && !takes_a_host_name() {
        return Err(refused(
            "NixOS has its host name from its configuration",
            format!(
                "leave rave.hostname out; in the installed system set networking.hostName in /etc/nixos/configuration.nix, \
                 then: sudo nixos-rebuild switch --flake /etc/nixos#{}",
                config.host_name
            ),
        ));
    }
    Ok(())
}

/// Mounts the root file system of the disk, which begins at the byte `offset`, and writes the answers into it.
pub(super) fn configure(
    disk: &Path,
    offset: u64,
    answers: &Answers,
    config: &GuestConfig,
) -> Result<(), Error> {
    fs::create_dir_all(PLACE).map_err(failed("make the folder", PLACE))?;
    let options = format!("loop,offset={offset}");
    let device = disk.display().to_string();
    spawn::output("mount", &["-t", "ext4", "-o", &options, &device, PLACE], LIMIT)?;
    let result = write(Path::new(PLACE), answers, config);
    let unmounted = spawn::output("umount", &[PLACE], LIMIT);
    result.and(unmounted.map(drop))
}

fn write(root: &Path, answers: &Answers, config: &GuestConfig) -> Result<(), Error> {
    if let Some(name) = &answers.host_name {
        name_host(root, name, config)?;
    }
    if let Some(key) = &answers.key {
        let_in(&below(root, &config.home), key)?;
    }
    if let Some(password) = &answers.password {
        let text = format!("{}:{password}\n", config.user);
        let chpasswd = CHPASSWD.into_iter().find(|path| fs::symlink_metadata(below(root, path)).is_ok());
        spawn::output_of_input("chroot", &[PLACE, chpasswd.unwrap_or(CHPASSWD[0])], &text, LIMIT)?;
    }
    Ok(())
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn name_host(root: &Path, name: &str, config: &GuestConfig) -> Result<(), Error> {
    let below = |path| below(root, path);
    files::write(&below("/etc/hostname"), 0o644, None, &format!("{name}\n"))?;
    let hosts = below("/etc/hosts");
    let text = files::read(&hosts)?
        .replace(&format!("127.0.1.1 {}\n", config.host_name), &format!("127.0.1.1 {name}\n"));
    files::write(&hosts, 0o644, None, &text)?;
    let config = GuestConfig { host_name: name.to_owned(), ..config.clone() };
    files::write(&below(config::PATH), 0o644, None, &config.to_json())
}

/// The home's owner is who it is for: the numbers are those of the written system.
fn let_in(home: &Path, key: &str) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    let about = fs::metadata(home).map_err(failed("look at", home))?;
    let owner = Some(Ids { user: about.uid(), group: about.gid() });
    let folder = home.join(".ssh");
    files::directory(&folder, 0o700, owner)?;
    files::write(&folder.join("authorized_keys"), 0o600, owner, &format!("{key}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn name_and_key_are_written_and_the_rest_stays() {
        let scratch = Scratch::new();
        let (root, config) = (scratch.path(), GuestConfig::default());
        for folder in ["etc/rave", "home/agent"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 rave\n").unwrap();
        let answers = Answers {
            host_name: Some("box".into()),
            key: Some("ssh-ed25519 AAAA me".into()),
            ..Answers::default()
        };
        write(root, &answers, &config).unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("etc/hostname"), "box\n");
        assert_eq!(read("etc/hosts"), "127.0.0.1 localhost\n127.0.1.1 box\n");
        assert_eq!(GuestConfig::from_json(&read("etc/rave/guest.json")).unwrap().host_name, "box");
        assert_eq!(read("home/agent/.ssh/authorized_keys"), "ssh-ed25519 AAAA me\n");
    }
}
