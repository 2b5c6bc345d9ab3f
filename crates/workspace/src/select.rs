//! Selects the files of a host's folder that are copied into a sandbox.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use rave_guest::tree::beneath::{Found, Kind, PARTIAL, Root};
use rave_guest::tree::pack::sure;
use rave_guest::tree::path::{above, fault, join};

use crate::byte_path::BytePath;
use crate::entry::Stamp;
use crate::error::Error;
use crate::git;
use crate::ignored;
use crate::pattern::Pattern;
use crate::secrets::Secrets;

/// What is at a path of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A folder with its mode.
    Folder(u32),
    /// A file with its mode and stamp.
    File(u32, Stamp),
    /// A symbolic link with its target.
    Link(Vec<u8>),
}

/// The result of a selection.
#[derive(Debug, Default)]
pub struct Selection {
    /// Entries to copy.
    pub entries: BTreeMap<BytePath, Seen>,
    /// Paths that look like secrets and were not named; a folder stands for its content.
    pub withheld: BTreeMap<BytePath, String>,
    /// Paths that cannot be copied, and why.
    pub left: Vec<(BytePath, String)>,
    /// Whether the folder is in a git repository.
    pub is_git: bool,
    /// git's rules from outside of the tree.
    pub excludes: String,
    /// Names that matched nothing.
    pub unused: Vec<String>,
}

/// The options of a selection.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Paths or patterns to copy even if they are ignored or look like secrets.
    pub include: &'a [String],
    /// The rules for secrets.
    pub secrets: &'a Secrets,
}

/// Selects files from a folder.
pub fn select(folder: &Utf8Path, choice: Choice<'_>) -> Result<Selection, Error> {
    let root = Root::open(folder.as_std_path())
        .map_err(|error| Error::BadSource { path: folder.to_owned(), why: error.to_string() })?;
    let ignored = of_repository(folder)?;
    let is_git = ignored.is_some();
    let excludes = if is_git { ignored::excludes(folder) } else { String::new() };
    let selection = Selection { is_git, excludes, ..Selection::default() };
    let mut walk = Walk {
        root: &root,
        folder,
        include: choice.include.iter().map(|text| (Pattern::new(text), false)).collect(),
        secrets: choice.secrets,
        ignored: ignored.unwrap_or_default(),
        selection,
    };
    walk.folder(b"")?;
    let unused = walk.include.iter().zip(choice.include).filter(|((_, used), _)| !used);
    walk.selection.unused = unused.map(|(_, text)| text.clone()).collect();
    Ok(walk.selection)
}

/// The paths that git ignores in a folder; nothing if the folder is not in a repository, or its repository ignores it.
fn of_repository(folder: &Utf8Path) -> Result<Option<BTreeSet<Vec<u8>>>, Error> {
    if !folder.ancestors().any(|folder| folder.join(".git").exists()) {
        return Ok(None);
    }
    let output = git::of_user(folder).args(["rev-parse", "--is-inside-work-tree"]).output()?;
    if output.text() != "true" {
        return Ok(None);
    }
    let ignored = ignored::in_folder(folder)?;
    Ok((!ignored.contains(b".".as_slice())).then_some(ignored))
}

struct Walk<'a> {
    root: &'a Root,
    folder: &'a Utf8Path,
    /// Patterns, and whether each has matched.
    include: Vec<(Pattern, bool)>,
    secrets: &'a Secrets,
    ignored: BTreeSet<Vec<u8>>,
    selection: Selection,
}

impl Walk<'_> {
    fn folder(&mut self, start: &[u8]) -> Result<(), Error> {
        let mut open = vec![start.to_vec()];
        while let Some(path) = open.pop() {
            let names = match self.root.names(&path) {
                Ok(names) => names,
                Err(error) if path.is_empty() => return Err(Error::io("list", self.folder)(error)),
                Err(error) => {
                    self.leave(&path, error);
                    continue;
                }
            };
            if !path.is_empty() && names.iter().any(|name| name == b".git") {
                self.nested(&path)?;
            }
            for name in names.iter().filter(|name| *name != b".git" && !name.ends_with(PARTIAL)) {
                let path = join(&path, name);
                if self.entry(&path) {
                    open.push(path);
                }
            }
        }
        Ok(())
    }

    /// Adds the rules of a submodule or a nested repository, which has its own.
    fn nested(&mut self, path: &[u8]) -> Result<(), Error> {
        let Ok(name) = std::str::from_utf8(path) else { return Ok(()) };
        let folder = self.folder.join(name);
        if git::of_user(&folder).args(["rev-parse", "--git-dir"]).output().is_ok() {
            self.ignored.extend(ignored::in_folder(&folder)?.iter().map(|inside| join(path, inside)));
        }
        Ok(())
    }

    /// Visits one path. Returns whether it is a folder to enter.
    fn entry(&mut self, path: &[u8]) -> bool {
        if let Some(fault) = fault(path) {
            self.leave(path, fault);
            return false;
        }
        let found = match self.root.find(path) {
            Ok(Some(found)) => found,
            Ok(None) => return false,
            Err(error) => {
                self.leave(path, error);
                return false;
            }
        };
        let is_folder = found.kind == Kind::Folder;
        let is_ignored = self.is_ignored(path);
        let secret = self.secrets.of_path(path).map(str::to_owned);
        if (is_ignored || secret.is_some()) && !self.is_named(path) {
            // A pattern may name something in it.
            let enters = is_folder && self.may_be_named_inside(path);
            if let Some(why) = secret.filter(|_| !enters) {
                self.selection.withheld.insert(BytePath(path.to_vec()), why);
            }
            return enters;
        }
        self.take(path, &found);
        is_folder
    }

    fn take(&mut self, path: &[u8], found: &Found) {
        let seen = match found.kind {
            Kind::Folder => Seen::Folder(found.mode & 0o777),
            Kind::File => Seen::File(found.mode & 0o777, Stamp::new(sure(found.stamp), found.mode)),
            Kind::Link => match self.root.read_link(path) {
                Ok(target) => Seen::Link(target),
                Err(error) => return self.leave(path, error),
            },
            Kind::Other => return self.leave(path, "it is a pipe, a socket or a device"),
        };
        // A named path may be in a folder that is not copied otherwise.
        for folder in above(path) {
            self.selection.entries.entry(BytePath(folder.to_vec())).or_insert(Seen::Folder(0o755));
        }
        self.selection.entries.insert(BytePath(path.to_vec()), seen);
    }

    fn is_ignored(&self, path: &[u8]) -> bool {
        self.ignored.contains(path) || above(path).any(|folder| self.ignored.contains(folder))
    }

    fn is_named(&mut self, path: &[u8]) -> bool {
        let named = self.include.iter_mut().find(|(pattern, _)| pattern.matches(path));
        named.is_some_and(|(_, is_used)| {
            *is_used = true;
            true
        })
    }

    /// Only matches names from the root on, which is what users mostly type.
    fn may_be_named_inside(&self, folder: &[u8]) -> bool {
        self.include.iter().any(|(pattern, _)| pattern.may_match_below(folder))
    }

    fn leave(&mut self, path: &[u8], why: impl std::fmt::Display) {
        self.selection.left.push((BytePath(path.to_vec()), why.to_string()));
    }
}
