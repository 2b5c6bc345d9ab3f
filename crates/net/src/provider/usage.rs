//! Reads the number of tokens from an answer as it passes by: JSON, or a stream of events.

use serde_json::Value;

use crate::model::Tokens;

/// The longest answer, or line of a stream, that is parsed, in bytes.
const MOST: usize = 8 << 20;

/// Collects an answer that arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    is_stream: bool,
    /// The answer, or the last line of a stream.
    text: Vec<u8>,
    /// The line, or the answer, is too long to be parsed.
    is_lost: bool,
    model: Option<String>,
    tokens: Tokens,
    /// Events of a stream with a part of the answer, each of which has a token or more.
    parts: u64,
}

impl Reader {
    pub(crate) fn new(is_stream: bool) -> Self {
        Self { is_stream, ..Self::default() }
    }

    /// Takes bytes of the body.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if !self.is_stream {
            return self.keep(bytes);
        }
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        for piece in &mut lines {
            self.keep(piece);
            if piece.ends_with(b"\n") {
                self.line();
            }
        }
    }

    /// The model and its tokens, once the body is complete.
    pub(crate) fn finish(mut self) -> (Option<String>, Tokens) {
        if !self.is_stream && !self.is_lost {
            let text = std::mem::take(&mut self.text);
            self.read(&text);
        }
        // A stream that was cut off before its totals was used up to there.
        self.tokens.output = self.tokens.output.max(self.parts);
        (self.model, self.tokens)
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_lost || self.text.len() + bytes.len() > MOST {
            self.is_lost = true;
            self.text = Vec::new();
        } else {
            self.text.extend(bytes);
        }
    }

    fn line(&mut self) {
        let text = std::mem::take(&mut self.text);
        let is_lost = std::mem::take(&mut self.is_lost);
        if let Some(data) = text.strip_prefix(b"data:").filter(|_| !is_lost) {
            self.read(data);
        }
    }

    /// Parses an answer, or an event: `message_start` has the message, `message_delta` has totals.
    fn read(&mut self, text: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
        if self.is_stream && value["type"] == "content_block_delta" {
            self.parts += 1;
        }
        for place in [&value, &value["message"]] {
            if let Some(model) = place["model"].as_str() {
                self.model = Some(model.chars().take(100).collect());
            }
            let usage = &place["usage"];
            let count = |name: &str| usage[name].as_u64().unwrap_or_default();
            let tokens = &mut self.tokens;
            tokens.input = tokens.input.max(count("input_tokens"));
            tokens.output = tokens.output.max(count("output_tokens"));
            tokens.cache_write = tokens.cache_write.max(count("cache_creation_input_tokens"));
            tokens.cache_read = tokens.cache_read.max(count("cache_read_input_tokens"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(is_stream: bool, text: &str, size: usize) -> (Option<String>, Tokens) {
        let mut reader = Reader::new(is_stream);
        text.as_bytes().chunks(size).for_each(|piece| reader.take(piece));
        reader.finish()
    }

    #[test]
    fn tokens_are_counted_in_responses_and_streams() {
        let tokens = Tokens { input: 10, output: 7, cache_write: 2, cache_read: 3 };
        let usage = r#"{"input_tokens":10,"output_tokens":OUT,"cache_creation_input_tokens":2,"cache_read_input_tokens":3}"#;
        let whole = format!(r#"{{"model":"m-1","content":[],"usage":{}}}"#, usage.replace("OUT", "7"));
        let stream = format!(
            "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"model\":\"m-1\",\"usage\":{}}}}}\n\n\
             event: ping\ndata: {{}}\n\ndata: not JSON\n\ndata: {{\"usage\":{{\"output_tokens\":7}}}}\r\n\r\n",
            usage.replace("OUT", "1")
        );
        for size in [1, 13, 10_000] {
            assert_eq!(read(false, &whole, size), (Some("m-1".into()), tokens));
            assert_eq!(read(true, &stream, size), (Some("m-1".into()), tokens));
        }
        assert_eq!(read(false, "\"usage\"", 3), (None, Tokens::default()));
    }

    #[test]
    fn a_stream_that_was_cut_off_counts_what_it_had_sent() {
        let start = r#"data: {"type":"message_start","message":{"model":"m","usage":{"output_tokens":1}}}"#;
        let part = r#"data: {"type":"content_block_delta","delta":{"text":"word"}}"#;
        let stream = format!("{start}\n\n{}", format!("{part}\n\n").repeat(40));
        assert_eq!(read(true, &stream, 100).1.output, 40);
        let whole = format!("{stream}data: {{\"usage\":{{\"output_tokens\":55}}}}\n\n");
        assert_eq!(read(true, &whole, 100).1.output, 55);
    }

    #[test]
    fn memory_is_bounded() {
        for is_stream in [false, true] {
            let mut reader = Reader::new(is_stream);
            for _ in 0..20 {
                reader.take(&vec![b'x'; 1 << 20]);
                assert!(reader.text.len() <= MOST);
            }
            reader.take(b"\ndata: {\"usage\":{\"output_tokens\":7}}\n");
            assert_eq!(reader.finish().1.output, if is_stream { 7 } else { 0 });
        }
    }
}
