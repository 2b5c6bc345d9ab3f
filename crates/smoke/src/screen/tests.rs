//! Synthetic pictures, and damaged ones.

use std::fs;

use proptest::prelude::*;

use png::ColorType;

use super::*;

const WIDTH: usize = 1280;
/// Half of a usual screen's height: it takes half the time, and only the top matters.
const HEIGHT: usize = 400;
const BAR: Colour = [0x2b, 0x30, 0x3b];
const INK: Colour = [0xee, 0xee, 0xec];

/// A picture as rows.
#[derive(Clone)]
struct Picture(Vec<Vec<Colour>>);

impl Picture {
    fn new(width: usize, height: usize, paint: impl Fn(usize, usize) -> Colour) -> Self {
        Self((0..height).map(|y| (0..width).map(|x| paint(x, y)).collect()).collect())
    }

    fn plain(colour: Colour) -> Self {
        Self::new(WIDTH, HEIGHT, |_, _| colour)
    }

    /// Like a photograph: every pixel has another colour, and it gets darker downwards.
    fn wallpaper() -> Self {
        Self::new(WIDTH, HEIGHT, |x, y| {
            let noise = (x * 7919 + y * 104_729) % 97;
            let light = 230 - y * 150 / HEIGHT;
            [light, light / 2 + noise, noise * 2].map(|value| u8::try_from(value).unwrap_or(u8::MAX))
        })
    }

    fn fill(mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) -> Self {
        for row in &mut self.0[y..y + height] {
            row[x..x + width].fill(colour);
        }
        self
    }

    /// Resembles a line of letters: strokes of one column in four, ten rows high.
    fn text(mut self, x: usize, y: usize, letters: usize) -> Self {
        for letter in 0..letters {
            self = self.fill(x + letter * 8, y, 2, 10, INK).fill(x + letter * 8, y + 4, 5, 1, INK);
        }
        self
    }

    /// A panel with a menu, a window button and a clock.
    fn with_panel(self, height: usize) -> Self {
        self.fill(0, 0, WIDTH, height, BAR)
            .fill(4, 4, 16, height - 8, [0x22, 0x88, 0xee])
            .text(28, height / 2 - 5, 12)
            .fill(200, 2, 180, height - 4, [0x55, 0x5a, 0x66])
            .text(WIDTH - 80, height / 2 - 5, 9)
    }

    fn encode(&self, kind: ColorType) -> Vec<u8> {
        let mut bytes = Vec::new();
        let side = |side: usize| u32::try_from(side).unwrap();
        let mut encoder = png::Encoder::new(&mut bytes, side(self.0[0].len()), side(self.0.len()));
        encoder.set_color(kind);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut data = Vec::new();
        for pixel in self.0.iter().flatten() {
            match kind {
                ColorType::Grayscale => data.push(pixel[0]),
                ColorType::Rgba => data.extend([pixel[0], pixel[1], pixel[2], 255]),
                _ => data.extend(pixel),
            }
        }
        encoder.write_header().unwrap().write_image_data(&data).unwrap();
        bytes
    }

    fn screen(&self) -> Screen {
        read(&self.encode(ColorType::Rgb)).unwrap()
    }
}

fn read(bytes: &[u8]) -> Result<Screen, ScreenError> {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().join("screen.png")).unwrap();
    fs::write(&path, bytes).unwrap();
    Screen::read(&path)
}

/// The height of the panel that is found.
fn panel(picture: &Picture) -> Option<u32> {
    picture.screen().panel.map(|panel| panel.height)
}

/// A text console of the video device: 16 rows per line.
fn console(lines: usize) -> Picture {
    (0..lines)
        .fold(Picture::plain([0; 3]), |picture, line| picture.text(0, line * 16 + 3, 40 + line * 13 % 80))
}

#[test]
fn a_uniform_screen_is_blank_even_with_a_cursor() {
    for colour in [[0; 3], [0x20, 0x4a, 0x87]] {
        let screen = Picture::plain(colour).screen();
        assert_eq!((screen.width, screen.height, screen.panel), (1280, 400, None));
        assert!(screen.is_blank() && (screen.largest_share - 1.0).abs() < f64::EPSILON, "{screen:?}");
        assert!(Picture::plain(colour).fill(630, 290, 16, 24, INK).screen().is_blank());
    }
}

