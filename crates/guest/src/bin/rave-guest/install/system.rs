//! Applies the answers to the written system before it becomes bootable.

use super::answers::{Answers, check_user_name, refused};
use super::{accounts, guest_files};
use crate::error::Error;
use crate::files::{self, below, failed};
use crate::spawn;
use rave_guest::config::GuestConfig;
use std::fs;
use std::path::Path;
use std::time::Duration;

const PLACE: &str = "/run/rave/target";
const LIMIT: Duration = Duration::from_secs(120);

/// A file that exists on every NixOS.
const NIXOS: &str = "/etc/NIXOS";
/// The hash of Debian's PAM (crypt(5)). With a method, chpasswd(8) does not use PAM, which is not set up in a NixOS
/// that has never run.
const METHOD: &str = "YESCRYPT";

/// Whether the names of host and user are in files: on NixOS they are part of the configuration.
pub(super) fn takes_names() -> bool {
    !Path::new(NIXOS).exists()
}

/// Refuses answers that this system does not support, before anything is written.
pub(super) fn check(answers: &Answers, config: &GuestConfig) -> Result<(), Error> {
    let wanted = wanted(answers, config);
    if takes_names() {
        return check_user(wanted.user, config).map(drop);
    }
    let on_nixos = |what: &str, answer: &str, option: &str| {
        Err(refused(
            format!("NixOS takes its {what} from its configuration"),
            format!(
                "omit {answer}; in the installed system set {option} in /etc/nixos/configuration.nix, \
                 then: sudo nixos-rebuild switch --flake /etc/nixos#{}",
                config.host_name
            ),
        ))
    };
    if wanted.host_name != config.host_name {
        return on_nixos("host name", "rave.hostname", "networking.hostName");
    }
    if wanted.user != config.user {
        return on_nixos("user's name", "rave.user", "rave.user");
    }
    Ok(())
}

/// Checks a new name for the user of this system.
pub(super) fn check_user(name: String, config: &GuestConfig) -> Result<String, Error> {
    let name = check_user_name(name)?;
    if name != config.user {
        accounts::check_free(Path::new("/"), &name)?;
    }
    Ok(name)
}

/// The image's guest, changed by the answers.
fn wanted(answers: &Answers, config: &GuestConfig) -> GuestConfig {
    let mut wanted = config.clone();
    if let Some(name) = &answers.host_name {
        wanted.host_name.clone_from(name);
    }
    if let Some(user) = answers.user.as_ref().filter(|user| **user != config.user) {
        wanted.user.clone_from(user);
        wanted.home = Path::new(&config.home).with_file_name(user).display().to_string();
    }
    wanted
}

/// Mounts the root file system of the disk, which begins at the byte `offset`, and writes the answers to it.
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
    let wanted = wanted(answers, config);
    if answers.key.is_some() || answers.password.is_some() {
        accounts::create(Path::new("/"), root, config)?;
    }
    if wanted.user != config.user {
        accounts::rename(root, config, &wanted)?;
    }
    if wanted != *config {
        guest_files::write(root, config, &wanted)?;
    }
    if let Some(key) = &answers.key {
        authorize(&below(root, &wanted.home), key)?;
    }
    if let Some(password) = &answers.password {
        let text = format!("{}:{password}\n", wanted.user);
        let root = root.display().to_string();
        spawn::output_of_input("chpasswd", &["--root", &root, "--crypt-method", METHOD], &text, LIMIT)?;
    }
    Ok(())
}

/// The home's owner has the IDs of the written system.
fn authorize(home: &Path, key: &str) -> Result<(), Error> {
    let owner = Some(files::owner(home)?);
    let folder = home.join(".ssh");
    files::directory(&folder, 0o700, owner)?;
    files::write(&folder.join("authorized_keys"), 0o600, owner, format!("{key}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_guest::assets::{self, GuestFileKind, Paths};
    use std::os::unix::fs::MetadataExt as _;

    /// A system as in the image, as far as the answers change it.
    fn system(root: &Path) {
        for folder in ["etc", "home/agent/Desktop"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["passwd", "shadow", "group", "gshadow", "subuid", "subgid"] {
            fs::write(root.join("etc").join(file), "agent:x:1000:1000::/home/agent:/bin/bash\n").unwrap();
        }
        for file in assets::files(&GuestConfig::default(), &Paths::debian()) {
            if let GuestFileKind::File { mode, content } = file.kind {
                let path = below(root, &file.path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                files::write(&path, mode, None, content).unwrap();
            }
        }
    }

    #[test]
    fn names_and_key_are_written_and_the_rest_is_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        system(root);
        let nginx = root.join("etc/rave/nginx.conf");
        let before = fs::metadata(&nginx).unwrap().ino();
        let answers = Answers {
            host_name: Some("box".into()),
            user: Some("me".into()),
            key: Some("ssh-ed25519 AAAA me".into()),
            ..Answers::default()
        };
        write(root, &answers, &GuestConfig::default()).unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(read("etc/hostname"), "box\n");
        assert!(read("etc/hosts").contains("127.0.1.1 box\n"));
        assert!(
            read("etc/sudoers.d/rave").contains("\nme ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults:me env_keep")
        );
        assert!(
            read("etc/systemd/system/vibe-kanban.service").contains("\nUser=me\nWorkingDirectory=/home/me\n")
        );
        let written = GuestConfig::from_json(&read("etc/rave/guest.json")).unwrap();
        assert_eq!(
            (written.host_name, written.user, written.home),
            ("box".into(), "me".into(), "/home/me".into())
        );
        assert_eq!(read("home/me/.ssh/authorized_keys"), "ssh-ed25519 AAAA me\n");
        assert_eq!(
            fs::metadata(&nginx).unwrap().ino(),
            before,
            "it names nobody, so it was not written again"
        );
    }

    #[test]
    fn without_names_nothing_is_renamed() {
        let scratch = tempfile::tempdir().unwrap();
        system(scratch.path());
        // The image's own name changes nothing.
        for user in [None, Some("agent".to_owned())] {
            let answers = Answers { user, key: Some("k".into()), ..Answers::default() };
            write(scratch.path(), &answers, &GuestConfig::default()).unwrap();
        }
        assert_eq!(
            fs::read_to_string(scratch.path().join("home/agent/.ssh/authorized_keys")).unwrap(),
            "k\n"
        );
    }
}
