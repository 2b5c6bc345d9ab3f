//! Changes that nobody should apply without looking at them, according to a list of rules.

use serde::Serialize;

use crate::error::Error;
use crate::pattern::{Pattern, fault, lines, names};

/// RAVE's list.
const SHIPPED: &str = include_str!("../data/quarantine.txt");

/// The bytes in which a NUL marks a file as binary, the same as in git.
pub const TEXT_HEAD: usize = 8000;

/// The name of git's reference to the current branch.
const HEAD: &str = "HEAD";

/// Keys of a manifest that are only shown, of npm and composer.
const INERT: [&str; 20] = [
    "name",
    "version",
    "description",
    "keywords",
    "author",
    "authors",
    "contributors",
    "maintainers",
    "license",
    "licenses",
    "homepage",
    "repository",
    "bugs",
    "support",
    "funding",
    "private",
    "files",
    "types",
    "typings",
    "browserslist",
];
/// Keys with packages and their versions.
const PACKAGES: [&str; 6] =
    ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies", "require", "require-dev"];

/// How dangerous a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It runs without a command, or changes the meaning of one: left out unless it is named.
    RunsByItself,
    /// It runs in an ordinary build or test: shown, and applied after confirmation.
    RunsOnBuild,
}

/// Why a change is held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// How dangerous it is.
    pub class: Class,
    /// The reason.
    pub why: String,
}

/// A file before and after the change, as far as the checks look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sides<'a> {
    /// The previous content; nothing if there was no file.
    pub before: Option<&'a [u8]>,
    /// The current content.
    pub after: Option<&'a [u8]>,
    /// Whether it was executable.
    pub was_executable: bool,
    /// Whether it is executable.
    pub is_executable: bool,
    /// Whether the current content has more than is given here.
    pub is_cut: bool,
}

#[derive(Debug, Clone)]
enum Check {
    Path,
    Executable,
    Binary,
    Repository,
    Scripts,
    Hosts,
}

#[derive(Debug, Clone)]
struct Rule {
    class: Class,
    check: Check,
    pattern: Pattern,
    why: String,
}

/// The rules.
#[derive(Debug, Clone)]
pub struct Quarantine {
    rules: Vec<Rule>,
}

impl Quarantine {
    /// RAVE's list, and a user's own: its path and its text.
    pub fn new(own: Option<(&str, &str)>) -> Result<Self, Error> {
        let mut rules = Self { rules: Vec::new() };
        rules.add("quarantine.txt of RAVE", SHIPPED)?;
        if let Some((path, text)) = own {
            rules.add(path, text)?;
        }
        rules.rules.sort_by_key(|rule| rule.class);
        Ok(rules)
    }

    fn add(&mut self, path: &str, text: &str) -> Result<(), Error> {
        for (number, class, rest) in lines(text) {
            let class = match class {
                "1" => Class::RunsByItself,
                "2" => Class::RunsOnBuild,
                other => return Err(fault(path, number, format!("expected class 1 or 2, not {other:?}"))),
            };
            let (keyword, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let (check, pattern, why) = match keyword {
                "" => return Err(fault(path, number, "a pattern is missing")),
                "@executable" => (Check::Executable, "*", rest),
                "@binary" => (Check::Binary, "*", rest),
                "@repository" => (Check::Repository, HEAD, rest),
                "@scripts" | "@hosts" => {
                    let (pattern, why) =
                        rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
                    (if keyword == "@hosts" { Check::Hosts } else { Check::Scripts }, pattern, why)
                }
                keyword if keyword.starts_with('@') => {
                    return Err(fault(path, number, format!("unknown check {keyword}")));
                }
                keyword => (Check::Path, keyword, rest),
            };
            let why = why.trim().to_owned();
            self.rules.push(Rule { class, check, pattern: Pattern::new(pattern), why });
        }
        Ok(())
    }

    /// Why a change is held back.
    pub fn of(&self, path: &[u8], sides: Sides<'_>) -> Option<Held> {
        let lower = path.to_ascii_lowercase();
        let names = names(&lower);
        self.rules.iter().filter(|rule| rule.pattern.matches_names(&names)).find_map(|rule| {
            let why = match rule.check {
                Check::Path => rule.why.clone(),
                Check::Executable if sides.is_executable && !sides.was_executable => rule.why.clone(),
                Check::Binary if is_new_binary(sides) => rule.why.clone(),
                Check::Repository if is_head(path, sides) => rule.why.clone(),
                Check::Scripts if has_other_scripts(sides) => rule.why.clone(),
                Check::Hosts if sides.is_cut => format!("{}, or is too long to be searched", rule.why),
                Check::Hosts => format!("{}: {}", rule.why, new_hosts(sides)?.join(", ")),
                _ => return None,
            };
            Some(Held { class: rule.class, why })
        })
    }
}

/// Whether bytes are not text, judged by the same prefix as in git.
pub fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(TEXT_HEAD)].contains(&0)
}

