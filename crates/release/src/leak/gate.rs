//! Searches every artifact of a release.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::{Digest, Hasher};
use rave_image::inside::{self, Visited};
use rave_process::progress::{Event, Sink};
use serde::{Deserialize, Serialize};

use super::allowed::Allowed;
use super::attributes::{self, squashfs};
use super::finding::{Finding, Place, Rule};
use super::member::LONGEST_TARGET;
use super::names::BuilderNames;
use super::packed::{self, HEAD, LONGEST, Visitor};
use super::paths;
use super::scanner::{Match, Scanner};
use crate::error::{Error, IoContext as _};

/// Its name in progress events.
pub const STAGE: &str = "leak gate";

/// How many places outside files are reported per rule and artifact: more would add nothing.
const MOST_PLACES: usize = 8;

/// How many incompletely unpacked files are reported.
const MOST_UNREAD: usize = 20;

/// Bytes of a disk that are hashed at once.
const CHUNK: usize = 1 << 20;

/// What to search, and for what.
#[derive(Debug)]
pub struct Gate<'a> {
    /// The files of the artifacts.
    pub artifacts: &'a [Utf8PathBuf],
    /// The builder's names.
    pub names: &'a BuilderNames,
    /// The allowed findings.
    pub allowed: Allowed,
}

/// The result of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What must not be there.
    pub findings: Vec<Finding>,
    /// Different disks.
    pub disks: u64,
    /// Files in them.
    pub files: u64,
    /// How many lines of the allowed list were needed.
    pub allowed: usize,
    /// Notes for readers: which disks were identical, which names were not searched, which lines are stale.
    pub notes: Vec<String>,
}

/// Searches every artifact.
pub fn gate(gate: Gate<'_>, sink: Sink<'_>) -> Result<Report, Error> {
    let (needles, notes) = gate.names.needles();
    let report = Report { notes, ..Report::default() };
    let mut search = Search {
        scanner: Scanner::new(needles),
        allowed: gate.allowed,
        findings: BTreeSet::new(),
        report,
        disks: BTreeMap::new(),
        unread: BTreeMap::new(),
    };
    for path in gate.artifacts {
        sink(Event::StageOutput { stage: STAGE, line: path.file_name().unwrap_or_default() });
        search.artifact(path)?;
    }
    let unread = search.unread.iter().take(MOST_UNREAD).map(|(path, why)| format!("{path}: {why}"));
    search.report.notes.extend(unread);
    let more = search.unread.len().saturating_sub(MOST_UNREAD);
    search.report.notes.extend((more > 0).then(|| format!("{more} more files could not be unpacked whole")));
    let stale = search.allowed.stale().map(|entry| {
        format!(
            "{} {} is allowed ({}), but nothing needs this exception",
            entry.rule, entry.path, entry.reason
        )
    });
    search.report.notes.extend(stale);
    search.report.allowed = search.allowed.used();
    search.report.findings = search.findings.into_iter().collect();
    Ok(search.report)
}

/// Searches a text that is published beside the artifacts.
pub(crate) fn search_text(name: &str, text: &[u8], names: &BuilderNames) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let mut found = |found: Match| {
        findings.push(Finding {
            rule: found.rule,
            artifact: name.to_owned(),
            place: Place::Container(found.at),
        });
    };
    Scanner::new(names.needles().0).scan(&mut &*text, &mut found).at("read", name)?;
    Ok(findings)
}

struct Search {
    scanner: Scanner,
    allowed: Allowed,
    findings: BTreeSet<Finding>,
    report: Report,
    /// Artifacts by the digest of their disk, with the findings in it.
    disks: BTreeMap<Digest, (String, Known)>,
    /// Files that could not be unpacked completely, and why; the unpacked part was searched.
    unread: BTreeMap<String, String>,
}

/// Secrets that were found: the same bytes elsewhere in the disk or its container are not a new finding.
type Known = HashSet<(Rule, Digest)>;

