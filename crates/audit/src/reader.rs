//! Reads the lines of a record, also while they are being written.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use crate::error::Error;
use crate::files::Files;
use crate::line::MAX_LINE;

/// Reads lines, starting at the first.
#[derive(Debug)]
pub struct Reader {
    files: Files,
    file: BufReader<File>,
    /// The beginning of a line whose end was not written yet.
    partial: Vec<u8>,
}

impl Reader {
    /// Opens a record.
    pub fn open(files: &Files) -> Result<Self, Error> {
        let file = File::open(&files.record).map_err(|e| Error::io("open", &files.record, e))?;
        Ok(Self { files: files.clone(), file: BufReader::new(file), partial: Vec::new() })
    }

    /// The next complete line without its line feed; nothing if there is none yet. A line that is too long is returned
    /// in pieces.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let room = (MAX_LINE - self.partial.len()) as u64;
        let read = self.file.by_ref().take(room).read_until(b'\n', &mut self.partial);
        read.map_err(|e| Error::io("read", &self.files.record, e))?;
        if self.partial.last() == Some(&b'\n') {
            self.partial.pop();
        } else if self.partial.len() < MAX_LINE {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.partial)))
    }

    /// Bytes of an incomplete last line.
    pub fn rest(&self) -> usize {
        self.partial.len()
    }
}
