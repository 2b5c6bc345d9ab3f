//! Compressed files: the unpacked content is examined again.

use std::fs::{self, File};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::foreign::{Container, Packing};
use rave_image::inspect::ImageKind;

use crate::place::{Place, same};

fn packed(place: &Place, file: &Utf8Path, program: &str, ending: &str) -> Utf8PathBuf {
    let target = Utf8PathBuf::from(format!("{file}.{ending}"));
    let _ = fs::remove_file(&target);
    // lz4 writes to stdout if it is not a terminal, unless it is given several files.
    let many: &[&str] = if program == "lz4" { &["-m"] } else { &[] };
    place.run(&[&[program, "-q", "-k"], many, &[file.as_str()]].concat());
    assert!(target.exists());
    target
}

const PROGRAMS: &[(&str, &str, Packing)] = &[
    ("gzip", "gz", Packing::Gzip),
    ("xz", "xz", Packing::Xz),
    ("zstd", "zst", Packing::Zstd),
    ("bzip2", "bz2", Packing::Bzip2),
    ("lz4", "lz4", Packing::Lz4),
];

/// The programs that this host has.
fn programs() -> impl Iterator<Item = &'static (&'static str, &'static str, Packing)> {
    PROGRAMS.iter().filter(|(program, ..)| {
        let is_installed = rave_process::find_program(program).is_some();
        if !is_installed {
            rave_testing::not_run(format_args!("no {program} on this host"));
        }
        is_installed
    })
}

#[test]
fn a_compressed_disk_is_unpacked() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let qcow2 = place.converted(&disk, "q.qcow2", &["-O", "qcow2"]);
    for (program, ending, packing) in programs() {
        for (image, holds) in [(&disk, Container::Raw), (&qcow2, Container::Qcow2)] {
            let file = packed(&place, image, program, ending);
            assert!(same(&place.convert(&file).unwrap(), &disk), "{file}");
            let found = place.inspect(&file);
            assert_eq!(found.problems, Vec::<String>::new(), "{file}");
            assert_eq!(found.disk.unwrap().virtual_size, 4 << 20, "{file}");
            if (holds, *packing) != (Container::Raw, Packing::Zstd) {
                assert_eq!(found.kind, ImageKind::Packed { packing: *packing, holds });
            }
        }
    }
    assert_eq!(fs::read_dir(place.path.join("cache/scratch")).unwrap().count(), 0);
}

#[test]
fn truncated_compressed_disks_are_refused() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    for (program, ending, _) in programs() {
        let file = packed(&place, &disk, program, ending);
        let length = fs::metadata(&file).unwrap().len();
        File::options().write(true).open(&file).unwrap().set_len(length - 20).unwrap();
        assert!(place.refusal(&file).contains("damaged or truncated"), "{program}: {}", place.refusal(&file));
        assert!(!place.inspect(&file).problems.is_empty(), "{program}");
    }
}

#[test]
fn unpacked_files_are_equally_untrusted() {
    let place = Place::new();
    let leak = place.overlay("leak.qcow2", "raw", place.secret().as_str(), "1M");
    let file = packed(&place, &leak, "gzip", "gz");
    assert!(place.refusal(&file).contains("it needs another file"));
    assert!(place.problems(&file).contains("it needs another file"));
    fs::write(place.image("note.txt"), "no disk\n").unwrap();
    let note = packed(&place, &place.image("note.txt"), "xz", "xz");
    assert!(place.refusal(&note).contains("neither a disk image"));
    assert!(!place.problems(&note).is_empty());
}

#[test]
fn an_archive_with_one_disk_is_that_disk() {
    let place = Place::new();
    let disk = place.disk("disk.raw");
    place.run(&["tar", "-czf", "image.tar.gz", "disk.raw"]);
    assert!(same(&place.convert(&place.image("image.tar.gz")).unwrap(), &disk));
    place.disk("other.raw");
    place.run(&["tar", "-cf", "two.tar", "disk.raw", "other.raw"]);
    let refusal = place.refusal(&place.image("two.tar"));
    assert!(refusal.contains("disk.raw, other.raw"), "{refusal}");
}
