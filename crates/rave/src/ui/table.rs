//! Columns as wide as their widest cell, for people; `--json` is for programs.

/// Lines of a table without trailing spaces. A cell may hold several lines.
pub(super) fn render(headers: &[&str], rows: &[Vec<String>]) -> String {
    let header = headers.iter().map(|cell| cell.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows.iter().cloned()).collect();
    let widths: Vec<usize> = (0..headers.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell_width(cell)).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in &rows {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or_default().max(1);
        for line in 0..height {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| {
                let part = cell.lines().nth(line).unwrap_or_default();
                format!("{part:width$}")
            });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
    }
    text
}

/// Breaks `text` between words so that no line is longer than `width`, but for words that are.
pub(super) fn wrap(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn cell_width(cell: &str) -> usize {
    cell.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("/a/very/long/path x", 4), "/a/very/long/path\nx");
    }

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let rows = [vec!["git".into(), "2.39".into()], vec!["mmdebstrap".into(), "a\nb".into()]];
        assert_eq!(
            render(&["program", "found"], &rows),
            "PROGRAM     FOUND\ngit         2.39\nmmdebstrap  a\n            b\n"
        );
    }
}
