//! Merges the base's root file system, the tools and RAVE's own files into one stream of tar (POSIX
//! IEEE Std 1003.1, pax interchange format). Headers of the base are copied unchanged, byte by byte.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use rave_guest::assets::{GuestFile, GuestFileKind, Owner};

use crate::error::Error;
use crate::tree::accounts::{Account, USER_ID};
use crate::tree::overlay::Overlay;

/// A tar's unit (POSIX pax, "ustar Interchange Format").
const RECORD: usize = 512;

/// What to do with an entry of the base.
enum EntryAction {
    Copy,
    Drop,
    Amend,
    /// Copy it, and also put its content into the new user's home.
    Skeleton(String),
}

/// The merged tree.
pub struct Merge<'a> {
    /// The account to add to the base's account files.
    pub account: &'a Account,
    /// RAVE's own files.
    pub overlay: &'a Overlay,
    /// Paths of files and folders of the tars that are left out, without a leading slash.
    pub left_out: &'a [String],
    /// The timestamp of added files, in seconds: `SOURCE_DATE_EPOCH`.
    pub epoch: u64,
}

impl Merge<'_> {
    /// Writes the whole tree. `base` and `tools` are tars; only one small file is in memory at a time.
    pub fn write(&self, base: impl Read, tools: impl Read, out: &mut dyn Write) -> Result<(), WriteError> {
        let mut state = MergeState { out, seen: HashSet::new(), home: Vec::new() };
        self.copy_tar(base, &mut state)?;
        self.copy_tar(tools, &mut state)?;
        self.append_own(state)
    }

    fn copy_tar(&self, tar: impl Read, state: &mut MergeState<'_>) -> Result<(), WriteError> {
        let mut archive = tar::Archive::new(tar);
        let mut extensions = Vec::new();
        let mut long_name = None;
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            if is_extension(entry.header()) {
                let start = extensions.len();
                extensions.extend_from_slice(entry.header().as_bytes());
                entry.read_to_end(&mut extensions)?;
                if let Some(name) = extended_name(entry.header(), &extensions[start + RECORD..]) {
                    long_name = Some(name);
                }
                pad_vec(&mut extensions);
                continue;
            }
            let name =
                long_name.take().unwrap_or_else(|| String::from_utf8_lossy(&entry.path_bytes()).into_owned());
            let name = name.trim_start_matches("./").trim_matches('/').to_owned();
            self.pass_entry(&name, &std::mem::take(&mut extensions), &mut entry, state)?;
        }
        Ok(())
    }

    fn pass_entry(
        &self,
        name: &str,
        extensions: &[u8],
        entry: &mut tar::Entry<'_, impl Read>,
        state: &mut MergeState<'_>,
    ) -> Result<(), WriteError> {
        let known_folder = entry.header().entry_type().is_dir() && state.seen.contains(name);
        match self.action(name, entry.header()) {
            _ if known_folder => return Ok(()),
            EntryAction::Drop => return Ok(()),
            EntryAction::Copy => {
                state.out.write_all(extensions)?;
                state.out.write_all(entry.header().as_bytes())?;
                let size = io::copy(entry, state.out)?;
                pad(state.out, size)?;
            }
            EntryAction::Amend => {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                let text = self.account.amend(name, &text)?;
                write_with_header(state.out, entry.header().clone(), text.as_bytes())?;
            }
            EntryAction::Skeleton(in_home) => {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                write_with_header(state.out, entry.header().clone(), &content)?;
                let mode = entry.header().mode()?;
                state.home.push((in_home, mode, content));
            }
        }
        state.seen.insert(name.to_owned());
        Ok(())
    }

    fn action(&self, name: &str, header: &tar::Header) -> EntryAction {
        let below = |path: &String| {
            name.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.overlay.replaces(name) || self.left_out.iter().any(below) {
            return EntryAction::Drop;
        }
        if Account::amends(name) {
            return EntryAction::Amend;
        }
        match name.strip_prefix("etc/skel/") {
            Some(rest) if header.entry_type().is_file() => EntryAction::Skeleton(rest.to_owned()),
            _ => EntryAction::Copy,
        }
    }

    fn append_own(&self, state: MergeState<'_>) -> Result<(), WriteError> {
        let home = format!("home/{}", self.account.user);
        let mut own = self.overlay.clone();
        for (path, mode, content) in state.home {
            let path = format!("/{home}/{path}");
            if !own.replaces(path.trim_start_matches('/')) {
                own.add(GuestFile { path, owner: Owner::User, kind: GuestFileKind::File { mode, content } });
            }
        }
        let mut seen = state.seen;
        let mut builder = tar::Builder::new(state.out);
        for (path, file) in own.iter() {
            for parent in parents(path) {
                if !seen.contains(parent) && !own.iter().any(|(path, _)| path == parent) {
                    let in_home = parent == home || parent.starts_with(&format!("{home}/"));
                    let owner = if in_home { Owner::User } else { Owner::Root };
                    let mode = if parent == home { 0o700 } else { 0o755 };
                    self.append(&mut builder, parent, owner, &GuestFileKind::Directory { mode })?;
                    seen.insert(parent.to_owned());
                }
            }
            if seen.insert(path.to_owned()) {
                self.append(&mut builder, path, file.owner, &file.kind)?;
            }
        }
        builder.finish()?;
        Ok(())
    }

    fn append(
        &self,
        builder: &mut tar::Builder<&mut dyn Write>,
        path: &str,
        owner: Owner,
        kind: &GuestFileKind,
    ) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(self.epoch);
        let id = if owner == Owner::User { USER_ID } else { 0 };
        header.set_uid(id);
        header.set_gid(id);
        match kind {
            GuestFileKind::File { mode, content } => {
                header.set_entry_type(tar::EntryType::Regular);
                header.set_mode(*mode);
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, path, content.as_slice())
            }
            GuestFileKind::Directory { mode } => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(*mode);
                header.set_size(0);
                builder.append_data(&mut header, format!("{path}/"), io::empty())
            }
            GuestFileKind::Symlink { target } => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                builder.append_link(&mut header, path, target)
            }
        }
    }
}

