//! tar archives (POSIX, pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar's manual, "Basic Tar
//! Format"). Anything else is invalid data.

use std::io::{self, Read};

use super::member::{EachMember, LONGEST_TARGET, Member, What, invalid, skip, without_root};

/// Bytes of a header, and the unit of everything else.
const BLOCK: u64 = 512;

/// The longest description of a member, bytes: attributes of 64 KiB each fit (xattr(7)).
const LONGEST_DESCRIPTION: u64 = 1 << 20;

/// Whether bytes are the beginning of an archive: the magic number and the checksum of its first header.
pub(super) fn begins(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar") && is_sound(head)
}

/// The sum of a header's bytes, its own field counted as spaces.
fn is_sound(header: &[u8]) -> bool {
    let Some(header) = header.get(..512) else { return false };
    let sum = |range: std::ops::Range<usize>| header[range].iter().map(|byte| u64::from(*byte)).sum::<u64>();
    octal(&header[148..156]) == Some(sum(0..148) + 8 * u64::from(b' ') + sum(156..512))
}

/// What an earlier header said of the next member.
#[derive(Default)]
struct Described {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

/// Visits each member up to the two empty blocks.
pub(super) fn members(from: &mut dyn Read, show: &mut EachMember<'_>) -> io::Result<()> {
    let mut described = Described::default();
    let mut is_first = true;
    loop {
        let mut header = [0; 512];
        match from.read_exact(&mut header) {
            // Not every writer ends it with empty blocks.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !is_first => return Ok(()),
            read => read?,
        }
        is_first = false;
        if header == [0; 512] {
            return Ok(());
        }
        if !is_sound(&header) {
            return Err(invalid("a member of the archive has no header"));
        }
        if header[156] == b'S' {
            sparse(from, &header)?;
        }
        let size =
            octal(&header[124..136]).ok_or_else(|| invalid("a header of the archive has no numbers"))?;
        let mut content = Read::take(&mut *from, size);
        match header[156] {
            b'L' => described.name = Some(text(&mut content)?),
            b'K' => described.target = Some(text(&mut content)?),
            b'x' => pax(&mut content, &mut described, show)?,
            // Of all members: the comment of git-archive(1), for example.
            b'g' => pax(&mut content, &mut Described::default(), show)?,
            kind => {
                let Described { name, target } = std::mem::take(&mut described);
                let name = name.unwrap_or_else(|| own_name(&header));
                let member = |what| Member { name: without_root(&name), what };
                show(member(What::Other), &mut owner(&header).as_slice())?;
                if matches!(kind, b'1' | b'2') {
                    let target = target.unwrap_or_else(|| up_to_zero(&header[157..257]).to_vec());
                    show(member(What::Link), &mut target.as_slice())?;
                }
                if size > 0 {
                    show(member(What::File), &mut content)?;
                }
            }
        }
        let left = content.limit();
        skip(from, left)?;
        skip(from, size.next_multiple_of(BLOCK) - size)?;
    }
}

/// Skips the blocks with more places of a sparse file's data.
fn sparse(from: &mut dyn Read, header: &[u8; 512]) -> io::Result<()> {
    let mut has_more = header[482] != 0;
    while has_more {
        let mut block = [0; 512];
        from.read_exact(&mut block).map_err(|_| invalid("the archive is truncated"))?;
        has_more = block[504] != 0;
    }
    Ok(())
}

/// The names of the user and the group. In the header, digits precede them: there, no name would stand alone.
fn owner(header: &[u8; 512]) -> Vec<u8> {
    [up_to_zero(&header[265..297]), b"\n", up_to_zero(&header[297..329])].concat()
}

/// A prefix, a slash and a name.
fn own_name(header: &[u8; 512]) -> Vec<u8> {
    let (prefix, name) = (up_to_zero(&header[345..500]), up_to_zero(&header[..100]));
    // GNU tar keeps times there.
    if prefix.is_empty() || header[257..265] == *b"ustar  \0" {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// A long name or target.
fn text(content: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(LONGEST_TARGET + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_TARGET {
        return Err(invalid("a member of the archive has no name"));
    }
    Ok(up_to_zero(&bytes).to_vec())
}

/// Lines of a length, a key and a value. All of them are shown, because extended attributes are among them.
fn pax(content: &mut dyn Read, described: &mut Described, show: &mut EachMember<'_>) -> io::Result<()> {
    let mut bytes = Vec::new();
    content.take(LONGEST_DESCRIPTION + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_DESCRIPTION {
        return Err(invalid("a member of the archive has too long a description"));
    }
    let mut rest = bytes.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(&rest[..end]).ok().and_then(|length| length.parse::<usize>().ok());
        let line = length.filter(|length| *length > end + 1).and_then(|length| rest.split_at_checked(length));
        let (line, after) = line.ok_or_else(|| invalid("a description in the archive has no length"))?;
        rest = after;
        let line = line[end + 1..].strip_suffix(b"\n").unwrap_or(&line[end + 1..]);
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (key, mut value) = (&line[..equals], &line[equals + 1..]);
        match key {
            b"path" => described.name = Some(value.to_vec()),
            b"linkpath" => described.target = Some(value.to_vec()),
            _ => show(Member { name: key, what: What::Other }, &mut value)?,
        }
    }
    Ok(())
}

fn up_to_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces or zeros; or, after a first byte of 0x80, a big-endian number (GNU).
fn octal(field: &[u8]) -> Option<u64> {
    if let Some((0x80, digits)) = field.split_first() {
        let (high, low) = digits.split_at(digits.len().saturating_sub(8));
        let number = low.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        return high.iter().all(|byte| *byte == 0).then_some(number);
    }
    let text = std::str::from_utf8(up_to_zero(field)).ok()?.trim();
    if text.is_empty() {
        return Some(0);
    }
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| u64::from_str_radix(text, 8).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_in_fields_of_any_length() {
        assert_eq!(octal(b"0000644\0"), Some(0o644));
        assert_eq!(octal(b" 12 \0\0\0\0"), Some(0o12));
        assert_eq!(octal(&[0x80, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(octal(&[0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), Some(1 << 32));
        assert_eq!(octal(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!((octal(&[0x80]), octal(b""), octal(b"9")), (Some(0), Some(0), None));
        // The checksum's field has 8 bytes.
        let mut header = [0; 512];
        header[257..262].copy_from_slice(b"ustar");
        header[148] = 0x80;
        assert!(!begins(&header));
    }
}
