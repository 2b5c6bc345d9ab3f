//! Copies bodies from one side to the other as they arrive.

use std::ops::Range;

use super::side::{Side, Stream};
use crate::body::{Body, Progress, Step};
use crate::mask::Mask;

/// Why a body was not copied to its end.
pub(crate) enum Broken {
    /// The side that sends it closed the connection early.
    From,
    /// The other side did.
    To,
    /// Its framing is not accepted, with the reason.
    Malformed(String),
}

/// Copies a body as it arrives; `see` gets its content.
pub(crate) fn copy<A: Stream, B: Stream>(
    from: &mut Side<A>,
    to: &mut Side<B>,
    body: &mut Progress,
    mut see: impl FnMut(&[u8]),
) -> Result<(), Broken> {
    read(from, body, |bytes, content| {
        for part in content {
            see(&bytes[part]);
        }
        to.write(bytes).map_err(|_| Broken::To)
    })
}

/// Copies the body of an answer with secrets masked: with the same length, or in new chunks without trailers.
pub(crate) fn copy_masked<A: Stream, B: Stream>(
    from: &mut Side<A>,
    to: &mut Side<B>,
    body: Body,
    mask: &mut Mask,
) -> Result<(), Broken> {
    let is_chunked = body == Body::Chunked;
    let mut give = |bytes: Vec<u8>| match bytes.len() {
        0 => Ok(()),
        length if is_chunked => to.write(&[format!("{length:x}\r\n").as_bytes(), &bytes, b"\r\n"].concat()),
        _ => to.write(&bytes),
    };
    read(from, &mut Progress::lenient(body), |bytes, content| {
        let shown: Vec<u8> = content.into_iter().flat_map(|part| mask.take(&bytes[part])).collect();
        give(shown).map_err(|_| Broken::To)
    })?;
    give(mask.finish()).map_err(|_| Broken::To)?;
    if is_chunked { to.write(b"0\r\n\r\n").map_err(|_| Broken::To) } else { Ok(()) }
}

/// Reads the rest of a body that the other side no longer accepts.
pub(crate) fn drain<A: Stream>(
    from: &mut Side<A>,
    body: &mut Progress,
    mut see: impl FnMut(&[u8]),
) -> Result<(), Broken> {
    read(from, body, |bytes, content| {
        for part in content {
            see(&bytes[part]);
        }
        Ok(())
    })
}

/// Reads a body to its end; `put` gets the received bytes, and the ranges of content in them.
fn read<A: Stream>(
    from: &mut Side<A>,
    body: &mut Progress,
    mut put: impl FnMut(&[u8], Vec<Range<usize>>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    loop {
        // Write all received bytes at once, so that an event that arrived whole is passed on whole.
        let (mut passed, mut content) = (0, Vec::new());
        let is_done = loop {
            let is_content = body.is_content();
            match body.next(&from.ahead()[passed..]).map_err(Broken::Malformed)? {
                Step::Pass(count) => {
                    if is_content {
                        content.push(passed..passed + count);
                    }
                    passed += count;
                }
                Step::Wait => break false,
                Step::Done => break true,
            }
        };
        if passed > 0 {
            let put = put(&from.ahead()[..passed], content);
            // Take them even if `put` failed: they were parsed.
            from.take(passed);
            put?;
        }
        if is_done {
            return Ok(());
        }
        if from.fill().map_err(|_| Broken::From)? == 0 {
            return Err(Broken::From);
        }
    }
}
