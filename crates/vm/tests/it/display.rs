//! What a machine's screen shows, in a picture and on a display.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use rave_vm::{Error, Instance};

use crate::guest::{Bench, sector_that_paints};

const PATIENCE: Duration = Duration::from_secs(60);

/// The pixels of a PNG, each once, with their number.
fn colours(png: &Utf8Path) -> BTreeMap<[u8; 3], usize> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(png).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let mut colours = BTreeMap::new();
    for pixel in pixels.as_chunks::<3>().0 {
        *colours.entry(*pixel).or_default() += 1;
    }
    colours
}

fn wait_painted(instance: &Instance) {
    let log = &instance.machine().files.serial_log;
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(log).unwrap_or_default().contains("painted") {
        assert!(Instant::now() < deadline, "the guest does not paint");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_screenshot_shows_what_the_guest_painted_without_any_display() {
    let bench = Bench::new();
    let mut instance = bench.boot(bench.with_disk(&sector_that_paints())).unwrap();
    wait_painted(&instance);
    let png = bench.folder.join("screen.png");
    instance.screenshot(&png).unwrap();
    // QEMU shows the 200 lines of this mode twice, and its video BIOS has 6 bits a colour.
    assert_eq!(colours(&png), BTreeMap::from([([0xa8, 0, 0], 640 * 400)]));
    let beside = |name: &str| name.starts_with(".screen");
    let left =
        bench.folder.read_dir_utf8().unwrap().find(|entry| beside(entry.as_ref().unwrap().file_name()));
    assert!(left.is_none(), "{left:?}");

    let folder = instance.screenshot(Utf8Path::new("/no/such/folder/screen.png")).unwrap_err();
    assert!(matches!(&folder, Error::Qmp { doing, .. } if doing == "screendump"), "{folder}");
    instance.kill().unwrap();
}