impl Search {
    fn artifact(&mut self, path: &Utf8Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_owned();
        let opened = inside::open(path)?;
        let mut known = Known::new();
        for sibling in &opened.siblings {
            let mut files = 0;
            sibling.visit(&mut |path, entry| {
                files += u64::from(matches!(entry, Visited::File { .. }));
                self.entry(&name, path, entry, &mut known)
            })?;
            self.report.files += files;
        }
        if let Some(start) = opened.squashfs {
            self.attributes(&name, (path, start), &mut known, squashfs::attributes)?;
        }
        if let Some(disk) = &opened.disk {
            let digest = digest_of_disk(disk).at("read", disk)?;
            if let Some((same, in_it)) = self.disks.get(&digest) {
                let note = format!("{name} has the same disk as {same}, and is not searched twice");
                self.report.notes.push(note);
                known.extend(in_it);
            } else {
                self.disk(&name, disk, &mut known)?;
                self.disks.insert(digest, (name.clone(), known.clone()));
            }
        }
        if opened.disk.as_deref() != Some(path) {
            // A container may include parts of its disk unchanged.
            self.places(&name, path, &mut known, Place::Container)?;
        }
        Ok(())
    }

    fn disk(&mut self, name: &str, disk: &Utf8Path, known: &mut Known) -> Result<(), Error> {
        let found = inside::files(disk, &mut |path, entry| self.entry(name, path, entry, known))?;
        for one in &found {
            if let Some(read) = attributes::reader(one.kind) {
                self.attributes(name, (disk, one.start), known, read)?;
            }
        }
        let files: u64 = found.iter().map(|one| one.files).sum();
        if files == 0 {
            return Err(Error::damaged(
                name,
                "no file can be found in its disk, so nothing is known of them",
            ));
        }
        self.report.disks += 1;
        self.report.files += files;
        self.places(name, disk, known, Place::Disk)
    }

    /// Searches the extended attributes of a file system that starts at a byte of a file.
    fn attributes(
        &mut self,
        artifact: &str,
        (path, start): (&Utf8Path, u64),
        known: &mut Known,
        read: attributes::Reader,
    ) -> Result<(), Error> {
        let done = read(path, start, &mut |attribute| {
            let place = format!("{}{}", attributes::PLACE, attribute.place);
            self.look(artifact, known, |seen| {
                seen.name(&place, attribute.name)?;
                packed::file(&place, &mut &*attribute.value, LONGEST, seen)
            })
        });
        done.at("read the extended attributes of", path)
    }

    fn entry(&mut self, artifact: &str, path: &str, entry: Visited<'_>, known: &mut Known) -> io::Result<()> {
        self.look(artifact, known, |seen| match entry {
            Visited::File { content, .. } => {
                let mut head = Vec::new();
                Read::take(&mut *content, HEAD).read_to_end(&mut head)?;
                seen.member(path, path.as_bytes(), &head)?;
                packed::file(path, &mut head.as_slice().chain(content), LONGEST, seen)
            }
            Visited::Link { target } => {
                seen.name(path, path.as_bytes())?;
                seen.name(path, target)
            }
            Visited::Other => seen.name(path, path.as_bytes()),
        })
    }

    /// Lets `look` search, and adds what it finds and is not allowed.
    fn look(
        &mut self,
        artifact: &str,
        known: &mut Known,
        look: impl FnOnce(&mut Seen<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut seen = Seen {
            scanner: &self.scanner,
            known,
            broken: BTreeSet::new(),
            here: Known::new(),
            unread: &mut self.unread,
            artifact,
        };
        look(&mut seen)?;
        for (path, rule) in seen.broken {
            if !self.allowed.allows(rule, &path) {
                let place = Place::File(path);
                self.findings.insert(Finding { rule, artifact: artifact.to_owned(), place });
            }
        }
        Ok(())
    }

    /// Adds new findings in the raw bytes of a file.
    fn places(
        &mut self,
        artifact: &str,
        path: &Utf8Path,
        known: &mut Known,
        place: impl Fn(u64) -> Place,
    ) -> Result<(), Error> {
        let mut file = File::open(path).at("open", path)?;
        let mut found: Vec<Match> = Vec::new();
        let mut see = |one: Match| {
            let same = found.iter().filter(|other| other.rule == one.rule).count();
            if same < MOST_PLACES && !known.contains(&(one.rule, one.what)) {
                found.push(one);
            }
        };
        self.scanner.scan(&mut file, &mut see).at("read", path)?;
        for Match { rule, at, what } in found {
            known.insert((rule, what));
            self.findings.insert(Finding { rule, artifact: artifact.to_owned(), place: place(at) });
        }
        Ok(())
    }
}

/// The search of one file and of the files packed in it.
struct Seen<'a> {
    scanner: &'a Scanner,
    known: &'a mut Known,
    broken: BTreeSet<(String, Rule)>,
    /// Found in this file, or in files packed in it.
    here: Known,
    unread: &'a mut BTreeMap<String, String>,
    artifact: &'a str,
}

