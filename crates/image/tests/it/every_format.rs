//! For every format that qemu-img writes: the output is the original disk, or nothing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use crate::place::{Place, same};

/// qemu-img's arguments for each. Two are missing: LUKS needs a passphrase, and qemu-img 10 fails to compress a qcow.
const FORMATS: &[&[&str]] = &[
    &["-O", "raw"],
    &["-O", "qcow2"],
    &["-O", "qcow2", "-o", "compat=0.10"],
    &["-O", "qcow2", "-o", "cluster_size=512"],
    &["-O", "qcow2", "-o", "extended_l2=on"],
    &["-O", "qcow2", "-o", "preallocation=metadata"],
    &["-O", "qcow2", "-c"],
    &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
    &["-O", "qcow"],
    &["-O", "qed"],
    &["-O", "vmdk"],
    &["-O", "vmdk", "-o", "subformat=monolithicFlat"],
    &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
    &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"],
    &["-O", "vmdk", "-o", "subformat=streamOptimized"],
    &["-O", "vdi"],
    &["-O", "vdi", "-o", "static=on"],
    &["-O", "vpc"],
    &["-O", "vpc", "-o", "force_size=on"],
    &["-O", "vpc", "-o", "subformat=fixed"],
    &["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
    &["-O", "vhdx"],
    &["-O", "vhdx", "-o", "subformat=fixed"],
    &["-O", "parallels"],
];

/// Programs that compress a file.
const PACKERS: &[&str] = &["gzip", "xz", "zstd"];

/// A disk with a boot sector, and runs of bytes at various positions.
fn disk(place: &Place, sectors: u64, runs: &[(Index, u8, usize)]) -> camino::Utf8PathBuf {
    let path = place.image("d.raw");
    let _ = fs::remove_file(&path);
    let file = File::create(&path).unwrap();
    let size = sectors * 512;
    file.set_len(size).unwrap();
    for (at, byte, length) in runs {
        let at = at.index(usize::try_from(size).unwrap()) as u64;
        let length = (*length as u64).min(size - at);
        file.write_all_at(&vec![*byte; usize::try_from(length).unwrap()], at).unwrap();
    }
    // No partition table: the bytes of the entries are zeros.
    file.write_all_at(&[0; 66], 446).unwrap();
    file.write_all_at(&[0xeb, 0x63, 0x90, 0], 0).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    path
}

/// `PROPTEST_CASES` runs more cases.
fn runner() -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2);
    TestRunner::new(ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() })
}

fn clear(place: &Place) {
    let folder = place.path.join("images");
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(folder).unwrap();
}

fn runs() -> impl Strategy<Value = Vec<(Index, u8, usize)>> {
    proptest::collection::vec((any::<Index>(), 1_u8.., 1_usize..300_000), 1..5)
}

#[test]
fn conversions_preserve_the_disk() {
    let place = Place::new();
    let run = runner().run(&(3000_u64..9000, runs(), 0..PACKERS.len()), |(sectors, runs, packer)| {
        for format in FORMATS {
            clear(&place);
            let disk = disk(&place, sectors, &runs);
            let image = place.converted(&disk, "image", format);
            let content = place.convert(&image);
            prop_assert!(
                content.as_ref().is_ok_and(|content| same(content, &disk)),
                "{format:?}: {:?}",
                content.err()
            );
            let found = place.inspect(&image);
            prop_assert_eq!(&found.problems, &Vec::<String>::new(), "{:?}", format);
            prop_assert!(found.disk.unwrap().virtual_size >= sectors * 512);
            // An image of several files is not a file to compress.
            if fs::read_dir(place.path.join("images")).unwrap().count() > 2 {
                continue;
            }
            let packer = PACKERS[packer];
            place.run(&["sh", "-c", "\"$0\" -q -c image > packed", packer]);
            let content = place.convert(&place.image("packed"));
            prop_assert!(
                content.as_ref().is_ok_and(|content| same(content, &disk)),
                "{packer} {format:?}: {:?}",
                content.err()
            );
        }
        Ok(())
    });
    run.unwrap();
}

/// An image truncated anywhere is refused, unless the missing part was empty; `inspect` agrees.
#[test]
fn truncated_images_yield_the_disk_or_nothing() {
    let place = Place::new();
    let run = runner().run(&(3000_u64..9000, runs(), any::<[Index; 3]>()), |(sectors, runs, cuts)| {
        for format in FORMATS.iter().filter(|format| !ends_anywhere(format)) {
            clear(&place);
            let disk = disk(&place, sectors, &runs);
            let image = place.converted(&disk, "image", format);
            let whole = fs::read(&image).unwrap();
            for cut in cuts {
                fs::write(&image, &whole[..cut.index(whole.len())]).unwrap();
                unharmed(&place, &image, &disk, format)?;
            }
        }
        Ok(())
    });
    run.unwrap();
}

/// `qemu-img check` does not notice that it is incomplete.
#[test]
fn the_last_compressed_grain_or_cluster_is_complete() {
    let place = Place::new();
    let disk = place.image("d.raw");
    // Compressible to about a half: clusters that are not are stored as they are.
    let noise = (0..0x4_0000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]);
    let content: Vec<u8> = noise.flat_map(|byte| [byte, 0]).collect();
    fs::write(&disk, &content).unwrap();
    for format in [
        &["-O", "vmdk", "-o", "subformat=streamOptimized"][..],
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        &["-O", "qcow2", "-c", "-o", "extended_l2=on"],
    ] {
        let image = place.converted(&disk, "image", format);
        let whole = fs::read(&image).unwrap();
        assert_eq!(place.problems(&image), "", "{format:?}");
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
        fs::write(&image, &whole[..end - 100]).unwrap();
        let problems = place.problems(&image);
        assert!(problems.contains("it is truncated"), "{format:?}: {problems}");
    }
}

/// The end of a raw disk without a table is unknown; a fixed VHD without its footer is such a disk.
fn ends_anywhere(format: &[&str]) -> bool {
    format.contains(&"raw") || format.contains(&"vpc") && format.iter().any(|word| word.contains("fixed"))
}

fn unharmed(place: &Place, image: &Utf8Path, disk: &Utf8Path, format: &[&str]) -> Result<(), TestCaseError> {
    let length = fs::metadata(image).unwrap().len();
    if let Ok(content) = place.convert(image) {
        let _ = place.warnings();
        prop_assert!(same(&content, disk), "{format:?} cut to {length} bytes became another disk");
    } else {
        prop_assert!(!place.problems(image).is_empty(), "{format:?} cut to {length} bytes has no problem");
    }
    Ok(())
}
