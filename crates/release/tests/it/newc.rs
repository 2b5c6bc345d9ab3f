//! cpio archives in the kernel's format (its documentation, "initramfs buffer format").

const REGULAR: u32 = 0o100_644;

/// An archive with these files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|(name, content)| (*name, REGULAR, *content)).collect();
    entries(&files)
}

/// An archive with entries of these modes (inode(7)).
pub(crate) fn entries(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let entries = entries.iter().copied().chain([("TRAILER!!!", REGULAR, &b""[..])]);
    entries.flat_map(|(name, mode, content)| member(name, mode, content)).collect()
}

fn member(name: &str, mode: u32, content: &[u8]) -> Vec<u8> {
    let (mode, size) = (usize::try_from(mode).unwrap(), content.len());
    let numbers = [1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() + 1, 0];
    let header = numbers.iter().fold("070701".to_owned(), |text, number| format!("{text}{number:08x}"));
    let mut bytes = format!("{header}{name}\0").into_bytes();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
