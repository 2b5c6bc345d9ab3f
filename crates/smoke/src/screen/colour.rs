//! Colours of pixels, and how often each occurs.

use png::ColorType;

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// A pixel without its transparency.
pub(super) fn colour(kind: ColorType, samples: &[u8]) -> Colour {
    match kind {
        ColorType::Grayscale | ColorType::GrayscaleAlpha | ColorType::Indexed => [samples[0]; 3],
        ColorType::Rgb | ColorType::Rgba => [samples[0], samples[1], samples[2]],
    }
}

/// The upper 5 bits of each channel as one number.
pub(super) fn coarse([red, green, blue]: Colour) -> usize {
    usize::from(red >> 3) << 10 | usize::from(green >> 3) << 5 | usize::from(blue >> 3)
}

/// How often each colour occurred.
pub(super) struct Counts {
    of: Vec<u64>,
    total: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { of: vec![0; 1 << 15], total: 0 }
    }
}

impl Counts {
    pub(super) fn add(&mut self, pixels: &[Colour]) {
        for pixel in pixels {
            self.of[coarse(*pixel)] += 1;
        }
        self.total += pixels.len() as u64;
    }

    pub(super) fn largest_share(&self) -> f64 {
        share(self.of.iter().copied().max().unwrap_or(0), self.total)
    }
}

/// `part` of `whole`; zero if `whole` is zero.
#[expect(clippy::cast_precision_loss, reason = "a picture has fewer than 2^52 pixels")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
