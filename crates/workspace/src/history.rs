//! Copies a repository's history into a guest: a pack of all objects reachable from `HEAD`. The repository is only
//! read.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Seek as _};
use std::os::fd::OwnedFd;
use std::thread;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde::Serialize;

use crate::byte_path::BytePath;
use crate::error::Error;
use crate::git;
use crate::guest::Guest;
use crate::pattern::Pattern;
use crate::secrets::{HEAD, Secrets};

/// The longest header line of an object that git prints: name, type, size.
const LINE: u64 = 4096;

/// The history that was copied.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// The commit of `HEAD`.
    pub commit: String,
    /// The number of distinct file contents.
    pub blobs: usize,
    /// Contents that look like secrets: their path in the history, their object name, and the reason.
    pub secrets: Vec<(BytePath, String, String)>,
}

/// The current history of a folder.
pub(crate) struct Found {
    folder: Utf8PathBuf,
    commit: String,
    /// Nothing if `HEAD` is detached.
    branch: Option<String>,
    /// Commits whose parents are missing in the repository.
    shallow: Vec<u8>,
}

/// Finds the history of a folder that is the whole working tree of a repository; nothing if it has no commit.
pub(crate) fn find(folder: &Utf8Path) -> Result<Option<Found>, Error> {
    let ask = |arguments: &[&str]| git::isolated(folder).args(arguments.iter().copied()).output();
    if !ask(&["rev-parse", "--show-prefix"])?.text().is_empty() {
        return Err(Error::PartOfRepository { folder: folder.to_owned() });
    }
    let Ok(commit) = ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]) else { return Ok(None) };
    let branch = ask(&["symbolic-ref", "--quiet", "HEAD"]).ok().map(|branch| branch.text());
    let shallow = folder.join(ask(&["rev-parse", "--git-path", "shallow"])?.text());
    let shallow = match fs::read(&shallow) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("read", &shallow)(error));
        }
        read => read.unwrap_or_default(),
    };
    Ok(Some(Found { folder: folder.to_owned(), commit: commit.text(), branch, shallow }))
}

impl Found {
    /// Finds contents that look like secrets, except those that `include` names.
    pub(crate) fn find_secrets(&self, secrets: &Secrets, include: &[String]) -> Result<History, Error> {
        let include: Vec<Pattern> = include.iter().map(|text| Pattern::new(text)).collect();
        let names = self.blobs()?;
        let mut found = Vec::new();
        let objects: String = names.keys().flat_map(|object| [object, "\n"]).collect();
        let batch = git::isolated(&self.folder).args(["cat-file", "--batch", "--buffer"]);
        let mut is_secret = |object: &str, head: &[u8]| {
            let Some(path) = names.get(object) else { return };
            if include.iter().any(|pattern| pattern.matches(path.bytes())) {
                return;
            }
            let why = secrets.of_path(path.bytes()).or_else(|| secrets.of_content(head));
            found.extend(why.map(|why| (path.clone(), object.to_owned(), why.to_owned())));
        };
        print(&batch.stdin_bytes(objects.into_bytes()), |from| each_object(from, &mut is_secret))?;
        found.sort();
        Ok(History { commit: self.commit.clone(), blobs: names.len(), secrets: found })
    }

