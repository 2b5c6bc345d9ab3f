//! `rave-guest setup`: the user's home and the services' configuration. It may run any number of times; an existing
//! file belongs to the user and is never overwritten.

mod emulation;
mod kanban;
mod router;
mod vnc;

use crate::error::Error;
use crate::files::{self, Ids, failed};
use crate::processor;
use crate::system;
use rave_guest::config::{self, GuestConfig};
use rave_guest::features::VNC;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// The folder in which systemd looks for credentials that a unit names without a path, systemd.exec(5).
pub(crate) const CREDENTIALS: &str = "/run/credstore";

/// A file that login shells show (`/etc/profile.d/rave.sh`).
const WARNINGS: &str = "/run/rave/warnings";

pub(crate) fn run(config: &GuestConfig) -> Result<(), Error> {
    if let Some(warning) = clock_warning() {
        println!("{warning}");
    }
    prepare(config)?;
    let ids = system::user_ids(&config.user)?;
    let home = Path::new(&config.home);
    let key = router::configure(home, config.services.router, ids)?;
    router::pass_key(Path::new(CREDENTIALS), &key)?;
    if config.has(VNC) {
        // The desktop and the services work without it.
        if let Err(error) = vnc::configure(home, ids) {
            println!("no VNC: {error}");
        }
    }
    println!("the home {} and the services' configuration are ready", config.home);
    Ok(())
}

/// The part without secrets, which a template's clones may share.
pub(crate) fn prepare(config: &GuestConfig) -> Result<(), Error> {
    emulation::configure(Path::new(emulation::FOLDER))?;
    note_processor(Path::new(WARNINGS))?;
    let ids = system::user_ids(&config.user)?;
    let home = Path::new(&config.home);
    prepare_home(home, Path::new("/etc/skel"), ids)?;
    kanban::configure(home, ids)
}

/// Writes the processor's warning for login shells.
fn note_processor(place: &Path) -> Result<(), Error> {
    let Some(warning) = processor::warning() else { return Ok(()) };
    println!("{warning}");
    if let Some(folder) = place.parent() {
        files::directory(folder, 0o755, None)?;
    }
    files::write(place, 0o644, None, format!("{warning}\n"))
}

/// A clock before the image's build is wrong. Nothing here depends on it, but certificates will look invalid.
fn clock_warning() -> Option<String> {
    let built = fs::metadata(config::PATH).and_then(|about| about.modified()).ok()?;
    let behind = built.duration_since(SystemTime::now()).ok()?;
    let days = behind.as_secs() / 86_400;
    Some(format!(
        "the clock is {days} days before the image was built: secure connections will fail until it is set, by the network \
         (systemd-timesyncd) or by `sudo date -s`"
    ))
}

fn prepare_home(home: &Path, skeleton: &Path, ids: Ids) -> Result<(), Error> {
    if !home.exists() {
        println!("{} was missing: recreated from {}", home.display(), skeleton.display());
        if let Some(parent) = home.parent() {
            fs::create_dir_all(parent).map_err(failed("make the folder", parent))?;
        }
        files::directory(home, 0o750, Some(ids))?;
        copy_skeleton(skeleton, home, ids)?;
    }
    let about = fs::metadata(home).map_err(failed("look at", home))?;
    if about.uid() != ids.user {
        println!("{} belonged to user {}: given to {}", home.display(), about.uid(), ids.user);
        files::chown_to(home, Some(ids))?;
    }
    for folder in [".local", ".local/bin", ".local/share", ".config"] {
        files::directory(&home.join(folder), 0o755, Some(ids))?;
    }
    // `npm install -g` without root: installs in the home, whose .local/bin is in the search path.
    files::write_once(&home.join(".npmrc"), 0o600, ids, "prefix=${HOME}/.local\n")
}

/// Copies the files at the top of `/etc/skel`; Debian's has no folders.
fn copy_skeleton(skeleton: &Path, home: &Path, ids: Ids) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(skeleton) else { return Ok(()) };
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        files::write_once(&home.join(entry.file_name()), 0o644, ids, &files::read(entry.path())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    pub(super) fn own_ids(path: &Path) -> Ids {
        let about = fs::metadata(path).unwrap();
        Ids { user: about.uid(), group: about.gid() }
    }

    #[test]
    fn a_missing_home_is_created_from_the_skeleton_once() {
        let scratch = tempfile::tempdir().unwrap();
        let ids = own_ids(scratch.path());
        let skeleton = scratch.path().join("skel");
        fs::create_dir(&skeleton).unwrap();
        fs::write(skeleton.join(".bashrc"), "# skeleton").unwrap();
        let home = scratch.path().join("homes/agent");
        prepare_home(&home, &skeleton, ids).unwrap();
        assert_eq!(fs::read_to_string(home.join(".bashrc")).unwrap(), "# skeleton");
        assert_eq!(fs::metadata(home.join(".npmrc")).unwrap().permissions().mode() & 0o777, 0o600);

        fs::write(home.join(".npmrc"), "mine").unwrap();
        fs::remove_file(home.join(".bashrc")).unwrap();
        prepare_home(&home, &skeleton, ids).unwrap();
        assert_eq!(fs::read_to_string(home.join(".npmrc")).unwrap(), "mine");
        assert!(!home.join(".bashrc").exists(), "what the user deleted stays deleted");
    }

    #[test]
    fn a_file_where_a_folder_should_be_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(".config"), "").unwrap();
        let error = prepare_home(scratch.path(), Path::new("/nowhere"), own_ids(scratch.path())).unwrap_err();
        assert!(error.to_string().contains(".config: File exists"), "{error}");
    }
}
