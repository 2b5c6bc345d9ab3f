//! A mirror of a package archive.

use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::names::checked_text;
use crate::url::{is_url, no_password};

/// URL schemes that apt supports.
pub const MIRROR_SCHEMES: &[&str] = &["https", "http", "file"];

checked_text! {
    /// The URL of a mirror, as in a line of sources.list(5).
    Mirror, check_mirror
}

fn check_mirror(text: &str) -> Result<(), InvalidValue> {
    no_password(text, "a URL without one; apt_auth.conf(5) is for passwords")?;
    // The suite follows a space, the options a bracket.
    let breaks = |c: char| c.is_ascii_control() || [' ', '[', ']'].contains(&c);
    if !is_url(text, MIRROR_SCHEMES) || text.contains(breaks) {
        let expected = "a URL such as \"https://mirror.example.org/debian\"";
        return Err(InvalidValue::new(format!("{text:?} is not the URL of a mirror"), expected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_a_url_of_apt_without_a_password() {
        for url in ["http://mirror.example.org/debian", "https://m:8080/d", "file:///srv/debian"] {
            assert!(url.parse::<Mirror>().is_ok(), "{url}");
        }
        for url in [
            "",
            "mirror.example.org",
            "http://",
            "ftp://a",
            "http://a trixie",
            "http://a\n",
            "[x=y] http://a",
        ] {
            assert!(url.parse::<Mirror>().is_err(), "{url:?}");
        }
        let message = "http://me:hunter2@mirror.example.org/".parse::<Mirror>().unwrap_err().to_string();
        assert!(message.contains("apt_auth.conf") && !message.contains("hunter2"), "{message}");
    }
}
