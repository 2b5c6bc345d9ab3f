//! Names that a guest may not give to a file of the host.

/// Why a path must not be written on the host; nothing if it may be.
pub fn fault(path: &[u8]) -> Option<&'static str> {
    let mut names = path.split(|byte| *byte == b'/');
    names.any(is_of_git).then_some("it is git's own folder, or would be on another file system")
}

/// Whether a name is `.git` for a file system of Linux, macOS or Windows: in any case, with characters that HFS+
/// ignores (the list in git's `utf8.c`), with trailing dots, spaces or a stream name of NTFS, or as its short name
/// (git's `is_ntfs_dotgit`).
fn is_of_git(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let seen: String =
        text.chars().filter(|character| !is_left_out(*character)).flat_map(char::to_lowercase).collect();
    let seen = seen.split([':', '\\']).next().unwrap_or_default();
    let seen = seen.trim_end_matches(['.', ' ']);
    seen == ".git" || seen == "git~1"
}

fn is_left_out(character: char) -> bool {
    matches!(
        character,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

/// Why a link at `path` may not have this `target`: it would lead out of the workspace. A target may only go up at its
/// beginning, because a name in it may be a link too.
pub fn link_fault(path: &[u8], target: &[u8]) -> Option<&'static str> {
    if target.first() == Some(&b'/') {
        return Some("the link leads out of the workspace");
    }
    let mut depth = rave_guest::tree::path::above(path).count();
    let mut went_down = false;
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if went_down => {
                return Some("the link goes up after a name, so it may lead out of the workspace");
            }
            b".." if depth == 0 => return Some("the link leads out of the workspace"),
            b".." => depth -= 1,
            name if is_of_git(name) => return Some("the link leads into git's own folder"),
            _ => went_down = true,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_git_folder_is_recognised_in_every_disguise() {
        for name in [
            ".git",
            ".GIT",
            ".Git/config",
            "a/.git/hooks/pre-commit",
            ".git ",
            ".git.",
            ".git. .",
            ".git::$INDEX_ALLOCATION",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git\\x",
        ] {
            assert!(fault(name.as_bytes()).is_some(), "{name:?}");
        }
        for name in [".gitignore", ".github/x", "git", "a.git", ".git2", "git~2", ".gitmodules"] {
            assert_eq!(fault(name.as_bytes()), None, "{name:?}");
        }
    }

    #[test]
    fn links_that_lead_outside_are_recognised() {
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a", "../x"),
            ("a/b", "../../x"),
            ("a/b", "c/../../../x"),
            ("a/b", "c/.."),
            ("a", "./../x"),
            ("a", ".git/hooks"),
            ("a/b", "../.GIT/config"),
        ] {
            assert!(link_fault(path.as_bytes(), target.as_bytes()).is_some(), "{path} -> {target}");
        }
        for (path, target) in
            [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "./b//c"), ("a/b", "..")]
        {
            assert_eq!(link_fault(path.as_bytes(), target.as_bytes()), None, "{path} -> {target}");
        }
    }
}
