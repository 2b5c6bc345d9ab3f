//! cpio archives in the kernel's format (its documentation, "initramfs buffer format").

const REGULAR: usize = 0o100_644;

/// An archive with these files.
pub(crate) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let files = files.iter().copied().chain([("TRAILER!!!", &b""[..])]);
    files.flat_map(|(name, content)| member(name, content)).collect()
}

fn member(name: &str, content: &[u8]) -> Vec<u8> {
    let numbers = [1, REGULAR, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
    let header = numbers.iter().fold("070701".to_owned(), |text, number| format!("{text}{number:08x}"));
    let mut bytes = format!("{header}{name}\0").into_bytes();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
