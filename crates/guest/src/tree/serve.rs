//! `rave-guest tree`: the guest's end, with streams on standard input and output.

use std::ffi::OsStr;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::beneath::Root;
use super::pack::{Contents, pack, send};
use super::path::{join, split};
use super::unpack::{Options, path_of, unpack};
use super::wire::{Limits, Reader, Record, Writer};

/// The subcommand of `rave-guest`.
pub const SUBCOMMAND: &str = "tree";

/// The size of the streams' buffers, in bytes.
const BUFFER: usize = 256 * 1024;

/// A task. Paths are relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Write the stream below a folder, then list it.
    Put(PathBuf),
    /// List a folder, without contents and without git's folders.
    List(PathBuf),
    /// Send the requested files.
    Get(PathBuf),
    /// Send a file or a folder under its name.
    CopyOut(PathBuf),
    /// Write one file or folder into an existing folder, or under a new name.
    CopyIn(PathBuf),
}

impl Task {
    /// The arguments after [`SUBCOMMAND`].
    pub fn to_arguments(&self) -> [String; 2] {
        let (command, path) = match self {
            Self::Put(path) => ("put", path),
            Self::List(path) => ("list", path),
            Self::Get(path) => ("get", path),
            Self::CopyOut(path) => ("copy-out", path),
            Self::CopyIn(path) => ("copy-in", path),
        };
        [command.to_owned(), path.to_string_lossy().into_owned()]
    }

    /// Parses [`Task::to_arguments`].
    pub fn of_arguments(arguments: &[&str]) -> Option<Self> {
        let [command, path] = arguments else { return None };
        let path = PathBuf::from(path);
        Some(match *command {
            "put" => Self::Put(path),
            "list" => Self::List(path),
            "get" => Self::Get(path),
            "copy-out" => Self::CopyOut(path),
            "copy-in" => Self::CopyIn(path),
            _ => return None,
        })
    }

    /// Runs the task.
    pub fn run(&self, input: impl Read, output: impl Write) -> io::Result<()> {
        let input = BufReader::with_capacity(BUFFER, input);
        let output = BufWriter::with_capacity(BUFFER, output);
        match self {
            Self::Put(folder) => put(folder, input, output),
            Self::List(folder) => list(&Root::open(folder)?, output),
            Self::Get(folder) => get(folder, input, output),
            Self::CopyOut(path) => copy_out(path, output),
            Self::CopyIn(path) => copy_in(path, input, output),
        }
    }
}

fn put(folder: &Path, input: impl Read, output: impl Write) -> io::Result<()> {
    let root = Root::make(folder)?;
    let mut reader = Reader::new(input, Limits::NONE)?;
    let options = Options { mode: 0o777, replaces_kinds: true };
    let done = unpack(&root, &mut reader, options, &|record| Ok(path_of(record).to_vec()))?;
    // The host records what it sent as the guest's: a crash must not undo it, or files would seem to be deleted.
    root.sync()?;
    let mut writer = Writer::new(output)?;
    for (path, why) in done.left {
        writer.record(&Record::Failed { path, why })?;
    }
    pack(&root, b"", Contents::Stat, &is_of_git, &mut writer)?;
    writer.finish()
}

fn list(root: &Root, output: impl Write) -> io::Result<()> {
    let mut writer = Writer::new(output)?;
    pack(root, b"", Contents::Stat, &is_of_git, &mut writer)?;
    writer.finish()
}

fn is_of_git(path: &[u8]) -> bool {
    split(path).1 == b".git"
}

fn get(folder: &Path, input: impl Read, output: impl Write) -> io::Result<()> {
    let mut reader = Reader::new(input, Limits::NONE)?;
    let mut asked = Vec::new();
    // Read to the end first: the other side writes before it reads.
    while let Some(record) = reader.next()? {
        if let Record::Other { path } = record {
            asked.push(path);
        }
    }
    let root = Root::open(folder)?;
    let mut writer = Writer::new(output)?;
    for path in asked {
        send(&root, &path, &mut writer)?;
    }
    writer.finish()
}

fn copy_out(path: &Path, output: impl Write) -> io::Result<()> {
    let whole = std::fs::canonicalize(
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )?;
    // A path without a name (`.`, `..`, `a/..`) gets the name of its folder.
    let (folder, name) = if let Some(name) = path.file_name() {
        (whole, name.to_owned())
    } else {
        let whole = std::fs::canonicalize(path)?;
        let name = whole.file_name().unwrap_or(OsStr::new("root")).to_owned();
        (whole.parent().unwrap_or(Path::new("/")).to_owned(), name)
    };
    let root = Root::open(&folder)?;
    if root.find(name.as_bytes())?.is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut writer = Writer::new(output)?;
    pack(&root, name.as_bytes(), Contents::Send, &|_| false, &mut writer)?;
    writer.finish()
}

fn copy_in(path: &Path, input: impl Read, output: impl Write) -> io::Result<()> {
    let mut reader = Reader::new(input, Limits::NONE)?;
    let (folder, name) = destination(path)?;
    let root = Root::open(&folder)?;
    let options = Options { mode: 0o777, replaces_kinds: false };
    let place = |record: &Record| Ok(renamed(path_of(record), name.as_deref()));
    let done = unpack(&root, &mut reader, options, &place)?;
    let mut writer = Writer::new(output)?;
    for (path, why) in done.left {
        writer.record(&Record::Failed { path, why })?;
    }
    writer.finish()
}

/// The destination of a copy, as in cp(1): an existing folder, or a new name in one.
pub fn destination(path: &Path) -> io::Result<(PathBuf, Option<Vec<u8>>)> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok((if path.as_os_str().is_empty() { Path::new(".") } else { path }.to_owned(), None));
    }
    let name = path.file_name().ok_or(io::ErrorKind::NotFound)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.as_os_str().as_bytes().ends_with(b"/") || !folder.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no folder {}", folder.display()),
        ));
    }
    Ok((folder.to_owned(), Some(name.as_bytes().to_vec())))
}

/// A path with its first name replaced.
pub fn renamed(path: &[u8], name: Option<&[u8]>) -> Vec<u8> {
    let Some(name) = name else { return path.to_vec() };
    match path.iter().position(|byte| *byte == b'/') {
        Some(at) => join(name, &path[at + 1..]),
        None => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_round_trip() {
        for task in [
            Task::Put("a b".into()),
            Task::List("/x".into()),
            Task::Get("x".into()),
            Task::CopyOut(".".into()),
        ] {
            let arguments = task.to_arguments();
            assert_eq!(Task::of_arguments(&[arguments[0].as_str(), arguments[1].as_str()]), Some(task));
        }
        assert_eq!(Task::of_arguments(&["fly", "a"]), None);
    }

    #[test]
    fn a_copy_has_the_same_destination_as_cp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(destination(path).unwrap(), (path.to_owned(), None));
        assert_eq!(destination(&path.join("new")).unwrap(), (path.to_owned(), Some(b"new".to_vec())));
        assert!(destination(&path.join("none/new")).is_err());
        assert!(destination(&path.join("new/")).is_err());
        assert_eq!(renamed(b"a/b/c", Some(b"x")), b"x/b/c");
        assert_eq!(renamed(b"a", Some(b"x")), b"x");
        assert_eq!(renamed(b"a/b", None), b"a/b");
    }
}