    /// The contents of files, with one of the paths of each.
    fn blobs(&self) -> Result<BTreeMap<String, BytePath>, Error> {
        let list = tempfile::tempfile().map_err(Error::io("make", "a temporary file"))?;
        let failed = || Error::io("read", "a temporary file");
        let mut names = list.try_clone().map_err(failed())?;
        let objects = ["rev-list", "--objects", &self.commit];
        git::isolated(&self.folder).args(objects).stdout_file(list).run(&mut |_| {})?;
        names.rewind().map_err(failed())?;
        let check = ["cat-file", "--batch-check=%(objecttype) %(objectname) %(rest)", "--buffer"];
        let check = git::isolated(&self.folder).args(check).stdin_file(names);
        let mut blobs = BTreeMap::new();
        print(&check, |from| {
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line)? > 0 {
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                if let Some(rest) = text.strip_prefix(b"blob ")
                    && let Some(space) = rest.iter().position(|byte| *byte == b' ')
                {
                    let object = String::from_utf8_lossy(&rest[..space]).into_owned();
                    blobs.insert(object, BytePath(rest[space + 1..].to_vec()));
                }
                line.clear();
            }
            Ok(())
        })?;
        Ok(blobs)
    }

    /// Sends the history. The copy in the guest becomes a repository with the host's `HEAD`, where uncommitted changes
    /// are changes too.
    pub(crate) fn send(&self, guest: &dyn Guest, copy: &str) -> Result<(), Error> {
        let begin = "cd \"$1\" && git init --quiet && cat > .git/rave-shallow && \
                     if test -s .git/rave-shallow; then mv .git/rave-shallow .git/shallow; else rm .git/rave-shallow; fi";
        run(guest, begin, &[copy], Box::new(io::Cursor::new(self.shallow.clone())))?;
        let pack = ["pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"];
        let pack = git::isolated(&self.folder).args(pack);
        let pack = pack.stdin_bytes(format!("{}\n", self.commit).into_bytes());
        print(&pack, |from| {
            // Pass on the pipe itself: nothing was read from it yet.
            let from = from.get_ref().try_clone()?;
            run(guest, "cd \"$1\" && git index-pack --stdin >&2", &[copy], Box::new(from))
                .map_err(io::Error::other)
        })
        .map_err(|error| match error {
            Error::Io { source, .. } => Error::Guest { why: source.to_string() },
            other => other,
        })?;
        let branch = self.branch.as_deref().unwrap_or_default();
        // The index is that of the commit; the files stay as pushed.
        let end = "cd \"$1\" && rm -f .git/index.lock .git/HEAD.lock && \
                   if test -n \"$3\"; then git update-ref \"$3\" \"$2\" && git symbolic-ref HEAD \"$3\"; \
                   else git update-ref --no-deref HEAD \"$2\"; fi && git reset --quiet --mixed >&2 && sync --file-system .";
        run(guest, end, &[copy, &self.commit, branch], Box::new(io::empty()))
    }
}

fn run(
    guest: &dyn Guest,
    script: &str,
    arguments: &[&str],
    input: Box<dyn Read + Send>,
) -> Result<(), Error> {
    let parts = ["sh", "-c", script, "rave"].into_iter().chain(arguments.iter().copied());
    let command: Vec<String> = parts.map(str::to_owned).collect();
    guest.run(&command, Some(input), &mut io::sink()).map_err(|why| Error::Guest { why })
}

/// Runs a program, with `take` reading its output.
fn print<T>(
    command: &Cmd,
    take: impl FnOnce(&mut BufReader<io::PipeReader>) -> io::Result<T>,
) -> Result<T, Error> {
    let (from, to) = io::pipe().map_err(Error::io("make", "a pipe"))?;
    thread::scope(|scope| {
        let command = command.clone().stdout_file(File::from(OwnedFd::from(to)));
        let run = scope.spawn(move || {
            let ran = command.run(&mut |_| {}).map(drop);
            // Close its end of the pipe, so that the reader sees the end.
            drop(command);
            ran
        });
        let mut from = BufReader::new(from);
        let taken = take(&mut from);
        // A program whose reader is closed ends.
        drop(from);
        let ran = run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match taken {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                ran?;
                Err(Error::io("read", "what git prints")(error))
            }
            Err(error) => Err(Error::io("read", "what git prints")(error)),
            Ok(taken) => ran.map(|()| taken).map_err(Error::Git),
        }
    })
}

/// Parses `git cat-file --batch`: OBJECT SP TYPE SP SIZE LF CONTENT LF. `look` gets the first bytes of each content.
fn each_object(from: &mut BufReader<io::PipeReader>, visit: &mut dyn FnMut(&str, &[u8])) -> io::Result<()> {
    let mut line = String::new();
    let mut head = Vec::new();
    while from.by_ref().take(LINE).read_line(&mut line)? > 0 {
        let mut fields = line.split_ascii_whitespace();
        let object = fields.next().unwrap_or_default();
        let size: Option<u64> = fields.nth(1).and_then(|size| size.parse().ok());
        let size = size.ok_or(io::ErrorKind::InvalidData)?;
        head.clear();
        let length = size.min(HEAD as u64);
        if from.by_ref().take(length).read_to_end(&mut head)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        visit(object, &head);
        // The rest, and the line feed.
        io::copy(&mut from.by_ref().take(size - length + 1), &mut io::sink())?;
        line.clear();
    }
    Ok(())
}
