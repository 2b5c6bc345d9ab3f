//! What the network refused, as the guest shows it: a file whose new lines the next prompt prints.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The path in the guest, which is in memory.
pub const PATH: &str = "/run/rave/denied";
/// The largest number of lines; the oldest are dropped first.
pub const MOST: usize = 20;
/// The longest line, in characters.
pub const LINE: usize = 1000;

/// A refusal, worded by the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Larger than that of all previous notices, across boots and supervisors.
    pub number: u64,
    /// What was refused, the rule, and the command that allows it.
    pub text: String,
}

/// The file's text: a line for each notice, with its number, a tab and its text, without control characters.
fn file(notices: &[Notice]) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let line = |notice: &Notice| {
        let text: String = notice.text.chars().take(LINE).map(plain).collect();
        format!("{}\t{text}\n", notice.number)
    };
    notices[notices.len().saturating_sub(MOST)..].iter().map(line).collect()
}

/// Replaces the file.
pub fn write(path: &Path, notices: &[Notice]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let temporary = path.with_extension("new");
    fs::write(&temporary, file(notices))?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644))?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(number: u64, text: &str) -> Notice {
        Notice { number, text: text.into() }
    }

    #[test]
    fn the_latest_messages_are_kept_as_plain_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rave/denied");
        let many: Vec<Notice> = (0..50).map(|number| notice(number, &"x".repeat(LINE * 2))).collect();
        write(&path, &many).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), MOST);
        assert!(text.starts_with("30\tx") && text.len() < MOST * (LINE + 30));
        write(&path, &[notice(7, "a\u{1b}[2J\nb")]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "7\ta\u{fffd}[2J\u{fffd}b\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }
}
