//! The builder's names, which are searched in every byte.

use serde::{Deserialize, Serialize};

use super::finding::Rule;

/// The shortest name that is searched, bytes: shorter ones occur in every program by chance.
const SHORTEST: usize = 5;

/// Common names, which are not searched.
const EVERYBODYS: &[&str] = &[
    "root",
    "user",
    "users",
    "admin",
    "agent",
    "build",
    "builder",
    "runner",
    "debian",
    "ubuntu",
    "nixos",
    "nobody",
    "localhost",
    "daemon",
    "docker",
    "guest",
    "rave",
    "sandbox",
    "vagrant",
    "container",
    "buildd",
    "postgres",
];

/// Common folders, which are not searched.
const COMMON: &[&str] = &[
    "/",
    "/root",
    "/home",
    "/tmp",
    "/var/tmp",
    "/usr",
    "/usr/local",
    "/opt",
    "/srv",
    "/work",
    "/build",
    "/var/cache",
];

/// What the builder is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuilderNames {
    /// The user.
    pub user: String,
    /// The host.
    pub host: String,
    /// Folders: of the checkout, of the cache, of the results, the user's home.
    pub paths: Vec<String>,
}

/// A text to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needle {
    pub(super) rule: Rule,
    pub(super) text: String,
}

impl BuilderNames {
    /// The texts to search for, and notes about skipped ones.
    pub(super) fn needles(&self) -> (Vec<Needle>, Vec<String>) {
        let (mut needles, mut skipped) = (Vec::new(), Vec::new());
        let mut names =
            vec![(Rule::BuilderUser, self.user.as_str()), (Rule::BuilderHost, self.host.as_str())];
        // Programs write a host's name with and without its domain.
        names.extend(self.host.split_once('.').map(|(name, _)| (Rule::BuilderHost, name)));
        for (rule, name) in names {
            if name.len() < SHORTEST || EVERYBODYS.contains(&name) {
                skipped.push(format!("{rule}: {name:?} is too short or too common a name to be searched"));
            } else {
                needles.push(Needle { rule, text: name.to_owned() });
            }
        }
        for path in &self.paths {
            let path = path.trim_end_matches('/');
            if path.len() < SHORTEST || COMMON.contains(&path) {
                skipped.push(format!("{}: {path:?} is too common a folder to be searched", Rule::BuildPath));
            } else if !needles.iter().any(|needle| needle.text == path) {
                needles.push(Needle { rule: Rule::BuildPath, text: path.to_owned() });
            }
        }
        // Longer ones first: they are more specific.
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.text.len()));
        (needles, skipped)
    }
}

/// Whether a match is delimited: a path at its start, a name at both ends.
pub(super) fn is_delimited(rule: Rule, before: Option<u8>, after: Option<u8>) -> bool {
    let joins = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    match rule {
        Rule::BuildPath => !joins(after),
        _ => !joins(before) && !joins(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_are_skipped_and_reported() {
        let names = BuilderNames {
            user: "root".into(),
            host: "quokka-17".into(),
            paths: vec!["/root".into(), "/root/x/".into(), "/root/x".into(), "/srv/quokka-17/rave".into()],
        };
        let (needles, skipped) = names.needles();
        let texts: Vec<&str> = needles.iter().map(|needle| needle.text.as_str()).collect();
        assert_eq!(texts, ["/srv/quokka-17/rave", "quokka-17", "/root/x"]);
        assert_eq!(skipped.len(), 2, "{skipped:?}");
        let names = BuilderNames { host: "quokka-17.example.org".into(), ..BuilderNames::default() };
        let texts: Vec<String> = names.needles().0.into_iter().map(|needle| needle.text).collect();
        assert_eq!(texts, ["quokka-17.example.org", "quokka-17"]);
    }
}
