//! The files of a folder over HTTP/1.1 (RFC 9112).

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Component, Path};

/// Answers requests until the client sends no more; each calls `asked`.
pub(super) fn files(stream: impl Read + Write, folder: &Path, asked: &mut dyn FnMut()) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while stream.read_line(&mut line)? > 2 {
            line.clear();
        }
        asked();
        let path = request.split_whitespace().nth(1).unwrap_or_default().trim_start_matches('/');
        let below =
            Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let content = if below { fs::read(folder.join(path)).ok() } else { None };
        let status = if content.is_some() { "200 OK" } else { "404 Not Found" };
        let content = content.unwrap_or_default();
        let out = stream.get_mut();
        write!(out, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", content.len())?;
        out.write_all(&content)?;
        out.flush()?;
    }
}
