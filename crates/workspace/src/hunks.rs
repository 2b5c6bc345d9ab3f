//! Compares two texts line by line.

use std::fmt::Write as _;
use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// Lines of context around a difference, as in diff(1) and git.
const CONTEXT: usize = 3;

/// The largest product of the numbers of lines, without the common beginning and end, for a detailed comparison. It
/// takes some seconds for texts that are made to be slow.
const MOST: usize = 400_000_000;

/// Two texts and their differences.
#[derive(Debug)]
pub struct Texts<'a> {
    before: Vec<&'a [u8]>,
    after: Vec<&'a [u8]>,
    /// Line ranges that differ: before, after.
    differences: Vec<(Range<usize>, Range<usize>)>,
}

/// Differences that are close enough to be shown together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    before: Range<usize>,
    after: Range<usize>,
    differences: Range<usize>,
}

/// Which texts have a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Both.
    Both,
    /// Only the first.
    Removed,
    /// Only the second.
    Added,
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

impl<'a> Texts<'a> {
    /// Compares two texts. The time is bounded: texts that differ too much are one difference.
    pub fn new(before: &'a [u8], after: &'a [u8]) -> Self {
        let (old, new) = (lines(before), lines(after));
        let first = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
        let ends = old[first..].iter().rev().zip(new[first..].iter().rev());
        let last = ends.take_while(|(one, other)| one == other).count();
        let (old_end, new_end) = (old.len() - last, new.len() - last);
        let differences = if (old_end - first).saturating_mul(new_end - first) > MOST {
            vec![(first..old_end, first..new_end)]
        } else {
            let input = InternedInput::new(before, after);
            let mut diff = Diff::compute(Algorithm::Histogram, &input);
            diff.postprocess_lines(&input);
            let range = |range: Range<u32>| range.start as usize..range.end as usize;
            diff.hunks().map(|hunk| (range(hunk.before), range(hunk.after))).collect()
        };
        Self { before: old, after: new, differences }
    }

    /// The numbers of added and removed lines.
    pub fn counts(&self) -> (usize, usize) {
        let sum = |of: fn(&(Range<usize>, Range<usize>)) -> usize| self.differences.iter().map(of).sum();
        (sum(|(_, after)| after.len()), sum(|(before, _)| before.len()))
    }

    /// The differences, grouped for display.
    pub fn hunks(&self) -> Vec<Hunk> {
        let mut hunks: Vec<Hunk> = Vec::new();
        for (number, (before, after)) in self.differences.iter().enumerate() {
            let around = |range: &Range<usize>, length: usize| {
                range.start.saturating_sub(CONTEXT)..(range.end + CONTEXT).min(length)
            };
            let (before, after) = (around(before, self.before.len()), around(after, self.after.len()));
            match hunks.last_mut() {
                Some(last) if before.start <= last.before.end => {
                    last.before.end = before.end;
                    last.after.end = after.end;
                    last.differences.end = number + 1;
                }
                _ => hunks.push(Hunk { before, after, differences: number..number + 1 }),
            }
        }
        hunks
    }

    /// The lines of a hunk.
    pub fn lines(&self, hunk: &Hunk) -> Vec<(Side, &'a [u8])> {
        let mut all = Vec::new();
        let mut at = hunk.before.start;
        for (before, after) in &self.differences[hunk.differences.clone()] {
            all.extend(self.before[at..before.start].iter().map(|line| (Side::Both, *line)));
            all.extend(self.before[before.clone()].iter().map(|line| (Side::Removed, *line)));
            all.extend(self.after[after.clone()].iter().map(|line| (Side::Added, *line)));
            at = before.end;
        }
        all.extend(self.before[at..hunk.before.end].iter().map(|line| (Side::Both, *line)));
        all
    }

    /// `@@ -1,3 +1,4 @@`, as POSIX defines it for diff -u.
    pub fn head(hunk: &Hunk) -> String {
        let mut head = "@@".to_owned();
        for (sign, range) in [('-', &hunk.before), ('+', &hunk.after)] {
            // An empty range has the number of the line before it.
            let start = if range.is_empty() { range.start } else { range.start + 1 };
            let _ = match range.len() {
                1 => write!(head, " {sign}{start}"),
                length => write!(head, " {sign}{start},{length}"),
            };
        }
        head + " @@"
    }

    /// The first text with those hunks of the second whose numbers `is_wanted` accepts.
    pub fn with(&self, is_wanted: &dyn Fn(usize) -> bool) -> Vec<u8> {
        let mut text = Vec::new();
        let mut at = 0;
        for (number, hunk) in self.hunks().iter().enumerate() {
            if !is_wanted(number) {
                continue;
            }
            for (before, after) in &self.differences[hunk.differences.clone()] {
                text.extend(self.before[at..before.start].iter().copied().flatten());
                text.extend(self.after[after.clone()].iter().copied().flatten());
                at = before.end;
            }
        }
        text.extend(self.before[at..].iter().copied().flatten());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(before: &str, after: &str) -> String {
        let texts = Texts::new(before.as_bytes(), after.as_bytes());
        let mut all = String::new();
        for hunk in texts.hunks() {
            all += &Texts::head(&hunk);
            all += "\n";
            for (side, line) in texts.lines(&hunk) {
                all.push(match side {
                    Side::Both => ' ',
                    Side::Removed => '-',
                    Side::Added => '+',
                });
                all += std::str::from_utf8(line).unwrap();
            }
        }
        all
    }

    #[test]
    fn hunks_match_those_of_diff() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        let after = "1\n2\nx\n4\n5\n6\n7\n8\n9\n10\n11\n";
        assert_eq!(
            shown(before, after),
            "@@ -1,6 +1,6 @@\n 1\n 2\n-3\n+x\n 4\n 5\n 6\n@@ -9,4 +9,3 @@\n 9\n 10\n 11\n-12\n"
        );
        assert_eq!(shown("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
        assert_eq!(shown("a\n", ""), "@@ -1 +0,0 @@\n-a\n");
        assert_eq!(shown("a", "b\n"), "@@ -1 +1 @@\n-a+b\n");
    }

    #[test]
    fn single_hunks_can_be_applied() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        let after = "1\n2\nx\n4\n5\n6\n7\n8\n9\n10\n11\n";
        let texts = Texts::new(before.as_bytes(), after.as_bytes());
        assert_eq!(texts.counts(), (1, 2));
        assert_eq!(texts.with(&|number| number == 1), b"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n");
        assert_eq!(texts.with(&|_| true), after.as_bytes());
        assert_eq!(texts.with(&|_| false), before.as_bytes());
    }

    /// Four different lines in random order: no line is rare, so no shortcut helps.
    fn hard(lines: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let line = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{}\n", state >> 62)
        };
        (0..lines).map(line).collect::<String>().into_bytes()
    }

    #[test]
    fn adversarial_input_is_not_slow() {
        for lines in [4_000, 1_000_000] {
            let started = std::time::Instant::now();
            let (before, after) = (hard(lines, 1), hard(lines, 2));
            let texts = Texts::new(&before, &after);
            assert_eq!(texts.hunks().len() == 1, lines > 20_000);
            assert_eq!(texts.with(&|_| true), after);
            assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
        }
    }

    proptest! {
        #[test]
        fn all_hunks_produce_the_second_text(before in "[abc\n]{0,60}", after in "[abc\n]{0,60}") {
            let texts = Texts::new(before.as_bytes(), after.as_bytes());
            prop_assert_eq!(texts.with(&|_| true), after.as_bytes());
            prop_assert_eq!(texts.with(&|_| false), before.as_bytes());
        }
    }
}
