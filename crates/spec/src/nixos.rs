//! How the `NixOS` base is built: options of nix that never change the image.

use serde::{Deserialize, Serialize};

use crate::names::checked_text;
use crate::url::{is_url, no_password};
use crate::{InvalidValue, Limits};

/// The `NixOS` base: options of `nix build`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nixos {
    /// Machines that build for this one (`--builders`), without duplicates.
    pub builders: Vec<RemoteBuilder>,
    /// Caches that are used in addition to those of nix.conf (`--extra-substituters`), without duplicates.
    pub substituters: Vec<Substituter>,
    /// The number of parallel builds, within [`MAX_JOBS_LIMITS`] (`--max-jobs`); `None`: as in nix.conf.
    pub max_jobs: Option<u32>,
    /// Use no cache and download nothing (`--offline`).
    pub offline: bool,
    /// Rebuild what already exists and compare (`--rebuild`).
    pub rebuild: bool,
}

/// Parallel builds: zero leaves everything to the builders; more than the upper limit is likely a typo.
pub const MAX_JOBS_LIMITS: Limits = Limits { unit: "jobs", range: 0..=1024 };

checked_text! {
    /// A remote builder as in a line of Nix's machines file (nix.conf(5), `builders`): the URL of a store over SSH,
    /// then at most seven more fields: systems, key, jobs, speed, features, mandatory features, host key. Or `@` and
    /// the path of such a file.
    RemoteBuilder, check_builder
}

checked_text! {
    /// The URL of a store from which nix copies finished builds (nix.conf(5), `substituters`).
    Substituter, check_substituter
}

/// The number of fields in a machines file after the URL.
pub const BUILDER_FIELDS: usize = 7;
/// URL schemes of stores in which nix can build.
pub const BUILDER_SCHEMES: &[&str] = &["ssh", "ssh-ng"];
/// URL schemes of stores from which nix can copy.
pub const SUBSTITUTER_SCHEMES: &[&str] = &["https", "http", "file", "s3", "ssh", "ssh-ng"];

/// Where passwords belong instead.
const NETRC: &str = "a URL without one; netrc-file of nix.conf is for passwords";

fn check_builder(text: &str) -> Result<(), InvalidValue> {
    let refuse = || {
        let expected =
            "a line of a machines file, such as \"ssh-ng://me@builder x86_64-linux\", or \"@/path/of/one\"";
        Err(InvalidValue::new(format!("{text:?} is not a remote builder"), expected))
    };
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return refuse() };
    no_password(first, NETRC)?;
    let more = words.count();
    let fits = match first.strip_prefix('@') {
        Some(path) => path.starts_with('/') && path.len() > 1 && more == 0,
        None => is_url(first, BUILDER_SCHEMES) && more <= BUILDER_FIELDS,
    };
    // The next builder follows a semicolon.
    if !fits || text.contains(|c: char| c.is_ascii_control() || c == ';') {
        return refuse();
    }
    Ok(())
}

fn check_substituter(text: &str) -> Result<(), InvalidValue> {
    no_password(text, NETRC)?;
    // The next substituter follows a space.
    if !is_url(text, SUBSTITUTER_SCHEMES) || text.contains(|c: char| c.is_ascii_control() || c == ' ') {
        let expected = "a URL such as \"https://cache.example.org\" or \"file:///mnt/cache\"";
        return Err(InvalidValue::new(format!("{text:?} is not the URL of a substituter"), expected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_builder_lines_are_accepted() {
        for line in [
            "ssh://builder",
            "ssh-ng://me@builder.example.org:2222 x86_64-linux,aarch64-linux",
            "ssh://a  x86_64-linux  - 8 2 kvm,big-parallel - c3NoLWVkMjU1MTk=",
            "@/etc/nix/machines",
        ] {
            assert_eq!(line.parse::<RemoteBuilder>().unwrap().as_str(), line);
        }
    }

    #[test]
    fn builder_lines_that_nix_would_misread_are_refused() {
        for line in [
            "",
            " ",
            "builder",
            "https://a",
            "ssh://",
            "ssh://a; ssh://b",
            "ssh://a\nssh://b",
            "@",
            "@/",
            "@/a b",
            "ssh://a 1 2 3 4 5 6 7 8",
        ] {
            assert!(line.parse::<RemoteBuilder>().is_err(), "{line:?}");
        }
        for url in
            ["", "cache.example.org", "https://", "ftp://a", "https://a https://b", "https://a\n", "--option"]
        {
            assert!(url.parse::<Substituter>().is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_password_is_refused_without_being_printed() {
        for url in ["https://me:hunter2@cache.example.org/x", "https://a:hunter2@b@c?x=1"] {
            let message = url.parse::<Substituter>().unwrap_err().to_string();
            assert!(message.contains("password") && !message.contains("hunter2"), "{message}");
        }
        assert!("ssh://me:hunter2@builder x86_64-linux".parse::<RemoteBuilder>().is_err());
        assert!("https://cache.example.org:8080/a:b@c?d=:@".parse::<Substituter>().is_ok());
        assert!("ssh://me@builder:22".parse::<RemoteBuilder>().is_ok());
    }
}
