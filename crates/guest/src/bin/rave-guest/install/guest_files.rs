//! Writes the guest's files again where another name changes them.

use crate::error::Error;
use crate::files::{self, below, failed};
use rave_guest::assets::{self, GuestFile, GuestFileKind, Owner, Paths};
use rave_guest::config::GuestConfig;
use std::fs;
use std::path::Path;

/// The folder of units that the image's owner added.
const UNITS: &str = "etc/systemd/system";

/// Writes to the system under `root`, whose home is already renamed.
pub(super) fn write(root: &Path, from: &GuestConfig, to: &GuestConfig) -> Result<(), Error> {
    let paths = Paths::debian();
    let (before, after) = (assets::files(from, &paths), assets::files(to, &paths));
    for file in after.iter().filter(|file| !before.contains(file)) {
        // Links contain no user name, and a folder in the home was moved with it.
        if let GuestFileKind::File { mode, content } = &file.kind {
            let owner = match file.owner {
                Owner::Root => None,
                Owner::User => Some(files::owner(&below(root, &to.home))?),
            };
            files::write(&below(root, &file.path), *mode, owner, content)?;
        }
    }
    if from.user == to.user { Ok(()) } else { rename_in_units(root, &after, from, to) }
}

/// Units of the image's owner also run as the user, and refer to its home.
fn rename_in_units(
    root: &Path,
    own: &[GuestFile],
    from: &GuestConfig,
    to: &GuestConfig,
) -> Result<(), Error> {
    let folder = root.join(UNITS);
    for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
        let path = entry.map_err(failed("list", &folder))?.path();
        let is_file = path.symlink_metadata().is_ok_and(|about| about.is_file());
        if !is_file || own.iter().any(|file| below(root, &file.path) == path) {
            continue;
        }
        let text = files::read(&path)?;
        let renamed = renamed(&text, from, to);
        if renamed != text {
            files::write(&path, 0o644, None, renamed)?;
        }
    }
    Ok(())
}

/// `User=` and `Group=` of systemd.exec(5), and all paths below the home.
fn renamed(text: &str, from: &GuestConfig, to: &GuestConfig) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, value)) if matches!(key.trim(), "User" | "Group") && value.trim() == from.user => {
            format!("{key}={}\n", to.user)
        }
        _ => moved(line, &from.home, &to.home),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// `text` with the path `from` replaced, except as the beginning of a longer name such as `/home/agent2`.
fn moved(text: &str, from: &str, to: &str) -> String {
    let continues = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut parts = text.split(from);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(if part.starts_with(continues) { from } else { to });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_the_image_user_are_renamed() {
        let me = GuestConfig { user: "me".into(), home: "/home/me".into(), ..GuestConfig::default() };
        let before = "[Service]\nUser=agent\nGroup = agent\nExecStart=/home/agent/bin/x --for agent\n\
                      Environment=HOME=/home/agent A=/home/agent2/x\nSupplementaryGroups=agent2\n";
        let after = "[Service]\nUser=me\nGroup =me\nExecStart=/home/me/bin/x --for agent\n\
                     Environment=HOME=/home/me A=/home/agent2/x\nSupplementaryGroups=agent2\n";
        assert_eq!(renamed(before, &GuestConfig::default(), &me), after);
    }
}
