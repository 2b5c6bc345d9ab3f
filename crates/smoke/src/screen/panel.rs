//! Finds a desktop's panel: a band along the whole upper edge in one colour, with icons and text on it.
//!
//! The band's rows share a background that the rows below do not have. A panel at another edge, one in the colour of
//! the area right below it, and a transparent one are not found. The bar of a login screen counts as a panel too: it
//! looks the same.

use std::collections::HashMap;

use super::colour::{Colour, coarse, share};

/// The lowest panel, pixels. More than the 16 of a line of a text console, whose first line may be in reverse video.
pub(super) const LOWEST: usize = 20;
/// The highest panel, pixels. Xfce's has 26 by default, and grows with large fonts.
pub(super) const HIGHEST: usize = 64;
/// Rows at the edge that may have another colour: a border.
const BORDER: usize = 2;
/// Rows below the panel that must not look like it.
const BELOW: usize = 8;
/// How many of a picture's first rows are examined.
pub(super) const ROWS: usize = BORDER + HIGHEST + BELOW;
/// A row belongs to the band if this share of it has the band's colour: window buttons may take the rest.
const ROW_SHARE: f64 = 0.4;
/// How far a channel may differ from the band's colour, of 255: some themes shade it.
const TOLERANCE: u8 = 16;
/// The minimum share of the band that icons and text take: a menu's label and a clock take about 3 per cent.
const CONTENT: f64 = 0.005;
/// The band reaches both edges: at least this share of the outermost [`EDGE`] of the columns has its colour. An icon
/// may be there.
const EDGE_SHARE: f64 = 0.2;
/// One in this many columns belongs to an edge.
const EDGE: usize = 20;

/// A panel that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panel {
    /// Its height, pixels, without its border.
    pub height: u32,
    /// The share of it that is not its background, over 0 to 1.
    pub content: f64,
}

impl Panel {
    /// Examines the first [`ROWS`] rows of a picture.
    pub(super) fn find(top: &[Vec<Colour>]) -> Option<Self> {
        let background = commonest(top.get(BORDER..LOWEST)?)?;
        let is_band = |row: &Vec<Colour>| like(row, background) >= ROW_SHARE;
        let first = top.iter().position(is_band).filter(|first| *first <= BORDER)?;
        let height = top[first..].iter().take_while(|row| is_band(row)).count();
        let below = top.get(first + height..first + height + BELOW)?;
        if !(LOWEST..=HIGHEST).contains(&height) || below.iter().any(is_band) {
            return None;
        }
        let band = &top[first..first + height];
        let edge = band[0].len() / EDGE;
        let reaches = |of: fn(&Vec<Colour>, usize) -> &[Colour]| {
            mean(band.iter().map(|row| like(of(row, edge), background))) >= EDGE_SHARE
        };
        let content = 1.0 - mean(band.iter().map(|row| like(row, background)));
        let is_panel = content >= CONTENT
            && reaches(|row, edge| &row[..edge])
            && reaches(|row, edge| &row[row.len() - edge..]);
        is_panel.then(|| Self { height: u32::try_from(height).unwrap_or(u32::MAX), content })
    }
}

/// The share of pixels with approximately this colour.
fn like(pixels: &[Colour], colour: Colour) -> f64 {
    let near =
        |pixel: &&Colour| pixel.iter().zip(colour).all(|(one, other)| one.abs_diff(other) <= TOLERANCE);
    share(pixels.iter().filter(near).count() as u64, pixels.len() as u64)
}

/// One colour from the most common group of similar colours.
fn commonest(rows: &[Vec<Colour>]) -> Option<Colour> {
    let mut counts: HashMap<usize, (u64, Colour)> = HashMap::new();
    for pixel in rows.iter().flatten() {
        counts.entry(coarse(*pixel)).or_insert((0, *pixel)).0 += 1;
    }
    counts.into_values().max_by_key(|(count, _)| *count).map(|(_, colour)| colour)
}

fn mean(shares: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = u32::try_from(shares.len()).unwrap_or(u32::MAX);
    shares.sum::<f64>() / f64::from(count.max(1))
}
