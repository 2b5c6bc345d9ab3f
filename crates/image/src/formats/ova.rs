//! An OVF package as one file: a ustar archive with the descriptor first, then the digests, then the disks (DMTF DSP0243,
//! Open Virtualization Format Specification 1.1.0, 5.3). So a reader of a stream knows what comes before it comes.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write as _};

use camino::Utf8Path;

use super::parse_error::ParseError;
use super::xml::LONGEST;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// The largest member of a ustar archive: eleven octal digits (POSIX.1-2017, pax, "ustar Interchange Format").
const LARGEST: u64 = (1 << 33) - 1;

/// More members than any package has; a stranger's archive is not read to its end for ever.
const MOST_MEMBERS: usize = 1000;

/// A file of the package that lies on the disk, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Its name in the package.
    pub name: &'a str,
    /// Where it is.
    pub path: &'a Utf8Path,
    /// Its digest.
    pub sha256: Digest,
}

/// Where a member lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The first byte of its content; a multiple of 512.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// A line of the `.mf` file (DSP0243, 5.1): `SHA256(name)= digits`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestLine {
    /// `SHA256`, or `SHA1` in older packages.
    pub algorithm: String,
    /// The file.
    pub name: String,
    /// Hexadecimal digits.
    pub digits: String,
}

impl DigestLine {
    fn sha256(name: &str, digest: Digest) -> Self {
        Self { algorithm: "SHA256".into(), name: name.into(), digits: digest.to_string() }
    }
}

/// The text of a `.mf` file.
pub fn render_digests(lines: &[DigestLine]) -> String {
    let line = |line: &DigestLine| format!("{}({})= {}\n", line.algorithm, line.name, line.digits);
    lines.iter().map(line).collect::<Vec<_>>().concat()
}

/// Reads a `.mf` file; empty lines are skipped.
pub fn parse_digests(text: &str) -> Result<Vec<DigestLine>, ParseError> {
    let bad =
        |line: &str| ParseError::new("OVF manifest", format!("{line:?} is not ALGORITHM(FILE)= DIGITS"));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (head, digits) = line.rsplit_once('=').ok_or_else(|| bad(line))?;
            let (algorithm, name) = head.trim_end().split_once('(').ok_or_else(|| bad(line))?;
            let name = name.strip_suffix(')').ok_or_else(|| bad(line))?;
            let digits = digits.trim();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(bad(line));
            }
            Ok(DigestLine { algorithm: algorithm.into(), name: name.into(), digits: digits.into() })
        })
        .collect()
}

/// Writes a package of one machine. All of it follows from the arguments: owner, mode and time are fixed.
pub fn write(
    target: &Utf8Path,
    stem: &str,
    descriptor: &str,
    disk: Payload<'_>,
    epoch: u64,
) -> Result<(), Error> {
    let ovf = format!("{stem}.ovf");
    let lines = [
        DigestLine::sha256(&ovf, Digest::of_bytes(descriptor.as_bytes())),
        DigestLine::sha256(disk.name, disk.sha256),
    ];
    let digests = render_digests(&lines);
    let mut content = File::open(disk.path).at("open", disk.path)?;
    let size = content.metadata().at("read", disk.path)?.len();
    if size > LARGEST {
        let detail = format!("{} has {size} bytes, a ustar archive takes {LARGEST} a file", disk.name);
        return Err(Error::Input { what: "the disk of an OVA".into(), detail });
    }
    let file = BufWriter::new(File::create(target).at("create", target)?);
    let mut archive = tar::Builder::new(file);
    for (name, text) in [(ovf, descriptor), (format!("{stem}.mf"), &digests)] {
        let mut header = header(text.len() as u64, epoch);
        archive.append_data(&mut header, name, text.as_bytes()).at("write", target)?;
    }
    archive.append_data(&mut header(size, epoch), disk.name, &mut content).at("write", target)?;
    archive.into_inner().and_then(|mut file| file.flush()).at("write", target)
}

