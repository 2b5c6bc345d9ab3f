//! Words and figures of the page.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use maud::{Escaper, Render};

use rave_vm::terminal_text;

/// A text that may come from outside: from a guest, a program, or a file's name.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Render for Text<'_> {
    fn render_to(&self, buffer: &mut String) {
        let plain = terminal_text::plain(self.0);
        // Writing to a String cannot fail.
        let _ = Escaper::new(buffer).write_str(plain.trim_end_matches('\n'));
    }
}

/// `1 line`, `2 lines`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(count)) }
}

fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.2 s`.
pub(super) fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

/// A longer time: `45.2 s`, `5 min 12 s`, `1 h 2 min`.
pub(super) fn span(seconds: f64) -> String {
    if seconds < 60.0 {
        return self::seconds(seconds);
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    match whole / 3600 {
        0 => format!("{} min {} s", whole / 60, whole % 60),
        hours => format!("{hours} h {} min", whole % 3600 / 60),
    }
}

/// Formats an RFC 3339 date as `24 November 2026, 11:40 UTC`; any other text is returned unchanged.
pub(super) fn date(rfc3339: &str) -> String {
    match DateTime::parse_from_rfc3339(rfc3339) {
        Ok(date) => date.with_timezone(&Utc).format("%-d %B %Y, %H:%M UTC").to_string(),
        Err(_) => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(
            Text("</pre><script>\u{1b}[31malert(\"1\" & 2)\u{1b}[0m\0\n").render().into_string(),
            "&lt;/pre&gt;&lt;script&gt;alert(&quot;1&quot; &amp; 2)"
        );
    }

    #[test]
    fn numbers_are_formatted_for_people() {
        let lines = [0, 1, 999, 1000, 1_234_567].map(|count| plural(count, "line"));
        assert_eq!(lines, ["0 lines", "1 line", "999 lines", "1,000 lines", "1,234,567 lines"]);
        let spans = [0.04, 59.94, 60.0, 312.3, 3600.0, 7384.0].map(span);
        assert_eq!(spans, ["0.0 s", "59.9 s", "1 min 0 s", "5 min 12 s", "1 h 0 min", "2 h 3 min"]);
        assert_eq!(date("2026-11-04T01:40:26Z"), "4 November 2026, 01:40 UTC");
        assert_eq!(date("yesterday"), "yesterday");
    }
}
