//! Analyses a screenshot: how uniform it is, and whether it shows a desktop's panel.

mod colour;
mod panel;

use std::fs::File;
use std::io::{self, BufReader};

use camino::{Utf8Path, Utf8PathBuf};
use png::{Decoder, Transformations};

use colour::{Colour, Counts, colour};
pub use panel::Panel;

/// A screen with at least this share of one colour counts as blank. A cursor takes less than a thousandth; the sparsest
/// desktop, a plain background below a panel of 26 of 800 rows, shows more than 3 per cent in other colours.
pub const BLANK_SHARE: f64 = 0.995;

/// The maximum width and height of a screenshot, pixels: the memory used grows with the width.
pub const LARGEST_SIDE: u32 = 16_384;

/// A screenshot in figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Screen {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The share of pixels with the most common colour, from 0 to 1. Colours that differ by less than 8 of 255 steps
    /// may count as one, so that memory does not grow with the number of colours.
    pub largest_share: f64,
    /// The panel at the upper edge, if any.
    pub panel: Option<Panel>,
}

/// Why a screenshot could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// The file cannot be opened.
    #[error("could not read the screenshot {path}: {source}")]
    Io {
        /// The system's error.
        path: Utf8PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a PNG, or a damaged one.
    #[error("the screenshot {path} is not a complete PNG: {source}")]
    Png {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        source: png::DecodingError,
    },
    /// A PNG that cannot be a screenshot.
    #[error("the screenshot {path} has {width} x {height} pixels{}", if *.interlaced { ", interlaced" } else { "" })]
    Unlikely {
        /// The file.
        path: Utf8PathBuf,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Whether its rows are out of order.
        interlaced: bool,
    },
}

impl Screen {
    /// Reads a PNG row by row.
    pub fn read(path: &Utf8Path) -> Result<Self, ScreenError> {
        let damaged = |source| ScreenError::Png { path: path.to_owned(), source };
        let file = File::open(path).map_err(|source| ScreenError::Io { path: path.to_owned(), source })?;
        let mut decoder = Decoder::new(BufReader::new(file));
        // Palettes, fewer bits and 16 bits per channel are all converted to 8 bits.
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(damaged)?;
        let info = reader.info();
        let (width, height, interlaced) = (info.width, info.height, info.interlaced);
        if interlaced || width > LARGEST_SIDE || height > LARGEST_SIDE {
            return Err(ScreenError::Unlikely { path: path.to_owned(), width, height, interlaced });
        }
        let (color, _) = reader.output_color_type();
        let mut counts = Counts::default();
        let mut top = Vec::new();
        while let Some(row) = reader.next_row().map_err(damaged)? {
            let pixels: Vec<Colour> =
                row.data().chunks_exact(color.samples()).map(|samples| colour(color, samples)).collect();
            counts.add(&pixels);
            if top.len() < panel::ROWS {
                top.push(pixels);
            }
        }
        Ok(Self { width, height, largest_share: counts.largest_share(), panel: Panel::find(&top) })
    }

    /// Whether it is empty except perhaps for a cursor or a line of text.
    pub fn is_blank(&self) -> bool {
        self.largest_share >= BLANK_SHARE
    }
}

#[cfg(test)]
mod tests;