fn is_new_binary(sides: Sides<'_>) -> bool {
    sides.after.is_some_and(is_binary)
}

/// Whether a path is the file by which git takes a folder for a repository without a working tree
/// (gitrepository-layout(5)): it obeys the settings in it, such as `core.fsmonitor`, in every command that is run there.
/// On a file system that folds case, only the content tells.
fn is_head(path: &[u8], sides: Sides<'_>) -> bool {
    let name = names(path).pop().unwrap_or_default();
    let text = sides.after.unwrap_or_default().trim_ascii();
    let is_object = matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit);
    name == HEAD.as_bytes()
        || (name.eq_ignore_ascii_case(HEAD.as_bytes()) && (is_object || text.starts_with(b"ref:")))
}

/// Whether more has changed than what npm and composer only read; a file that cannot be parsed counts as changed.
fn has_other_scripts(sides: Sides<'_>) -> bool {
    match (manifest(sides.before), manifest(sides.after)) {
        (Some(before), Some(after)) => before != after,
        _ => true,
    }
}

type Object = serde_json::Map<String, serde_json::Value>;

/// What may run of a manifest. Of packages, these are those that come from elsewhere than the registry: as an address,
/// a repository or a folder.
fn manifest(bytes: Option<&[u8]>) -> Option<Object> {
    let Some(bytes) = bytes else { return Some(Object::new()) };
    let mut manifest: Object = serde_json::from_slice(bytes).ok()?;
    manifest.retain(|key, _| !INERT.contains(&key.as_str()));
    for key in PACKAGES {
        if let Some(packages) = manifest.get_mut(key).and_then(|packages| packages.as_object_mut()) {
            packages.retain(|_, version| version.as_str().is_none_or(|version| version.contains([':', '/'])));
            if packages.is_empty() {
                manifest.remove(key);
            }
        }
    }
    Some(manifest)
}

/// The hosts that a file has newly named; nothing if there are none.
fn new_hosts(sides: Sides<'_>) -> Option<Vec<String>> {
    let before = hosts(sides.before.unwrap_or_default());
    let mut new: Vec<String> =
        hosts(sides.after.unwrap_or_default()).into_iter().filter(|host| !before.contains(host)).collect();
    new.truncate(10);
    (!new.is_empty()).then_some(new)
}

