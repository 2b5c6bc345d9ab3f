//! A pager for what is longer than a screen, chosen and called as git does (git-var(1), `GIT_PAGER`).

use std::env;
use std::io::{self, Write as _};

use anstream::{AutoStream, ColorChoice};
use rave_process::{Cmd, Error};

/// Where the user's pager stands; the first that is set counts.
const VARIABLES: [&str; 3] = ["RAVE_PAGER", "GIT_PAGER", "PAGER"];
/// Without one. What fits a screen stays on it, colours are colours, and the screen is not cleared.
const DEFAULT: &str = "less -FRX";
/// What a shell ends with where a program cannot be started, and where it is not there.
const NOT_STARTED: [i32; 2] = [126, 127];

/// The line for a shell that shows text, if there is a pager.
fn chosen(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let own = VARIABLES.into_iter().find_map(variable);
    let pager = own.unwrap_or_else(|| DEFAULT.to_owned());
    let pager = pager.trim();
    (!pager.is_empty() && pager != "cat").then(|| pager.to_owned())
}

/// Shows text in the user's pager; false if there is none that works.
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
    // It reads its input, as some pagers take a file for something else. The variable is a line for a shell (environ(7)).
    let line = format!("exec < \"$1\"\n{pager}");
    let shown = Cmd::new("sh").args(["-c", &line, "pager"]).arg(file.path());
    let settings =
        [("LESS", "FRX"), ("LV", "-c")].into_iter().filter(|(name, _)| env::var_os(name).is_none());
    // What is shown is an agent's: a key that is pressed by mistake starts nothing.
    let shown = settings.fold(shown.env("LESSSECURE", "1"), |shown, (name, value)| shown.env(name, value));
    match shown.inherit_terminal().run(&mut |_| {}) {
        Ok(_) => true,
        // It was there, and somebody has seen something.
        Err(Error::Failed { status, .. }) => !NOT_STARTED.contains(&status.shell_code()),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pager_is_the_users_and_cat_or_nothing_is_none() {
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