fn header(size: u64, epoch: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// The members of an archive, in order. Reads headers only.
pub fn members(file: &mut (impl Read + Seek)) -> std::io::Result<Vec<Member>> {
    file.rewind()?;
    let mut archive = tar::Archive::new(file);
    let mut members = Vec::new();
    // Raw: what extends headers may be as long as it likes, and plain ustar has none of it.
    for entry in archive.entries_with_seek()?.raw(true).take(MOST_MEMBERS) {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            members.push(Member {
                name: String::from_utf8_lossy(&entry.path_bytes()).into_owned(),
                offset: entry.raw_file_position(),
                size: entry.header().entry_size()?,
            });
        }
    }
    Ok(members)
}

/// The disk that a package boots from: its first member that is a VMDK by name.
pub fn disk(members: &[Member]) -> Option<&Member> {
    let is_vmdk = |member: &&Member| Utf8Path::new(&member.name).extension() == Some("vmdk");
    members.iter().find(is_vmdk)
}

/// Where the disk lies in a package on the disk.
pub fn locate_disk(path: &Utf8Path) -> Result<Member, Error> {
    let mut file = File::open(path).at("open", path)?;
    let damaged = |detail: &str| Error::Damaged { path: path.to_owned(), detail: detail.to_owned() };
    let members = members(&mut file).map_err(|error| damaged(&format!("no OVA: {error}")))?;
    disk(&members).cloned().ok_or_else(|| damaged("it holds no VMDK"))
}

/// Copies a member to a file of its own.
pub(crate) fn extract(path: &Utf8Path, member: &Member, target: &Utf8Path) -> Result<(), Error> {
    let mut file = File::open(path).at("open", path)?;
    file.seek(SeekFrom::Start(member.offset)).at("read", path)?;
    let mut out = File::create_new(target).at("create", target)?;
    let copied = std::io::copy(&mut file.take(member.size), &mut out).at("copy to", target)?;
    if copied == member.size {
        return Ok(());
    }
    let detail = format!("{} ends after {copied} of {} bytes", member.name, member.size);
    Err(Error::Damaged { path: path.to_owned(), detail })
}

/// A short member as text.
pub fn text(file: &mut (impl Read + Seek), member: &Member) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(member.offset))?;
    let mut text = Vec::new();
    file.take(member.size.min(LONGEST as u64)).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn descriptor_digests_and_disk_in_this_order_and_always_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Utf8PathBuf::from_path_buf(folder.path().join(name)).unwrap();
        let disk = path("d");
        std::fs::write(&disk, vec![7; 1000]).unwrap();
        let sha256 = Digest::of_file(&disk).unwrap();
        for name in ["1.ova", "2.ova"] {
            let payload = Payload { name: "a-disk1.vmdk", path: &disk, sha256 };
            write(&path(name), "a", "<Envelope/>", payload, 1_700_000_000).unwrap();
        }
        assert_eq!(std::fs::read(path("1.ova")).unwrap(), std::fs::read(path("2.ova")).unwrap());
        let mut file = File::open(path("1.ova")).unwrap();
        let members = members(&mut file).unwrap();
        let shape = members.iter().map(|m| (m.name.as_str(), m.offset, m.size)).collect::<Vec<_>>();
        let digests =
            format!("SHA256(a.ovf)= {}\nSHA256(a-disk1.vmdk)= {sha256}\n", Digest::of_bytes(b"<Envelope/>"));
        let length = digests.len() as u64;
        assert_eq!(shape, [("a.ovf", 512, 11), ("a.mf", 1536, length), ("a-disk1.vmdk", 2560, 1000)]);
        assert_eq!(text(&mut file, &members[1]).unwrap(), digests);
        assert_eq!(&std::fs::read(path("1.ova")).unwrap()[257..265], b"ustar\x0000");
        assert_eq!(locate_disk(&path("1.ova")).unwrap(), members[2]);
    }

    fn line() -> impl Strategy<Value = DigestLine> {
        ("SHA(1|256|512)", "[a-z()= .-]{0,9}[a-z.-]", "[0-9a-f]{1,64}")
            .prop_map(|(algorithm, name, digits)| DigestLine { algorithm, name, digits })
    }

    proptest! {
        #[test]
        fn digests_come_back_as_they_were(lines in proptest::collection::vec(line(), 0..5)) {
            prop_assert_eq!(parse_digests(&render_digests(&lines)).unwrap(), lines);
        }

        #[test]
        fn garbage_is_refused_and_nothing_more(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let _ = members(&mut file);
            let _ = parse_digests(&String::from_utf8_lossy(&bytes));
        }
    }
}