/// Why the tree could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Reading a tar or writing the stream.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An input is not usable.
    #[error(transparent)]
    Input(#[from] Error),
}

struct MergeState<'a> {
    out: &'a mut dyn Write,
    seen: HashSet<String>,
    home: Vec<(String, u32, Vec<u8>)>,
}

fn is_extension(header: &tar::Header) -> bool {
    let kind = header.entry_type();
    kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
        || kind.is_gnu_longname()
        || kind.is_gnu_longlink()
}

/// The name that an extension header gives to the following entry, if any.
fn extended_name(header: &tar::Header, body: &[u8]) -> Option<String> {
    let name = if header.entry_type().is_gnu_longname() {
        body.split(|byte| *byte == 0).next()
    } else if header.entry_type().is_pax_local_extensions() {
        tar::PaxExtensions::new(body)
            .flatten()
            .find(|field| field.key_bytes() == b"path")
            .map(|field| field.value_bytes())
    } else {
        None
    };
    name.map(|name| String::from_utf8_lossy(name).into_owned())
}

fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn write_with_header(out: &mut dyn Write, mut header: tar::Header, content: &[u8]) -> io::Result<()> {
    header.set_size(content.len() as u64);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(content)?;
    pad(out, content.len() as u64)
}

fn padding(size: u64) -> &'static [u8] {
    const ZEROS: [u8; RECORD] = [0; RECORD];
    let rest = usize::try_from(size % RECORD as u64).unwrap_or_default();
    if rest == 0 { &[] } else { &ZEROS[rest..] }
}

fn pad(out: &mut dyn Write, size: u64) -> io::Result<()> {
    out.write_all(padding(size))
}

fn pad_vec(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(padding(bytes.len() as u64));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(builder: &mut tar::Builder<Vec<u8>>, path: &str, content: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_size(content.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }

    fn merged(
        base: &[(&str, &str)],
        tools: &[(&str, &str)],
        own: &[(&str, &str)],
    ) -> Vec<(String, String, u64)> {
        let tar = |files: &[(&str, &str)]| {
            let mut builder = tar::Builder::new(Vec::new());
            for (path, content) in files {
                entry(&mut builder, path, content);
            }
            builder.into_inner().unwrap()
        };
        let mut overlay = Overlay::default();
        for (path, content) in own {
            let kind = GuestFileKind::File { mode: 0o644, content: content.as_bytes().to_vec() };
            overlay.add(GuestFile { path: (*path).into(), owner: Owner::Root, kind });
        }
        let account = Account { user: "agent".into(), password_hash: None, epoch: 0 };
        let mut out = Vec::new();
        let merge =
            Merge { account: &account, overlay: &overlay, left_out: &["opt/gone".to_owned()], epoch: 9 };
        merge.write(tar(base).as_slice(), tar(tools).as_slice(), &mut out).unwrap();
        let mut archive = tar::Archive::new(out.as_slice());
        let read = |mut entry: tar::Entry<'_, &[u8]>| {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), text, entry.header().uid().unwrap())
        };
        archive.entries().unwrap().map(|entry| read(entry.unwrap())).collect()
    }

    #[test]
    fn own_files_replace_those_of_the_base_and_missing_folders_are_created_once() {
        let files = merged(
            &[("./etc/", ""), ("./etc/motd", "old"), ("./etc/passwd", "root:x:0:0::/root:/bin/sh\n")],
            &[("etc/", ""), ("opt/", ""), ("opt/gone/", ""), ("opt/gone/a", "x"), ("opt/tool", "t")],
            &[("/etc/motd", "new"), ("/etc/rave/a", "1"), ("/etc/rave/b", "2")],
        );
        let paths: Vec<&str> = files.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["etc/", "etc/passwd", "opt/", "opt/tool", "etc/motd", "etc/rave/", "etc/rave/a", "etc/rave/b"]
        );
        assert!(files[1].1.ends_with("agent:x:1000:1000::/home/agent:/bin/bash\n"));
        assert_eq!(files[4].1, "new");
    }

    #[test]
    fn the_skeleton_becomes_the_users_home() {
        let files = merged(&[("./etc/skel/", ""), ("./etc/skel/.profile", "hello")], &[], &[]);
        let home: Vec<_> = files.iter().filter(|(path, ..)| path.starts_with("home")).cloned().collect();
        let expected = [("home/", "", 0), ("home/agent/", "", 1000), ("home/agent/.profile", "hello", 1000)];
        assert_eq!(home, expected.map(|(path, text, uid)| (path.to_owned(), text.to_owned(), uid)));
    }

    #[test]
    fn names_over_100_bytes_are_kept_and_can_be_replaced() {
        let long = format!("usr/{}/file", "d".repeat(120));
        let files = merged(&[(&long, "base")], &[], &[]);
        assert_eq!(files, [(long.clone(), "base".to_owned(), 0)]);
        let files = merged(&[(&long, "base")], &[], &[(&format!("/{long}"), "own")]);
        assert_eq!(files.last().unwrap(), &(long, "own".to_owned(), 0));
        assert!(!files.iter().any(|(_, text, _)| text == "base"));
    }
}
