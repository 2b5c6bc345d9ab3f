//! Which files differ, and where.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, IoContext as _};
use crate::manifest::Manifest;
use crate::names;

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name in the release.
    pub name: String,
    /// What differs.
    pub what: What,
}

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Only the release has it.
    NotMade,
    /// Only the rebuild has it.
    NotReleased,
    /// The first differing byte, or the end of the shorter file.
    Byte(u64),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::NotMade => write!(f, "{}: the rebuild makes no such file", self.name),
            What::NotReleased => write!(f, "{}: the release has no such file", self.name),
            What::Byte(at) => write!(f, "{}: differs first at byte {at}", self.name),
        }
    }
}

/// Compares a verified release with a rebuild. Every file is read on both sides.
pub fn differences(
    release: (&Utf8Path, &Manifest),
    remade: (&Utf8Path, &Manifest),
) -> Result<Vec<Difference>, Error> {
    let (ours, theirs) = (files(release.1), files(remade.1));
    let mut found = Vec::new();
    let mut add = |name: &str, what| found.push(Difference { name: name.to_owned(), what });
    for (name, pieces) in &ours {
        let Some((_, others)) = theirs.iter().find(|(other, _)| other == name) else {
            add(name, What::NotMade);
            continue;
        };
        let mut a = Joined::open(release.0, name, pieces)?;
        let mut b = Joined::open(remade.0, name, others)?;
        if let Some(at) = first_difference(&mut a, &mut b).at("read", release.0.join(name))? {
            add(name, What::Byte(at));
        }
    }
    let is_ours = |name: &String| ours.iter().any(|(our, _)| our == name);
    let names = theirs.iter().map(|(name, _)| name);
    names.filter(|name| !is_ours(name)).for_each(|name| add(name, What::NotReleased));
    Ok(found)
}

/// The compared files, each with its parts: artifacts first, because the rest is derived from them.
fn files(manifest: &Manifest) -> Vec<(String, Vec<String>)> {
    let whole = |name: &str| (name.to_owned(), Vec::new());
    let mut found: Vec<(String, Vec<String>)> = manifest
        .files()
        .map(|file| (file.name.to_string(), file.parts.iter().map(|part| part.name.to_string()).collect()))
        .collect();
    found.extend(manifest.bills().map(|bill| whole(bill.name.as_str())));
    if manifest.inputs.is_some() {
        found.push(whole(names::SOURCES));
    }
    found.push(whole(names::MANIFEST));
    found
}

/// A file, or its parts one after another.
struct Joined {
    left: Vec<Utf8PathBuf>,
    now: Option<BufReader<File>>,
}

impl Joined {
    fn open(folder: &Utf8Path, name: &str, parts: &[String]) -> Result<Self, Error> {
        let whole = folder.join(name);
        let mut left: Vec<Utf8PathBuf> = if whole.is_file() || parts.is_empty() {
            vec![whole]
        } else {
            parts.iter().map(|part| folder.join(part)).collect()
        };
        if let Some(missing) = left.iter().find(|path| !path.is_file()) {
            return Err(Error::damaged(missing, "it is missing"));
        }
        left.reverse();
        Ok(Self { left, now: None })
    }
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(now) = &mut self.now {
                let count = now.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
            }
            match self.left.pop() {
                Some(next) => self.now = Some(BufReader::with_capacity(1 << 16, File::open(next)?)),
                None => return Ok(0),
            }
        }
    }
}

fn first_difference(a: &mut Joined, b: &mut Joined) -> io::Result<Option<u64>> {
    const CHUNK: u64 = 1 << 20;
    let (mut ours, mut theirs, mut at) = (Vec::new(), Vec::new(), 0_u64);
    loop {
        rave_process::interrupt::check().map_err(io::Error::other)?;
        for (from, chunk) in [(&mut *a, &mut ours), (&mut *b, &mut theirs)] {
            chunk.clear();
            Read::take(from, CHUNK).read_to_end(chunk)?;
        }
        if ours != theirs {
            let same = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
            return Ok(Some(at + same as u64));
        }
        if ours.is_empty() {
            return Ok(None);
        }
        at += ours.len() as u64;
    }
}