/// The authorities of URLs, and of Go modules, which have no scheme.
fn hosts(bytes: &[u8]) -> std::collections::BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let is_end = |letter: char| letter.is_whitespace() || "/\"'`<>()[]{},;?#".contains(letter);
    let urls = text.split("://").skip(1).map(|rest| rest.split(is_end).next().unwrap_or_default());
    let ssh = text.split("git@").skip(1).map(|rest| rest.split([':', '/']).next().unwrap_or_default());
    let modules = text.lines().filter(|line| line.contains(" v")).filter_map(|line| {
        let host = line.trim().trim_start_matches("require ").split('/').next()?;
        (host.contains('.') && !host.contains(char::is_whitespace)).then_some(host)
    });
    let host = |authority: &str| authority.rsplit('@').next().unwrap_or_default().to_lowercase();
    urls.chain(ssh).chain(modules).map(host).filter(|host| !host.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(path: &str, sides: Sides<'_>) -> Option<Class> {
        Quarantine::new(None).unwrap().of(path.as_bytes(), sides).map(|held| held.class)
    }

    #[test]
    fn each_kind_of_the_list_is_held_back() {
        let first = [
            ".envrc",
            ".vscode/tasks.json",
            ".idea/workspace.xml",
            ".claude/settings.json",
            ".mcp.json",
            "sub/CLAUDE.md",
            ".devcontainer/devcontainer.json",
            ".github/workflows/ci.yml",
            ".gitlab-ci.yml",
            ".pre-commit-config.yaml",
            ".husky/pre-commit",
            ".gitattributes",
            "a/.gitattributes",
            ".lfsconfig",
            ".gitmodules",
            ".VSCODE/x",
            ".github/dependabot.yml",
            "a/.Cursor/rules/x.mdc",
            ".cursorrules",
            "AGENTS.md",
            "web/.idea/runConfigurations/x.xml",
            ".env",
            "mise.local.toml",
            ".mise/config.toml",
            ".tool-versions",
            "rust-analyzer.toml",
            "tools/hooks/commit-msg",
            "lefthook-local.yml",
            "fixtures/repo/HEAD",
            "sub/.hg/hgrc",
            ".rave.toml",
            "menu.desktop",
        ];
        for path in first {
            assert_eq!(held(path, Sides::default()), Some(Class::RunsByItself), "{path}");
        }
        for path in [
            "build.rs",
            "a/.npmrc",
            ".yarnrc.yml",
            ".cargo/config.toml",
            "setup.py",
            "tests/conftest.py",
            "Makefile",
            "GNUmakefile",
            "makefile",
            "sub/.cargo/config",
            "Cargo.toml",
            "rust-toolchain",
            "pyproject.toml",
            "sitecustomize.py",
            ".justfile",
            "nix/module.nix",
            "Dockerfile.dev",
            "docker-compose.override.yml",
            "jest.config.mts",
            "gradlew",
            "main.tf",
            ".nvmrc",
        ] {
            assert_eq!(held(path, Sides::default()), Some(Class::RunsOnBuild), "{path}");
        }
        for path in [
            "src/main.rs",
            "README.md",
            "build.rs.md",
            "docs/Makefile.txt",
            "src/Head/index.tsx",
            "src/hooks/post-item.ts",
            "environment.ts",
        ] {
            assert_eq!(held(path, Sides::default()), None, "{path}");
        }
    }

    #[test]
    fn new_executables_and_binaries_are_held_back() {
        let text = Sides { before: Some(b"a"), after: Some(b"b"), ..Sides::default() };
        assert_eq!(held("tool", text), None);
        assert_eq!(held("tool", Sides { is_executable: true, ..text }), Some(Class::RunsOnBuild));
        assert_eq!(held("tool", Sides { is_executable: true, was_executable: true, ..text }), None);
        assert_eq!(held("x.png", Sides { after: Some(b"\x89\0"), ..text }), Some(Class::RunsOnBuild));
    }

    #[test]
    fn only_scripts_and_hosts_in_their_files_are_held_back() {
        let package = |before: &'static str, after: &'static str| {
            let sides =
                Sides { before: Some(before.as_bytes()), after: Some(after.as_bytes()), ..Sides::default() };
            held("package.json", sides)
        };
        assert_eq!(
            package(r#"{"version":"1","scripts":{"a":"b"}}"#, r#"{"version":"2","scripts":{"a":"b"}}"#),
            None
        );
        assert_eq!(
            package(r#"{"version":"1"}"#, r#"{"scripts":{"postinstall":"x"}}"#),
            Some(Class::RunsOnBuild)
        );
        assert_eq!(package("{}", "{"), Some(Class::RunsOnBuild));
        for harmless in [
            r#"{"dependencies":{"a":"^1.2.3"}}"#,
            r#"{"author":"x","repository":{"url":"https://good.example"}}"#,
        ] {
            assert_eq!(
                package(r#"{"repository":{"url":"https://good.example"}}"#, harmless),
                None,
                "{harmless}"
            );
        }
        for runs in [
            r#"{"dependencies":{"a":"git+ssh://good.example/x"}}"#,
            r#"{"dependencies":{"a":"someone/else"}}"#,
            r#"{"devDependencies":{"a":"file:./x"}}"#,
            r#"{"husky":{"hooks":{"pre-commit":"x"}}}"#,
            r#"{"jest":{"globalSetup":"./x.js"}}"#,
            r#"{"main":"x.js"}"#,
        ] {
            assert_eq!(package("{}", runs), Some(Class::RunsOnBuild), "{runs}");
        }
        let lock = |after: &'static str| {
            let before = "resolved = \"https://good.example/a\"\n";
            let sides =
                Sides { before: Some(before.as_bytes()), after: Some(after.as_bytes()), ..Sides::default() };
            Quarantine::new(None).unwrap().of(b"yarn.lock", sides)
        };
        assert_eq!(lock("resolved = \"https://good.example/b\"\n"), None);
        let why = lock("\"https://user@evil.example:8/b\" git@other.example:x").unwrap().why;
        assert_eq!(why, "a lock file that names new hosts: evil.example:8, other.example");
        let cut = Sides { before: Some(b""), after: Some(b""), is_cut: true, ..Sides::default() };
        let why = Quarantine::new(None).unwrap().of(b"yarn.lock", cut).unwrap().why;
        assert_eq!(why, "a lock file that names new hosts, or is too long to be searched");
    }

    #[test]
    fn files_that_make_a_folder_a_repository_are_held_back() {
        for (path, after, is_held) in [
            ("a/HEAD", "", true),
            ("a/head", "ref: refs/heads/main\n", true),
            ("a/Head", "0123456789012345678901234567890123456789\n", true),
            ("a/head", "the head of a list\n", false),
            ("a/HEAD.md", "ref: x", false),
        ] {
            let sides = Sides { after: Some(after.as_bytes()), ..Sides::default() };
            assert_eq!(held(path, sides) == Some(Class::RunsByItself), is_held, "{path}: {after}");
        }
    }

    #[test]
    fn a_users_list_is_parsed_and_its_errors_named() {
        let own = Quarantine::new(Some(("own", "1 secret-plan ours"))).unwrap();
        assert_eq!(own.of(b"secret-plan", Sides::default()).unwrap().why, "ours");
        for (text, why) in
            [("3 x y", "expected class"), ("1", "a pattern is missing"), ("1 @fly x", "unknown check")]
        {
            assert!(Quarantine::new(Some(("own", text))).unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
