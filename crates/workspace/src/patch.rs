//! Formats changes as a patch for git and patch(1).

use crate::byte_path::BytePath;
use crate::changes::{Change, Pair};
use crate::entry::Entry;
use crate::hunks::{Side, Texts};

/// Follows a last line without a line feed.
pub const NO_NEWLINE: &str = "\\ No newline at end of file";

/// The patch of one change; its bytes are the guest's.
pub fn patch(change: &Change, pair: &Pair) -> Vec<u8> {
    let mut out = Vec::new();
    let (before, after) = (mode(change.before.as_ref()), mode(change.after.as_ref()));
    if before.is_none() && after.is_none() {
        return out;
    }
    // A patch has one kind per file: write a change of kind as a removal and an addition.
    if let (Some(before), Some(after)) = (before, after)
        && before[..3] != after[..3]
    {
        write(&mut out, &change.path, Some(before), None, &pair.before, b"");
        write(&mut out, &change.path, None, Some(after), b"", &pair.after);
    } else {
        write(&mut out, &change.path, before, after, &pair.before, &pair.after);
    }
    out
}

/// The mode in git's notation; a folder has none.
fn mode(entry: Option<&Entry>) -> Option<&'static str> {
    match entry? {
        Entry::File { executable: true, .. } => Some("100755"),
        Entry::File { .. } => Some("100644"),
        Entry::Link { .. } => Some("120000"),
        Entry::Folder => None,
    }
}

fn write(
    out: &mut Vec<u8>,
    path: &BytePath,
    from: Option<&str>,
    to: Option<&str>,
    before: &[u8],
    after: &[u8],
) {
    let (old, new) = (name("a/", path), name("b/", path));
    line(out, &format!("diff --git {old} {new}"));
    match (from, to) {
        (None, Some(mode)) => line(out, &format!("new file mode {mode}")),
        (Some(mode), None) => line(out, &format!("deleted file mode {mode}")),
        (Some(from), Some(to)) if from != to => {
            line(out, &format!("old mode {from}"));
            line(out, &format!("new mode {to}"));
        }
        _ => {}
    }
    if before == after {
        return;
    }
    line(out, &format!("--- {}", if from.is_some() { &old } else { "/dev/null" }));
    line(out, &format!("+++ {}", if to.is_some() { &new } else { "/dev/null" }));
    let texts = Texts::new(before, after);
    for hunk in texts.hunks() {
        line(out, &Texts::head(&hunk));
        for (side, text) in texts.lines(&hunk) {
            out.push(match side {
                Side::Both => b' ',
                Side::Removed => b'-',
                Side::Added => b'+',
            });
            out.extend_from_slice(text);
            if !text.ends_with(b"\n") {
                line(out, &format!("\n{NO_NEWLINE}"));
            }
        }
    }
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

/// A name, quoted where git would quote it (`core.quotePath` off).
fn name(prefix: &str, path: &BytePath) -> String {
    use std::fmt::Write as _;
    let needs_quotes = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\' | 0x7f..);
    if !path.bytes().iter().any(needs_quotes) {
        return format!("{prefix}{}", String::from_utf8_lossy(path.bytes()));
    }
    let mut text = format!("\"{prefix}");
    for byte in path.bytes() {
        if needs_quotes(byte) {
            let _ = write!(text, "\\{byte:03o}");
        } else {
            text.push(char::from(*byte));
        }
    }
    text + "\""
}
