//! An OVF package as one file: a ustar archive with the descriptor first, then the digests, then the disks (DMTF DSP0243,
//! Open Virtualization Format Specification 1.1.0, 5.3). A streaming reader thus knows the content in advance.

mod boot_disk;
mod digests;
mod members;
mod names;

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write as _};

use camino::Utf8Path;

use super::ovf::Envelope;
use super::parse_error::ParseError;
use super::xml::LONGEST;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
pub use boot_disk::{BootDisk, choose};
pub use digests::{Algorithm, DigestLine, parse_digests, render_digests};
pub use members::{Member, members};
pub(crate) use names::package_stem;

/// The largest member of a ustar archive: eleven octal digits (POSIX.1-2017, pax, "ustar Interchange Format").
const LARGEST: u64 = (1 << 33) - 1;

/// A file on the host that goes into the package, and its digest.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Its name in the package.
    pub name: &'a str,
    /// Where it is.
    pub path: &'a Utf8Path,
    /// Its digest.
    pub sha256: Digest,
}

/// Writes a package of one machine. The arguments determine every byte: owner, mode and time are fixed.
pub fn write(
    target: &Utf8Path,
    stem: &str,
    descriptor: &str,
    disk: Payload<'_>,
    epoch: u64,
) -> Result<(), Error> {
    let stem = package_stem(stem);
    let ovf = format!("{stem}.ovf");
    let lines =
        [sha256_line(&ovf, Digest::of_bytes(descriptor.as_bytes())), sha256_line(disk.name, disk.sha256)];
    let digests = render_digests(&lines);
    let mut content = File::open(disk.path).at("open", disk.path)?;
    let size = content.metadata().at("read", disk.path)?.len();
    if size > LARGEST {
        let detail =
            format!("{} has {size} bytes, the limit of a file in a ustar archive is {LARGEST}", disk.name);
        return Err(Error::Input { what: "the disk of an OVA".into(), detail });
    }
    let file = BufWriter::new(File::create(target).at("create", target)?);
    let mut archive = tar::Builder::new(file);
    let mf = format!("{stem}.mf");
    for (name, text) in [(&ovf, descriptor), (&mf, &digests)] {
        let mut header = header(text.len() as u64, epoch);
        archive.append_data(&mut header, name, text.as_bytes()).at("write", target)?;
    }
    archive.append_data(&mut header(size, epoch), disk.name, &mut content).at("write", target)?;
    archive.into_inner().and_then(|mut file| file.flush()).at("write", target)?;
    read_back(target, &[&ovf, &mf, disk.name])
}

/// Verifies a package with this module's own reader.
fn read_back(target: &Utf8Path, names: &[&str]) -> Result<(), Error> {
    let damaged = |detail: String| Error::Damaged { path: target.to_owned(), detail };
    let mut file = File::open(target).at("open", target)?;
    let package = Package::read(&mut file).at("read", target)?;
    let found = package.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>();
    let boots = package.boot_disk().map_err(damaged)?.member.name;
    if found == names && names.last() == Some(&boots.as_str()) {
        return Ok(());
    }
    Err(damaged(format!("it reads back as {found:?}, which boots {boots}")))
}

fn sha256_line(name: &str, digest: Digest) -> DigestLine {
    DigestLine { algorithm: "SHA256".into(), name: name.into(), digits: digest.to_string() }
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

/// The content of a package.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its files, in order.
    pub members: Vec<Member>,
    /// Its descriptor, if it has one; an error if it is invalid.
    pub envelope: Option<Result<Envelope, ParseError>>,
}

impl Package {
    /// Reads the headers and the descriptor of an archive.
    pub fn read(file: &mut (impl Read + Seek)) -> std::io::Result<Self> {
        let members = members(file)?;
        let envelope = match with_ending(&members, "ovf").cloned() {
            Some(member) => Some(Envelope::parse(&text(file, &member)?)),
            None => None,
        };
        Ok(Self { members, envelope })
    }

    /// The disk that its machine boots from.
    pub fn boot_disk(&self) -> Result<BootDisk, String> {
        choose(self.envelope.as_ref().and_then(|envelope| envelope.as_ref().ok()), &self.members)
    }

    /// The lines of its `.mf`, if it has one.
    pub fn digests(
        &self,
        file: &mut (impl Read + Seek),
    ) -> std::io::Result<Result<Vec<DigestLine>, ParseError>> {
        with_ending(&self.members, "mf")
            .map_or(Ok(Ok(Vec::new())), |member| Ok(parse_digests(&text(file, member)?)))
    }
}

fn with_ending<'a>(members: &'a [Member], ending: &str) -> Option<&'a Member> {
    let has = |member: &&Member| {
        Utf8Path::new(&member.name).extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
    };
    members.iter().find(has)
}

/// Locates the bootable disk in a package.
pub fn locate_disk(path: &Utf8Path) -> Result<Member, Error> {
    let mut file = File::open(path).at("open", path)?;
    let refuse = |detail: String| Error::Input { what: path.to_string(), detail };
    let package = Package::read(&mut file).map_err(|error| refuse(format!("no OVA: {error}")))?;
    Ok(package.boot_disk().map_err(refuse)?.member)
}

/// Copies a member to a separate file.
pub(crate) fn extract(path: &Utf8Path, member: &Member, target: &Utf8Path) -> Result<(), Error> {
    let mut file = File::open(path).at("open", path)?;
    file.seek(SeekFrom::Start(member.offset)).at("read", path)?;
    let mut out = File::create_new(target).at("create", target)?;
    let copied = std::io::copy(&mut file.take(member.size), &mut out).at("copy to", target)?;
    if copied == member.size {
        return Ok(());
    }
    let detail = format!("it is truncated: {} ends after {copied} of {} bytes", member.name, member.size);
    Err(Error::Input { what: path.to_string(), detail })
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
    fn descriptor_digests_and_disk_are_in_order_and_reproducible() {
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
        fn digests_round_trip(lines in proptest::collection::vec(line(), 0..5)) {
            prop_assert_eq!(parse_digests(&render_digests(&lines)).unwrap(), lines);
        }

        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let _ = members(&mut file);
            let _ = parse_digests(&String::from_utf8_lossy(&bytes));
        }
    }
}
