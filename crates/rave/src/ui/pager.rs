//! A pager for what is longer than a screen.

use std::env;
use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use rave_process::Cmd;

/// Shows text in the user's pager; false if there is none that works. `less` gets options that leave what fits a screen on it.
pub(super) fn show(text: &str, color: ColorChoice) -> bool {
    let own = ["RAVE_PAGER", "PAGER"].into_iter().find_map(|name| env::var(name).ok());
    let pager = own.unwrap_or_else(|| "less -FRX".to_owned());
    if pager.trim().is_empty() || pager.trim() == "cat" {
        return false;
    }
    let write = || -> io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new()?;
        let has_color = color == ColorChoice::Always
            || (color == ColorChoice::Auto && AutoStream::choice(&io::stdout()) != ColorChoice::Never);
        if has_color {
            file.write_all(text.as_bytes())?;
        } else {
            write!(file, "{}", anstream::adapter::strip_str(text))?;
        }
        file.flush()?;
        Ok(file)
    };
    let Ok(file) = write() else { return false };
    // The variable is a line for a shell (environ(7)).
    let line = format!("{pager} \"$1\"");
    let shown = Cmd::new("sh").args(["-c", &line, "pager"]).arg(file.path()).env("LESSSECURE", "1");
    shown.inherit_terminal().run(&mut |_| {}).is_ok()
}
