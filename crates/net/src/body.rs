//! Finds the end of an HTTP/1 message's body (RFC 9112, 6 and 7).

/// The longest chunk size line of a request, in bytes.
const MAX_CHUNK_LINE: usize = 64;
/// The longest line of chunk extensions or trailers of an answer, in bytes.
const MAX_LINE: usize = 8 * 1024;

/// The length of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// This many bytes.
    Length(u64),
    /// Chunked: it ends with an empty chunk.
    Chunked,
}

/// What to do with the next bytes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pass this many on.
    Pass(usize),
    /// Wait for more.
    Wait,
    /// The body is complete.
    Done,
}

/// A body that arrives in pieces.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    state: State,
    /// For an answer: chunk extensions and trailers are accepted.
    is_lenient: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// This many bytes are left, of the body or of a chunk.
    Content {
        left: u64,
        is_chunk: bool,
    },
    /// A chunk's size line.
    ChunkSize,
    /// The end of a chunk's line; after the last chunk, trailers may follow.
    LineEnd {
        is_last: bool,
    },
    Done,
}

impl Progress {
    /// For a request: refuses whatever servers interpret differently.
    pub(crate) fn strict(body: Body) -> Self {
        Self::new(body, false)
    }

    /// For an answer.
    pub(crate) fn lenient(body: Body) -> Self {
        Self::new(body, true)
    }

    fn new(body: Body, is_lenient: bool) -> Self {
        let state = match body {
            Body::Length(0) => State::Done,
            Body::Length(left) => State::Content { left, is_chunk: false },
            Body::Chunked => State::ChunkSize,
        };
        Self { state, is_lenient }
    }

    /// Whether all of the body was passed on.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether the next bytes are content, as opposed to chunk framing.
    pub(crate) fn is_content(&self) -> bool {
        matches!(self.state, State::Content { .. })
    }

    /// Looks at the bytes that have arrived and were not passed on yet.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<Step, String> {
        if self.is_done() {
            return Ok(Step::Done);
        }
        if bytes.is_empty() {
            return Ok(Step::Wait);
        }
        match self.state {
            State::Content { left, is_chunk } => Ok(self.content(bytes, left, is_chunk)),
            State::ChunkSize => self.chunk_size(bytes),
            State::LineEnd { is_last: true } if self.is_lenient => self.trailer(bytes),
            State::LineEnd { is_last } => self.line_end(bytes, is_last),
            State::Done => Ok(Step::Done),
        }
    }

    fn content(&mut self, bytes: &[u8], left: u64, is_chunk: bool) -> Step {
        let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let left = left - count as u64;
        self.state = match (left, is_chunk) {
            (0, true) => State::LineEnd { is_last: false },
            (0, false) => State::Done,
            _ => State::Content { left, is_chunk },
        };
        Step::Pass(count)
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<Step, String> {
        let most = if self.is_lenient { MAX_LINE } else { MAX_CHUNK_LINE };
        let Some(end) = line(bytes, most).map_err(|()| "a chunk's size is too long")? else {
            return Ok(Step::Wait);
        };
        let text = std::str::from_utf8(&bytes[..end]).unwrap_or_default();
        // Servers interpret extensions differently, and no client sends them.
        let digits =
            if self.is_lenient { text.split(';').next().unwrap_or_default().trim_end() } else { text };
        let is_size = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size =
            u64::from_str_radix(digits, 16).ok().filter(|_| is_size).ok_or("a chunk has no plain size")?;
        self.state = match size {
            0 => State::LineEnd { is_last: true },
            left => State::Content { left, is_chunk: true },
        };
        Ok(Step::Pass(end + 2))
    }

    fn line_end(&mut self, bytes: &[u8], is_last: bool) -> Result<Step, String> {
        if !b"\r\n".starts_with(&bytes[..bytes.len().min(2)]) {
            return Err(
                if is_last { "a request has fields after its body" } else { "a chunk has no end" }.into()
            );
        }
        if bytes.len() < 2 {
            return Ok(Step::Wait);
        }
        self.state = if is_last { State::Done } else { State::ChunkSize };
        Ok(Step::Pass(2))
    }

    /// A trailer field, or the empty line.
    fn trailer(&mut self, bytes: &[u8]) -> Result<Step, String> {
        let Some(end) = line(bytes, MAX_LINE).map_err(|()| "a field after a body is too long")? else {
            return Ok(Step::Wait);
        };
        if end == 0 {
            self.state = State::Done;
        }
        Ok(Step::Pass(end + 2))
    }
}

/// The offset of the line's end; nothing if it has not arrived yet.
fn line(bytes: &[u8], most: usize) -> Result<Option<usize>, ()> {
    let window = &bytes[..bytes.len().min(most)];
    match window.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) => Ok(Some(end)),
        None if window.len() == most => Err(()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(mut progress: Progress, bytes: &[u8], size: usize) -> Result<(usize, bool), String> {
        let (mut passed, mut end) = (0, 0);
        loop {
            match progress.next(&bytes[passed..end])? {
                Step::Pass(count) => passed += count,
                Step::Done => return Ok((passed, true)),
                Step::Wait if end == bytes.len() => return Ok((passed, false)),
                Step::Wait => end = bytes.len().min(end + size),
            }
        }
    }

    #[test]
    fn only_responses_may_have_chunk_extensions_and_trailers() {
        let body = b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n";
        for size in [1, 4, 100] {
            let next = [&body[..], b"HTTP/1.1"].concat();
            assert_eq!(feed(Progress::lenient(Body::Chunked), &next, size), Ok((body.len(), true)));
        }
        assert!(feed(Progress::strict(Body::Chunked), body, 100).is_err());
        assert!(feed(Progress::strict(Body::Chunked), b"0\r\nX: y\r\n\r\n", 100).is_err());
        assert!(feed(Progress::lenient(Body::Chunked), &[b'0'; MAX_LINE], 100).is_err());
    }

    #[test]
    fn content_length_is_enforced() {
        assert_eq!(feed(Progress::strict(Body::Length(3)), b"abcdef", 2), Ok((3, true)));
        assert_eq!(feed(Progress::strict(Body::Length(3)), b"ab", 2), Ok((2, false)));
        assert_eq!(feed(Progress::strict(Body::Length(0)), b"ab", 2), Ok((0, true)));
    }
}
