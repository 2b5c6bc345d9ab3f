//! `rave-guest install`: writes the ISO's disk to a disk of this machine. The answers come from the console, from
//! kernel arguments, or from a file on a second medium. Only the last write makes the disk bootable, so a power failure
//! leaves a known state, and the installation starts over.

mod accounts;
mod answers;
mod dialogue;
mod disk;
mod guest_files;
mod medium;
mod partition;
mod system;

use crate::error::Error;
use crate::spawn;
use answers::{Answers, Then, refused};
use disk::{Content, Disk, Target};
use rave_guest::config::GuestConfig;
use rave_guest::iso::{DISK, MEDIUM};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Compares the medium with its digests, without installing.
pub(crate) fn check() -> Result<(), Error> {
    medium::check(Path::new(MEDIUM))?;
    println!("the medium is whole");
    Ok(())
}

/// Installs; `file` has the answers, if it is given.
pub(crate) fn run(config: &GuestConfig, file: Option<&Path>) -> Result<(), Error> {
    let image = Path::new(DISK);
    let size = fs::metadata(image).map(|about| about.len()).map_err(|_| {
        refused(
            format!("there is no {DISK}"),
            "start the machine from RAVE's ISO: only that carries a disk to install",
        )
    })?;
    let root = partition::root_offset(image)?;
    let given = Answers::read(file)?;
    let media = [disk::mounted_at(MEDIUM)?.map(PathBuf::from), fs::canonicalize(answers::MEDIUM).ok()];
    let disks = Disk::all(&media.into_iter().flatten().collect::<Vec<_>>())?;
    println!(
        "\nRAVE will be installed to a disk of this machine: {} MiB, which grow to the size of the disk.",
        size >> 20
    );
    let attended = given.disk.is_none();
    if attended && let Some(file) = file {
        return Err(refused(format!("{} names no disk", file.display()), "add a line rave.install=/dev/..."));
    }
    let answers = if attended { dialogue::ask(given, &disks, config)? } else { given };
    system::check(&answers, config)?;
    let disk = Disk::find(&disks, answers.disk.as_deref().unwrap_or_default())?;
    let target = disk.open(size)?;
    may_be_taken(&target, disk, &answers)?;

    medium::check(Path::new(MEDIUM))
        .inspect_err(|_| println!("nothing was written to {}", disk.path.display()))?;
    println!("writing {}", disk.path.display());
    let mut shown = 0;
    target.write_body(image, &mut |done| {
        let percent = done * 100 / size;
        if percent >= shown + 5 {
            shown = percent - percent % 5;
            println!("  {shown:3} %  {} of {} MiB", done >> 20, size >> 20);
        }
    })?;
    system::configure(&disk.path, root, &answers, config)?;
    target.write_head(image)?;
    println!(
        "RAVE is installed on {}: remove the medium; the machine boots from the disk next time.",
        disk.path.display()
    );
    let then = if attended { dialogue::end(answers.then)? } else { answers.then };
    finish(then)
}

/// A disk with data is only used after two confirmations.
fn may_be_taken(target: &Target, disk: &Disk, answers: &Answers) -> Result<(), Error> {
    let path = disk.path.display();
    match target.content()? {
        Content::Nothing => Ok(()),
        Content::Unfinished => {
            println!("an earlier installation to {path} was not finished: starting over");
            Ok(())
        }
        Content::Data => {
            let named = answers.erase_disk.as_deref();
            let same =
                named.and_then(|name| fs::canonicalize(name).ok()).is_some_and(|path| path == disk.path);
            if answers.erase && same {
                println!("all data on {path} is erased, as confirmed twice");
                return Ok(());
            }
            Err(refused(
                format!("there is data on {path}"),
                format!(
                    "use an empty disk; to erase this one, confirm it twice: rave.erase=yes rave.erase-disk={path}"
                ),
            ))
        }
    }
}

fn finish(then: Then) -> Result<(), Error> {
    let verb = match then {
        Then::PowerOff => "poweroff",
        Then::Reboot => "reboot",
        Then::Stay => return Ok(()),
    };
    spawn::output("systemctl", &["--no-block", verb], Duration::from_secs(30)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_data_needs_two_confirmations() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("disk");
        fs::write(&path, vec![7; 4 << 20]).unwrap();
        let path = path.canonicalize().unwrap();
        let (disk, target) = disk::of_file(&path);
        let answers = |erase: bool, named: Option<&Path>| Answers {
            erase,
            erase_disk: named.map(|path| path.display().to_string()),
            ..Answers::default()
        };
        let other = scratch.path().to_path_buf();
        for insufficient in [
            answers(false, None),
            answers(true, None),
            answers(false, Some(&path)),
            answers(true, Some(&other)),
        ] {
            let error = may_be_taken(&target, &disk, &insufficient).unwrap_err().to_string();
            assert!(error.starts_with(&format!("there is data on {}\n", path.display())), "{error}");
            assert!(error.contains("confirm it twice: rave.erase=yes rave.erase-disk="), "{error}");
        }
        may_be_taken(&target, &disk, &answers(true, Some(&path))).unwrap();
        fs::write(&path, vec![0; 4 << 20]).unwrap();
        may_be_taken(&target, &disk, &Answers::default()).unwrap();
    }
}
