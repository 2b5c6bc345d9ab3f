//! Which paths of the store a folder names.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use camino::Utf8Path;

const STORE: &[u8] = b"/nix/store/";

/// Letters of a digest in a path (Nix's manual, "Store path").
const DIGEST: usize = 32;

/// All that files and links below a place name.
pub(super) fn of(place: &Utf8Path) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![place.to_owned()];
    while let Some(path) = open.pop() {
        let kind = path.symlink_metadata()?.file_type();
        if kind.is_dir() {
            for entry in path.read_dir_utf8()? {
                open.push(entry?.path().to_owned());
            }
        } else if kind.is_symlink() {
            in_bytes(fs::read_link(&path)?.as_os_str().as_bytes(), &mut found);
        } else {
            in_bytes(&fs::read(&path)?, &mut found);
        }
    }
    Ok(found)
}

fn in_bytes(bytes: &[u8], found: &mut BTreeSet<String>) {
    let starts = bytes.windows(STORE.len()).enumerate().filter(|(_, window)| *window == STORE);
    for (at, _) in starts {
        let name = &bytes[at + STORE.len()..];
        let length = name.iter().take_while(|byte| is_of_name(**byte)).count();
        let is_digest =
            |part: &[u8]| part.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if length > DIGEST + 1 && is_digest(&name[..DIGEST]) && name[DIGEST] == b'-' {
            found.insert(format!("/nix/store/{}", String::from_utf8_lossy(&name[..length])));
        }
    }
}

/// Of a store path's name (Nix's manual, "Store path").
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_paths_are_found_in_any_bytes() {
        let digest = "0123456789abcdfghijklmnpqrsvwxyz";
        let text = format!(
            "\0x=/nix/store/{digest}-a-1.0/bin:/nix/store/{digest}-b\0/nix/store/short-c /nix/store/.links"
        );
        let mut found = BTreeSet::new();
        in_bytes(text.as_bytes(), &mut found);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [format!("/nix/store/{digest}-a-1.0"), format!("/nix/store/{digest}-b")]
        );
    }
}
