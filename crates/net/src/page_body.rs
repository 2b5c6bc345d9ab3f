//! Passes on the bytes after a head that belong to its body.

use crate::body::Body;

/// The longest size line of a chunk, and the most bytes of all trailers together.
const MAX_LINE: usize = 8 * 1024;

/// The position in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// This many bytes are left, of the body or of a chunk.
    Left { left: u64, is_chunk: bool },
    /// A chunk's size line.
    Size,
    /// The end of a chunk.
    ChunkEnd,
    /// Trailers after the last chunk, with their bytes so far; they are dropped.
    Trailer(usize),
    /// A body that ends with the connection.
    UntilEnd,
    /// The body is complete.
    Over,
}

impl Bytes {
    /// The beginning of a body; without a length it ends with the connection.
    pub(crate) fn of(body: Option<Body>) -> Self {
        match body {
            Some(Body::Length(0)) => Self::Over,
            Some(Body::Length(left)) => Self::Left { left, is_chunk: false },
            Some(Body::Chunked) => Self::Size,
            None => Self::UntilEnd,
        }
    }

    /// Moves the received part of the body. Fails if it is malformed.
    pub(crate) fn pass(&mut self, from: &mut Vec<u8>, to: &mut Vec<u8>) -> Result<(), String> {
        while !from.is_empty() && *self != Self::Over {
            match *self {
                Self::UntilEnd => to.append(from),
                Self::Left { left, is_chunk } => {
                    let count = from.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    to.extend(from.drain(..count));
                    *self = match (left - count as u64, is_chunk) {
                        (0, true) => Self::ChunkEnd,
                        (0, false) => Self::Over,
                        (left, _) => Self::Left { left, is_chunk },
                    };
                }
                Self::ChunkEnd => {
                    if !b"\r\n".starts_with(&from[..from.len().min(2)]) {
                        return Err("a chunk has no end".into());
                    }
                    if from.len() < 2 {
                        return Ok(());
                    }
                    to.extend(from.drain(..2));
                    *self = Self::Size;
                }
                Self::Size => {
                    let Some(line) = line(from)? else { return Ok(()) };
                    let digits = line.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t']);
                    let is_size = (1..=15).contains(&digits.len())
                        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                    let size = u64::from_str_radix(digits, 16).ok().filter(|_| is_size);
                    let size = size.ok_or("a chunk has no plain size")?;
                    // Programs interpret chunk extensions differently, so drop them.
                    to.extend(format!("{size:x}\r\n").as_bytes());
                    *self = match size {
                        0 => Self::Trailer(0),
                        left => Self::Left { left, is_chunk: true },
                    };
                }
                Self::Trailer(seen) => {
                    let Some(line) = line(from)? else { return Ok(()) };
                    let seen = seen + line.len() + 2;
                    if line.is_empty() {
                        to.extend(b"\r\n");
                        *self = Self::Over;
                    } else if seen > MAX_LINE {
                        return Err("the fields after its body are too long".into());
                    } else {
                        *self = Self::Trailer(seen);
                    }
                }
                Self::Over => {}
            }
        }
        Ok(())
    }
}

/// Takes a line from the front, without its line end.
fn line(from: &mut Vec<u8>) -> Result<Option<String>, String> {
    let window = &from[..from.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if window.len() == MAX_LINE {
            Err("a line of its body is too long".into())
        } else {
            Ok(None)
        };
    };
    let bytes: Vec<u8> = from.drain(..=end).collect();
    let text = bytes.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
    let text =
        text.filter(|text| !text.contains('\r')).ok_or("a line of its body has an incomplete line end")?;
    Ok(Some(text.to_owned()))
}
