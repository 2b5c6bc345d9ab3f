//! A pager for long output, chosen and called as git does (git-var(1), `GIT_PAGER`).

use std::env;
use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use rave_process::{Cmd, Error};

/// The variables that name the user's pager; the first one that is set wins.
const VARIABLES: [&str; 3] = ["RAVE_PAGER", "GIT_PAGER", "PAGER"];
/// The default pager. Text that fits the screen is printed without paging, colours are kept, and the screen is not
/// cleared.
const DEFAULT: &str = "less -FRX";
/// A shell's exit codes for a program that cannot be executed, and for one that is not found.
const NOT_STARTED: [i32; 2] = [126, 127];

/// The pager's shell command, if there is a pager.
fn chosen(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let own = VARIABLES.into_iter().find_map(variable);
    let pager = own.unwrap_or_else(|| DEFAULT.to_owned());
    let pager = pager.trim();
    (!pager.is_empty() && pager != "cat").then(|| pager.to_owned())
}

/// Shows text in the user's pager; false if there is no working one.
pub(super) fn show(text: &str, color: ColorChoice) -> bool {
    let Some(pager) = chosen(|name| env::var(name).ok()) else { return false };
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
    // The text is passed on stdin, because some pagers treat a file argument differently. The variable is a shell
    // command (environ(7)).
    let line = format!("exec < \"$1\"\n{pager}");
    let shown = Cmd::new("sh").args(["-c", &line, "pager"]).arg(file.path());
    let settings =
        [("LESS", "FRX"), ("LV", "-c")].into_iter().filter(|(name, _)| env::var_os(name).is_none());
    // The text comes from an agent: an accidental key press must not start a program.
    let shown = settings.fold(shown.env("LESSSECURE", "1"), |shown, (name, value)| shown.env(name, value));
    match shown.inherit_terminal().run(&mut |_| {}) {
        Ok(_) => true,
        // The pager ran, so the text was shown.
        Err(Error::Failed { status, .. }) => !NOT_STARTED.contains(&status.shell_code()),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_pager_is_used_and_cat_or_empty_means_none() {
        let of = |set: &[(&str, &str)]| {
            let find = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            chosen(|name| find(name).map(str::to_owned))
        };
        assert_eq!(of(&[]).as_deref(), Some(DEFAULT));
        assert_eq!(of(&[("PAGER", "more"), ("GIT_PAGER", "delta")]).as_deref(), Some("delta"));
        assert_eq!(of(&[("PAGER", "more"), ("RAVE_PAGER", "bat -p")]).as_deref(), Some("bat -p"));
        assert_eq!(of(&[("PAGER", "cat")]), None);
        assert_eq!(of(&[("GIT_PAGER", " "), ("PAGER", "less")]), None, "nothing is an answer, too");
    }
}