impl Seen<'_> {
    /// A path or the target of a link. Both may lack the slash that the builder's folders begin with.
    fn name(&mut self, path: &str, name: &[u8]) -> io::Result<()> {
        self.bytes(path, &mut b"/".chain(name))
    }
}

impl Visitor for Seen<'_> {
    fn bytes(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()> {
        let Self { scanner, known, broken, here, .. } = self;
        scanner.scan(content, &mut |found| {
            known.insert((found.rule, found.what));
            here.insert((found.rule, found.what));
            broken.insert((path.to_owned(), found.rule));
        })
    }

    fn packed(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()> {
        let Self { scanner, known, broken, here, .. } = self;
        scanner.scan(content, &mut |found| {
            known.insert((found.rule, found.what));
            if !here.contains(&(found.rule, found.what)) {
                broken.insert((path.to_owned(), found.rule));
            }
        })
    }

    fn member(&mut self, path: &str, name: &[u8], head: &[u8]) -> io::Result<()> {
        self.name(path, name)?;
        let broken = paths::broken(&String::from_utf8_lossy(name), head);
        self.broken.extend(broken.map(|rule| (path.to_owned(), rule)));
        Ok(())
    }

    fn link(&mut self, path: &str, target: &[u8]) -> io::Result<()> {
        self.name(path, target)
    }

    fn unread(&mut self, path: &str, why: &str) {
        let place = format!("{}: /{}", self.artifact, path.escape_debug());
        self.unread.entry(place).or_insert_with(|| why.escape_debug().to_string());
    }
}

/// Unpacks a file with low limits and without searching, for a test and a fuzz target.
pub(crate) fn unpack_only(bytes: &[u8]) -> io::Result<()> {
    struct Count(u64);
    impl Visitor for Count {
        fn bytes(&mut self, _: &str, content: &mut dyn Read) -> io::Result<()> {
            self.0 += io::copy(content, &mut io::sink())?;
            Ok(())
        }
        fn packed(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()> {
            self.bytes(path, content)
        }
        fn member(&mut self, _: &str, _: &[u8], head: &[u8]) -> io::Result<()> {
            assert!(head.len() as u64 <= HEAD);
            Ok(())
        }
        fn link(&mut self, _: &str, target: &[u8]) -> io::Result<()> {
            assert!(target.len() as u64 <= LONGEST_TARGET);
            Ok(())
        }
        fn unread(&mut self, _: &str, _: &str) {}
    }
    const LIMIT: u64 = 1 << 20;
    let mut count = Count(0);
    packed::file("file", &mut &*bytes, LIMIT, &mut count)?;
    // In each layer the packed bytes are also read unchanged.
    assert!(count.0 <= 8 * LIMIT + bytes.len() as u64, "{} bytes of {}", count.0, bytes.len());
    Ok(())
}

/// A digest that identifies a disk: a MiB of zeros is ignored, whether written or a hole.
fn digest_of_disk(path: &Utf8Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let (mut chunk, zeros) = (Vec::with_capacity(CHUNK), vec![0; CHUNK]);
    let mut at = 0_u64;
    loop {
        rave_process::interrupt::check().map_err(io::Error::other)?;
        chunk.clear();
        Read::take(&mut file, CHUNK as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(hasher.finish());
        }
        if chunk != zeros[..chunk.len()] {
            hasher.field("at", &at.to_le_bytes()).field("bytes", &chunk);
        }
        at += chunk.len() as u64;
    }
}
