//! Columns as wide as their widest cell, for people; `--json` is for programs.

/// Lines of a table without trailing spaces. A cell may contain several lines.
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

/// The minimum width of a cell.
const NARROWEST: usize = 8;

/// The table with its cells wrapped so that no line is longer than `width`, if that many columns fit.
pub(super) fn fit(headers: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let wrapped = |limit: usize| {
        let cell = |cell: &String| cell.lines().map(|line| wrap(line, limit)).collect::<Vec<_>>().join("\n");
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        render(headers, &rows)
    };
    let fits = |text: &String| cell_width(text) <= width;
    (NARROWEST..=width).rev().map(wrapped).find(fits).unwrap_or_else(|| wrapped(NARROWEST))
}

/// Breaks `text` so that no line is longer than `width`: between words, and inside longer words.
fn wrap(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace().flat_map(|word| pieces(word, width)) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines.join("\n")
}

/// A word in pieces that are short enough.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(width).map(|piece| piece.iter().collect()).collect()
}

fn cell_width(cell: &str) -> usize {
    cell.lines().map(|line| line.chars().count()).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("/a/very/long x", 4), "/a/v\nery/\nlong\nx");
    }

    #[test]
    fn a_table_shrinks_its_widest_cells_to_fit() {
        let rows = [vec!["git".to_owned(), "one two three four".to_owned(), "/a/long/path".to_owned()]];
        let text = fit(&["name", "why", "found"], &rows, 28);
        assert_eq!(text, "NAME  WHY         FOUND\ngit   one two     /a/long/pa\n      three four  th\n");
        assert!(fit(&["name", "why", "found"], &rows, 60).lines().count() == 2);
    }

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let rows = [vec!["git".into(), "2.39".into()], vec!["mmdebstrap".into(), "a\nb".into()]];
        assert_eq!(
            render(&["program", "found"], &rows),
            "PROGRAM     FOUND\ngit         2.39\nmmdebstrap  a\n            b\n"
        );
    }
}
