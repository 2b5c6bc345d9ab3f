//! The disk of a package that its machine boots from, and its other content.

use super::Member;
use crate::formats::ovf::{Envelope, File, resource};

/// The bootable disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootDisk {
    /// Its member of the package.
    pub member: Member,
    /// Whether its descriptor says that it is compressed (DSP0243, 7.1, `ovf:compression`).
    pub is_packed: bool,
    /// Names of the other disks and files of the machine.
    pub left_out: Vec<String>,
}

/// Chooses by the descriptor: the first slot of the first controller with a non-empty disk. Without a descriptor the
/// package must have only one file.
pub fn choose(envelope: Option<&Envelope>, members: &[Member]) -> Result<BootDisk, String> {
    let contents: Vec<&Member> = members.iter().filter(|member| !is_about_others(&member.name)).collect();
    let (member, is_packed) = match envelope.map(|envelope| by_descriptor(envelope, members)).transpose()? {
        Some(Some(found)) => found,
        _ => match contents[..] {
            [] => return Err("it contains no disk".into()),
            [only] => (only.clone(), false),
            _ => {
                let names: Vec<&str> = contents.iter().map(|member| member.name.as_str()).collect();
                return Err(format!(
                    "nothing in it says which of its files boots: {}; unpack it with `tar -xf`, then give that one",
                    names.join(", ")
                ));
            }
        },
    };
    let left_out = contents.iter().filter(|other| other.offset != member.offset);
    let left_out = left_out.map(|other| other.name.clone()).collect();
    Ok(BootDisk { member, is_packed, left_out })
}

/// Descriptor, digests, certificate.
fn is_about_others(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [".ovf", ".mf", ".cert"].iter().any(|ending| lower.ends_with(ending))
}

fn by_descriptor(envelope: &Envelope, members: &[Member]) -> Result<Option<(Member, bool)>, String> {
    let items = &envelope.system.items;
    let place = |parent: Option<&String>| {
        parent.and_then(|parent| items.iter().position(|item| item.instance == *parent)).unwrap_or(usize::MAX)
    };
    let mut attached: Vec<_> = envelope
        .system
        .items_of(resource::DISK)
        .filter_map(|item| {
            let file = file_of(envelope, item.host_resource.as_deref()?)?;
            let unit = item.address_on_parent.as_deref().and_then(|unit| unit.trim().parse::<u32>().ok());
            Some(((place(item.parent.as_ref()), unit.unwrap_or(u32::MAX)), file))
        })
        .collect();
    attached.sort_by_key(|(place, _)| *place);
    let only = || match &envelope.disks[..] {
        [disk] => disk.file.as_deref().and_then(|id| file_named(envelope, id)),
        _ => None,
    };
    let Some(file) = attached.first().map(|(_, file)| *file).or_else(only) else { return Ok(None) };
    if let Some(disk) = envelope.disks.iter().find(|disk| disk.file.as_ref() == Some(&file.id))
        && let Some(parent) = &disk.parent
    {
        return Err(format!(
            "its disk {:?} only contains the differences from the disk {parent:?}",
            file.href
        ));
    }
    if file.chunk_size.is_some() {
        return Err(format!("its disk {:?} is split into pieces: unpack it and join them first", file.href));
    }
    let member = member(members, &file.href).ok_or_else(|| {
        format!("its disk {:?} is not in it: it is truncated, or the disk is elsewhere", file.href)
    })?;
    let is_packed = file.compression.as_deref().is_some_and(|how| !how.is_empty() && how != "identity");
    Ok(Some((member.clone(), is_packed)))
}

/// `ovf:/disk/ID` and `ovf:/file/ID` (DSP0243, 8.3); some writers omit the scheme.
fn file_of<'a>(envelope: &'a Envelope, resource: &str) -> Option<&'a File> {
    let resource = resource.trim().trim_start_matches("ovf:");
    if let Some(id) = resource.strip_prefix("/disk/") {
        let disk = envelope.disks.iter().find(|disk| disk.id == id)?;
        return file_named(envelope, disk.file.as_deref()?);
    }
    file_named(envelope, resource.strip_prefix("/file/")?)
}

fn file_named<'a>(envelope: &'a Envelope, id: &str) -> Option<&'a File> {
    envelope.files.iter().find(|file| file.id == id)
}

/// A member by its reference, a URI: either literally or with its escapes resolved.
fn member<'a>(members: &'a [Member], href: &str) -> Option<&'a Member> {
    let bare = |name: &str| name.trim_start_matches("./").to_owned();
    let named = |wanted: &str| members.iter().find(|member| bare(&member.name) == bare(wanted));
    named(href).or_else(|| named(&unescaped(href)))
}

/// RFC 3986, 2.1.
fn unescaped(uri: &str) -> String {
    let bytes = uri.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped =
            digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
