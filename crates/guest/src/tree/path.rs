//! The paths that a stream may contain. Paths are bytes, as in Linux (`path_resolution(7)`).

/// The longest path in bytes: less than `PATH_MAX` of limits.h, which includes the NUL.
pub const MAX_PATH: usize = 4095;
/// The longest name in bytes: `NAME_MAX` of limits.h.
pub const MAX_NAME: usize = 255;
/// The largest depth of a path.
pub const MAX_DEPTH: usize = 100;

/// Why a path is invalid; nothing if it is relative and stays below its root.
pub fn fault(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > MAX_PATH {
        return Some("it is too long");
    }
    if path.contains(&0) {
        return Some("it has a NUL byte");
    }
    let mut depth = 0;
    for name in path.split(|byte| *byte == b'/') {
        depth += 1;
        match name {
            b"" => return Some("it has an empty name"),
            b"." | b".." => return Some("it has a name . or .."),
            _ if name.len() > MAX_NAME => return Some("it has a name that is too long"),
            _ => {}
        }
    }
    (depth > MAX_DEPTH).then_some("it is too deep")
}

/// The folder of a path and the name in it; the folder of a single name is empty.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The path of a name in a folder.
pub fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// The folders above a path, the outermost first.
pub fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(move |(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_outside_the_folder_are_refused() {
        let deep = "a/".repeat(MAX_DEPTH) + "b";
        let long = "a".repeat(MAX_NAME + 1);
        let wide = "abcdefghi/".repeat(409) + "abcdefghi";
        for bad in
            ["", "/", "/etc", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.", "a\0b", &deep, &long, &wide]
        {
            assert!(fault(bad.as_bytes()).is_some(), "{bad:?}");
        }
        for good in [b"a".as_slice(), b"a/b", b"...", b"a\xff\n/b", b".git"] {
            assert_eq!(fault(good), None);
        }
    }

    #[test]
    fn paths_are_split_and_joined() {
        assert_eq!(split(b"a/b/c"), (b"a/b".as_slice(), b"c".as_slice()));
        assert_eq!(split(b"a"), (b"".as_slice(), b"a".as_slice()));
        assert_eq!((join(b"", b"a"), join(b"a", b"b")), (b"a".to_vec(), b"a/b".to_vec()));
        assert_eq!(above(b"a/b/c").collect::<Vec<_>>(), [b"a".as_slice(), b"a/b"]);
    }
}