#[test]
fn a_desktop_is_not_blank_and_its_panel_is_found_at_any_height() {
    for height in [20, 26, 40, 64] {
        assert_eq!(panel(&Picture::wallpaper().with_panel(height)), Some(u32::try_from(height).unwrap()));
    }
    let plain = Picture::plain([0x20, 0x4a, 0x87]).with_panel(26).screen();
    assert!(!plain.is_blank() && plain.panel.is_some_and(|panel| panel.height == 26), "{plain:?}");
    assert!((0.92..0.95).contains(&plain.largest_share), "{plain:?}");
    assert!(plain.panel.unwrap().content > 0.05, "{plain:?}");
}

#[test]
fn a_panel_with_a_border_and_one_over_a_window_are_found() {
    let border =
        Picture::wallpaper().with_panel(30).fill(0, 0, WIDTH, 1, [0; 3]).fill(0, 28, WIDTH, 2, [0; 3]);
    assert_eq!(panel(&border), Some(27));
    let browser =
        Picture::wallpaper().with_panel(26).fill(0, 26, WIDTH, 34, [0xde, 0xe1, 0xe6]).text(30, 38, 20);
    assert_eq!(panel(&browser), Some(26));
}

#[test]
fn a_shaded_panel_is_found() {
    let shade = |y: usize| u8::try_from(y / 2).unwrap();
    let picture = (0..26).fold(Picture::wallpaper(), |picture, y| {
        picture.fill(0, y, WIDTH, 1, BAR.map(|channel| channel + shade(y)))
    });
    assert_eq!(panel(&picture.text(30, 8, 12).text(1100, 8, 10)), Some(26));
}

#[test]
fn other_shapes_are_not_taken_for_a_panel() {
    let wallpaper = Picture::wallpaper();
    let gradient = Picture::new(WIDTH, HEIGHT, |_, y| [u8::try_from(y / 2).unwrap(); 3]);
    let cases = [
        ("a wallpaper", wallpaper.clone()),
        ("a gradient", gradient),
        ("an empty band", wallpaper.clone().fill(0, 0, WIDTH, 26, BAR)),
        ("a line in reverse", console(20).fill(0, 0, WIDTH, 16, [0xaa; 3]).text(500, 3, 20)),
        ("a text console", console(25)),
        ("a window at the upper edge", wallpaper.clone().fill(200, 0, 900, 26, BAR).text(300, 8, 40)),
        ("a band that is too high", wallpaper.with_panel(90)),
    ];
    for (what, picture) in cases {
        let screen = picture.screen();
        assert_eq!(screen.panel, None, "{what}");
        assert!(!screen.is_blank(), "{what}: {screen:?}");
    }
}

#[test]
fn images_smaller_than_a_panel_have_none() {
    for (width, height) in [(1, 1), (1280, 19), (1280, 30), (3, 800)] {
        let screen = Picture::new(width, height, |_, _| BAR).screen();
        assert!(screen.panel.is_none() && screen.is_blank(), "{screen:?}");
    }
}

#[test]
fn every_colour_type_is_decoded() {
    let picture = Picture::wallpaper().with_panel(26);
    assert_eq!(read(&picture.encode(ColorType::Rgba)).unwrap(), picture.screen());
    let gray = read(&Picture::plain([7; 3]).encode(ColorType::Grayscale)).unwrap();
    assert!(gray.is_blank());
}

#[test]
fn missing_damaged_and_oversized_images_are_errors_with_the_file() {
    let missing = Screen::read(Utf8Path::new("/no/such/screen.png")).unwrap_err();
    assert!(matches!(missing, ScreenError::Io { .. }) && missing.to_string().contains("/no/such/screen.png"));
    let whole = Picture::wallpaper().encode(ColorType::Rgb);
    for damaged in [&b""[..], b"P6\n1 1\n255\n", &whole[..40], &whole[..whole.len() / 2]] {
        let error = read(damaged).unwrap_err();
        assert!(matches!(error, ScreenError::Png { .. }), "{error}");
        assert!(error.to_string().contains("screen.png is not a complete PNG: "), "{error}");
    }
    let wide = Picture::new(16_385, 1, |_, _| BAR).encode(ColorType::Rgb);
    assert!(matches!(read(&wide).unwrap_err(), ScreenError::Unlikely { width: 16_385, height: 1, .. }));
}

proptest! {
    #[test]
    fn any_damage_is_handled_without_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Picture::new(90, 100, |x, y| if x < y { BAR } else { INK }).encode(ColorType::Rgb);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = read(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = read(&bytes);
    }

    #[test]
    fn any_bytes_are_handled_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }
}
