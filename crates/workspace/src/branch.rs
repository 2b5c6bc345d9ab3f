//! Puts changes in a commit on a new branch of the user's repository, with git's plumbing commands: without hooks,
//! filters or a checkout, and with a separate index.

use std::collections::BTreeMap;
use std::fs;

use camino::Utf8Path;
use rave_process::Cmd;

use crate::apply::{Outcome, Wanted};
use crate::blobs::Blobs;
use crate::byte_path::BytePath;
use crate::changes::{Change, MAX_TEXT};
use crate::entry::Entry;
use crate::error::Error;
use crate::git;
use crate::merge::merge;
use crate::quarantine::is_binary;
use crate::record::{Place, Record};

/// The result of creating a branch.
#[derive(Debug, Clone)]
pub struct Branched {
    /// The commit's hash.
    pub commit: String,
    /// The result for each path.
    pub outcomes: BTreeMap<BytePath, Outcome>,
}

/// Creates a branch with one commit on top of `HEAD`. The working tree, the index and the merge base stay unchanged.
pub fn branch(
    place: &Place,
    record: &mut Record,
    wanted: &BTreeMap<BytePath, (Change, Wanted)>,
    name: &str,
    message: &str,
) -> Result<Branched, Error> {
    let repository = Repository::open(&record.source, name)?;
    let blobs = place.blobs();
    let mut outcomes = BTreeMap::new();
    let mut lines = Vec::new();
    let mut taken = Vec::new();
    for (path, (change, wanted)) in wanted {
        let outcome = repository.stage(change, wanted, &blobs, &mut lines)?;
        if !matches!(outcome, Outcome::Refused(_)) && *wanted == Wanted::Whole {
            taken.push((path.clone(), change.after.clone()));
        }
        outcomes.insert(path.clone(), outcome);
    }
    let commit = repository.commit(name, lines, message)?;
    record.taken.extend(taken);
    record.save(place)?;
    Ok(Branched { commit, outcomes })
}

struct Repository {
    folder: camino::Utf8PathBuf,
    _guard: tempfile::TempDir,
    index: camino::Utf8PathBuf,
    /// The folder's path in the working tree; empty, or with a slash at its end.
    prefix: Vec<u8>,
    head: String,
    /// Mode and object of each path in `HEAD`.
    entries: BTreeMap<Vec<u8>, (String, String)>,
}

impl Repository {
    fn open(folder: &Utf8Path, name: &str) -> Result<Self, Error> {
        let guard = tempfile::tempdir().map_err(Error::io("make", "a temporary folder"))?;
        let index = guard.path().join("index").to_string_lossy().into_owned().into();
        let git = || git::isolated(folder);
        let reference = format!("refs/heads/{name}");
        if git().args(["check-ref-format", &reference]).output().is_err() {
            return Err(Error::NotFound { what: format!("{name:?} is not a name for a branch") });
        }
        if git().args(["show-ref", "--verify", "--quiet", &reference]).output().is_ok() {
            return Err(Error::BranchExists { name: name.to_owned() });
        }
        let prefix = git().args(["rev-parse", "--show-prefix"]).output()?.stdout;
        let prefix = prefix.strip_suffix(b"\n").unwrap_or(&prefix).to_vec();
        let head = git().args(["rev-parse", "--verify", "HEAD^{commit}"]).output()?.text();
        let mut repository =
            Self { folder: folder.to_owned(), _guard: guard, index, prefix, head, entries: BTreeMap::new() };
        repository.git().args(["read-tree", "HEAD"]).output()?;
        repository.entries = repository.list()?;
        Ok(repository)
    }

    fn git(&self) -> Cmd {
        git::isolated(&self.folder).env("GIT_INDEX_FILE", self.index.as_str())
    }

    /// `git ls-tree -r`: MODE SP TYPE SP OBJECT TAB PATH NUL.
    fn list(&self) -> Result<BTreeMap<Vec<u8>, (String, String)>, Error> {
        let path = self.index.with_file_name("list");
        let file = fs::File::create(&path).map_err(Error::io("write", &path))?;
        self.git().args(["ls-tree", "-r", "-z", "--full-tree", "HEAD"]).stdout_file(file).run(&mut |_| {})?;
        let list = fs::read(&path).map_err(Error::io("read", &path))?;
        let entry = |line: &[u8]| {
            let tab = line.iter().position(|byte| *byte == b'\t')?;
            let head = String::from_utf8_lossy(&line[..tab]).into_owned();
            let mut fields = head.split(' ');
            let (mode, object) = (fields.next()?.to_owned(), fields.nth(1)?.to_owned());
            Some((line[tab + 1..].to_vec(), (mode, object)))
        };
        Ok(list.split(|byte| *byte == 0).filter_map(entry).collect())
    }

