//! `rave-guest install`: writes the disk that the ISO carries to a disk of this machine. It asks on the console, or is
//! told by kernel arguments or a file of a second medium. The disk becomes bootable with the last write alone, so what
//! a power cut leaves is known, and the installation starts over.

mod answers;
mod dialogue;
mod disk;
mod system;

use crate::error::Error;
use crate::spawn;
use answers::{Answers, Then, refused};
use disk::{Content, Disk, Target};
use rave_guest::config::GuestConfig;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the initrd mounted what it started from.
const MEDIUM: &str = "/run/rave/medium";
/// The whole disk.
const IMAGE: &str = "/run/rave/image/disk.raw";

pub(crate) fn run(config: &GuestConfig) -> Result<(), Error> {
    let image = Path::new(IMAGE);
    let size = fs::metadata(image).map(|about| about.len()).map_err(|_| {
        refused(
            format!("there is no {IMAGE}"),
            "start the machine from RAVE's ISO: only that carries a disk to install",
        )
    })?;
    let given = Answers::read(&config.user)?;
    let media = [disk::mounted_at(MEDIUM)?.map(PathBuf::from), fs::canonicalize(answers::MEDIUM).ok()];
    let disks = Disk::all(&media.into_iter().flatten().collect::<Vec<_>>())?;
    println!("\nRAVE is installed to a disk of this machine: {} MiB, which grow to the disk.", size >> 20);
    let attended = given.disk.is_none();
    let answers = if attended { dialogue::ask(given, &disks, config)? } else { given };
    let disk = Disk::find(&disks, answers.disk.as_deref().unwrap_or_default())?;
    let target = disk.open(size)?;
    may_be_taken(&target, disk, &answers)?;

    check_medium()?;
    println!("writing {}", disk.path.display());
    let mut shown = 0;
    target.write_body(image, &mut |done| {
        let percent = done * 100 / size;
        if percent >= shown + 5 {
            shown = percent - percent % 5;
            println!("  {shown:3} %  {} of {} MiB", done >> 20, size >> 20);
        }
    })?;
    system::configure(&disk.path, &answers, config)?;
    target.write_head(image)?;
    println!(
        "RAVE is installed on {}: take the medium out; the next start is from the disk.",
        disk.path.display()
    );
    let then = if attended { dialogue::end(answers.then)? } else { answers.then };
    finish(then)
}

/// A disk with data is taken only by who said so twice.
fn may_be_taken(target: &Target, disk: &Disk, answers: &Answers) -> Result<(), Error> {
    let path = disk.path.display();
    match target.content()? {
        Content::Nothing => Ok(()),
        Content::Unfinished => {
            println!("an installation to {path} began and did not end: it starts over");
            Ok(())
        }
        Content::Data => {
            let named = answers.erase_disk.as_deref();
            let same =
                named.and_then(|name| fs::canonicalize(name).ok()).is_some_and(|path| path == disk.path);
            if answers.erase && same {
                println!("what is on {path} is erased, as was said twice");
                return Ok(());
            }
            Err(refused(
                format!("there is data on {path}"),
                format!(
                    "take an empty disk; to erase this one say so twice: rave.erase=yes rave.erase-disk={path}"
                ),
            ))
        }
    }
}

/// Compares the medium with the digests that it was made with.
fn check_medium() -> Result<(), Error> {
    println!("checking the medium");
    let args = ["-C", MEDIUM, "sha256sum", "--check", "--quiet", "--strict", "rave/SHA256SUMS"];
    spawn::output("env", &args, Duration::from_secs(3600)).map(drop).map_err(|error| {
        refused(
            format!("the medium is damaged, nothing was written to the disk: {error}"),
            "write the ISO to the medium again, and compare the ISO's SHA-256 with that in manifest.json",
        )
    })
}

fn finish(then: Then) -> Result<(), Error> {
    let verb = match then {
        Then::PowerOff => "poweroff",
        Then::Reboot => "reboot",
        Then::Stay => return Ok(()),
    };
    spawn::output("systemctl", &["--no-block", verb], Duration::from_secs(30)).map(drop)
}
