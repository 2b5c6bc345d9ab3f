//! The licences in a tar's copyright files, by package.

use std::collections::HashMap;
use std::io::{self, Read};

use crate::licences;

/// The parent of each package's documentation folder (Debian policy 12.5).
const DOCUMENTS: &str = "usr/share/doc/";
const NAME: &str = "copyright";

/// How many links are followed: a package's folder may be a link to another package's.
const HOPS: usize = 4;

/// The files below [`DOCUMENTS`], by relative path.
#[derive(Debug, Default)]
pub(super) struct CopyrightFiles {
    licences: HashMap<String, Option<String>>,
    links: HashMap<String, String>,
}

impl CopyrightFiles {
    /// Records an entry if it is a copyright file, or a link on the way to one.
    pub(super) fn record(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> io::Result<()> {
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(path) = below(&path) else { return Ok(()) };
        let is_copyright =
            path.strip_suffix(NAME).is_some_and(|rest| rest.ends_with('/') && rest.matches('/').count() == 1);
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            if let Some(target) = entry.link_name_bytes().filter(|_| is_copyright || !path.contains('/')) {
                let target = String::from_utf8_lossy(&target);
                let target = if kind.is_hard_link() {
                    below(&target).map(str::to_owned)
                } else {
                    resolved(path, &target)
                };
                self.links.extend(target.map(|target| (path.to_owned(), target)));
            }
        } else if is_copyright && kind.is_file() {
            let mut text = Vec::new();
            entry.take(licences::LIMIT + 1).read_to_end(&mut text)?;
            self.licences.insert(path.to_owned(), licences::of_copyright(&text));
        }
        Ok(())
    }

    /// The licence from a package's copyright file.
    pub(super) fn licence(&self, package: &str) -> Option<String> {
        let mut path = format!("{package}/{NAME}");
        for _ in 0..HOPS {
            if let Some(licence) = self.licences.get(&path) {
                return licence.clone();
            }
            let folder = path.split('/').next()?;
            path = match (self.links.get(&path), self.links.get(folder)) {
                (Some(target), _) => target.clone(),
                (None, Some(target)) => format!("{target}/{NAME}"),
                (None, None) => return None,
            };
        }
        None
    }
}

fn below(path: &str) -> Option<&str> {
    path.trim_start_matches("./")
        .trim_start_matches('/')
        .strip_prefix(DOCUMENTS)
        .map(|path| path.trim_end_matches('/'))
}

/// The target of the symbolic link at `path`, if it stays below [`DOCUMENTS`].
fn resolved(path: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return below(target).map(str::to_owned);
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: Expat\n";

    fn read(builder: tar::Builder<Vec<u8>>) -> CopyrightFiles {
        let bytes = builder.into_inner().unwrap();
        let mut files = CopyrightFiles::default();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            files.record(&mut entry.unwrap()).unwrap();
        }
        files
    }

    #[test]
    fn links_between_packages_are_followed_and_cycles_end() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(FILE.len() as u64);
        builder.append_data(&mut header, "./usr/share/doc/a/copyright", FILE.as_bytes()).unwrap();
        let mut link = |path: &str, target: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, path, target).unwrap();
        };
        link("./usr/share/doc/b", "a");
        link("./usr/share/doc/c/copyright", "../b/copyright");
        link("./usr/share/doc/d", "e");
        link("./usr/share/doc/e", "d");
        link("./usr/share/doc/f", "../../../etc");
        let files = read(builder);
        for package in ["a", "b", "c"] {
            assert_eq!(files.licence(package).as_deref(), Some("MIT"), "{package}");
        }
        for package in ["d", "f", "g"] {
            assert_eq!(files.licence(package), None, "{package}");
        }
    }
}