    /// Adds the line for one path to the input of `git update-index --index-info`.
    fn stage(
        &self,
        change: &Change,
        wanted: &Wanted,
        blobs: &Blobs,
        lines: &mut Vec<u8>,
    ) -> Result<Outcome, Error> {
        let path = [&self.prefix, change.path.bytes()].concat();
        if let Some(why) = &change.refused {
            return Ok(Outcome::Refused(why.clone()));
        }
        if rave_guest::tree::path::above(&path)
            .any(|folder| self.entries.get(folder).is_some_and(|(mode, _)| mode == "160000"))
        {
            return Ok(Outcome::Refused("it is in a submodule".into()));
        }
        let failed = || Error::io("read", &change.path);
        let (mode, text) = match (wanted, &change.after) {
            (Wanted::Text(text), _) => {
                let executable = change.before.as_ref().is_some_and(Entry::is_executable);
                (if executable { "100755" } else { "100644" }, text.clone())
            }
            (Wanted::Whole, None) => {
                line(lines, "0", &"0".repeat(40), &path);
                return Ok(Outcome::Applied);
            }
            (Wanted::Whole, Some(Entry::Folder)) => {
                return Ok(Outcome::Refused("git does not store empty folders".into()));
            }
            (Wanted::Whole, Some(Entry::Link { target })) => ("120000", target.0.clone()),
            (Wanted::Whole, Some(Entry::File { executable, content })) => {
                let text = blobs.read(content, u64::MAX).map_err(failed())?;
                (if *executable { "100755" } else { "100644" }, text)
            }
        };
        let (text, outcome) = match self.merged(change, &path, text, blobs)? {
            Ok(merged) => merged,
            Err(why) => return Ok(Outcome::Refused(why)),
        };
        let object = self.git().args(["hash-object", "-w", "--stdin", "--no-filters"]).stdin_bytes(text);
        line(lines, mode, &object.output()?.text(), &path);
        Ok(outcome)
    }

    /// Merges the text with that in `HEAD`, which may be older than what was pushed.
    fn merged(
        &self,
        change: &Change,
        path: &[u8],
        theirs: Vec<u8>,
        blobs: &Blobs,
    ) -> Result<Result<(Vec<u8>, Outcome), String>, Error> {
        let (Some((mode, object)), Some(Entry::File { content, .. })) =
            (self.entries.get(path), &change.before)
        else {
            return Ok(Ok((theirs, Outcome::Applied)));
        };
        if mode == "120000" || content.size > MAX_TEXT || theirs.len() as u64 > MAX_TEXT {
            return Ok(Ok((theirs, Outcome::Applied)));
        }
        let base = blobs.read(content, MAX_TEXT).map_err(Error::io("read", &change.path))?;
        let ours = self.git().args(["cat-file", "blob", object]).output()?.stdout;
        if ours == base || [&ours, &base, &theirs].iter().any(|side| is_binary(side)) {
            return Ok(Ok((theirs, Outcome::Applied)));
        }
        let merged = merge(&ours, &base, &theirs)?;
        Ok(if merged.has_conflicts {
            Err("it depends on changes that are not committed".to_owned())
        } else {
            Ok((merged.text, Outcome::Merged))
        })
    }

    fn commit(&self, name: &str, lines: Vec<u8>, message: &str) -> Result<String, Error> {
        self.git().args(["update-index", "-z", "--index-info"]).stdin_bytes(lines).output()?;
        let tree = self.git().arg("write-tree").output()?.text();
        let own = |key: &str| {
            git::of_user(&self.folder).args(["config", key]).output().ok().map(|output| output.text())
        };
        let author = own("user.name").filter(|name| !name.is_empty()).unwrap_or_else(|| "rave".to_owned());
        let address = own("user.email")
            .filter(|address| !address.is_empty())
            .unwrap_or_else(|| "rave@localhost".to_owned());
        let git = ["AUTHOR", "COMMITTER"].iter().fold(self.git(), |git, who| {
            git.env(format!("GIT_{who}_NAME"), &author).env(format!("GIT_{who}_EMAIL"), &address)
        });
        let commit =
            git.args(["commit-tree", &tree, "-p", &self.head]).stdin_bytes(message.as_bytes().to_vec());
        let commit = commit.output()?.text();
        // Only if it does not exist: somebody may have created it meanwhile.
        let nothing = "0".repeat(commit.len());
        self.git().args(["update-ref", &format!("refs/heads/{name}"), &commit, &nothing]).output()?;
        Ok(commit)
    }
}

fn line(lines: &mut Vec<u8>, mode: &str, object: &str, path: &[u8]) {
    lines.extend_from_slice(format!("{mode} {object}\t").as_bytes());
    lines.extend_from_slice(path);
    lines.push(0);
}
