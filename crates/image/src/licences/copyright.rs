//! Machine-readable copyright files of Debian: <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>.

use super::expression::Expression;
use super::{debian_name, valid};

/// The maximum size that is read, bytes: the largest files, those of browsers, have about two million.
pub const LIMIT: u64 = 8 << 20;

/// The maximum number of paragraphs about files, and the longest short name of a licence. The largest files have a few
/// hundred paragraphs.
const MOST: usize = 5000;
const LONGEST: usize = 500;

/// The licences of all files of a source package as an SPDX expression; none if the file is not machine-readable.
pub fn of_copyright(text: &[u8]) -> Option<String> {
    if u64::try_from(text.len()).ok()? > LIMIT {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    let mut paragraphs = Paragraphs { lines: text.lines() };
    paragraphs.next().filter(Paragraph::is_header)?;
    let mut parts = Vec::new();
    for paragraph in paragraphs.filter(|paragraph| paragraph.has_files) {
        let licence = paragraph.licence.filter(|licence| !licence.is_empty() && licence.len() <= LONGEST)?;
        if parts.len() >= MOST {
            return None;
        }
        parts.push(synopsis(licence)?);
    }
    if parts.is_empty() {
        return None;
    }
    valid(Expression::all(parts).to_string())
}

/// The relevant fields of a paragraph.
#[derive(Debug, Default)]
struct Paragraph<'a> {
    format: Option<&'a str>,
    has_files: bool,
    /// The first line of the field: the short name.
    licence: Option<&'a str>,
}

impl Paragraph<'_> {
    fn is_header(&self) -> bool {
        // The second one predates version 1.0 of the format.
        self.format.is_some_and(|format| format.contains("copyright-format") || format.contains("dep5"))
    }
}

/// The paragraphs of a control file (deb822(5)): blank lines separate them.
struct Paragraphs<'a> {
    lines: std::str::Lines<'a>,
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Paragraph<'a>;

    fn next(&mut self) -> Option<Paragraph<'a>> {
        let mut lines =
            self.lines.by_ref().skip_while(|line| line.trim().is_empty() || line.starts_with('#'));
        let mut paragraph = Paragraph::default();
        let mut line = lines.next()?;
        loop {
            let field = line.split_once(':').filter(|_| !line.starts_with([' ', '\t', '#']));
            if let Some((name, value)) = field {
                match name.to_ascii_lowercase().as_str() {
                    "format" => paragraph.format = Some(value.trim()),
                    "files" => paragraph.has_files = true,
                    "license" => paragraph.licence = Some(value.trim()),
                    _ => {}
                }
            }
            match self.lines.next() {
                Some(next) if !next.trim().is_empty() => line = next,
                _ => return Some(paragraph),
            }
        }
    }
}

/// A short name, or several: `and` binds closer than `or`, and a comma before either binds least.
fn synopsis(text: &str) -> Option<Expression> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ").replace(" or later", "+");
    if let Some(parts) = split(&text, ", or ") {
        return parts.map(synopsis).collect::<Option<_>>().map(Expression::any);
    }
    if let Some(parts) = split(&text, ", and ") {
        return parts.map(synopsis).collect::<Option<_>>().map(Expression::all);
    }
    let choice = |text: &str| {
        text.split(" and ").map(debian_name::expression).collect::<Option<_>>().map(Expression::all)
    };
    text.split(" or ").map(choice).collect::<Option<_>>().map(Expression::any)
}

fn split<'a>(text: &'a str, by: &'a str) -> Option<impl Iterator<Item = &'a str>> {
    text.contains(by).then(|| text.split(by))
}
