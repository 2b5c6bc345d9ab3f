//! Real disks of the closure in tests/fixtures/closure: store paths of a few kB, with nix's registration of them.

use std::os::unix::fs::PermissionsExt as _;

use rave_process::Cmd;
use rusqlite::Connection;

use super::*;
use crate::closure::nar::NarHasher;
use crate::content::ext4::{Attributes, Visited};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/closure");
const SYSTEM: &str = "/nix/store/2h9r6133hk4ksbhq7j02in13v63yx791-system";
const ODD: &str = "nix/store/67wkd28gq9vrbxff62az56zvfqdv452h-odd";
const UUID: &str = "5a1d0c3e-7d3f-4b7e-9a51-7261766572ff";
/// 2026-01-01.
pub(crate) const EPOCH: u64 = 1_767_225_600;
/// The smallest ESP, for tests that read every byte of the disk.
const ESP: u64 = 40;

/// A folder with the other files of the disk, besides the store.
pub(crate) struct Place {
    _guard: tempfile::TempDir,
    pub(crate) path: Utf8PathBuf,
}

/// The fixture's store.
pub(crate) fn store() -> Utf8PathBuf {
    Utf8Path::new(FIXTURE).join("store")
}

impl Place {
    pub(crate) fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        // As in a store.
        for (name, text, mode) in
            [("etc/nixos/flake.nix", "{ }\n", 0o444), ("etc/nixos/rave/a.sh", "#!/bin/sh\n", 0o555)]
        {
            let file = path.join("files").join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { _guard: guard, path }
    }

    /// A copy of the fixture's store with different modes and times, as on another host's file system.
    fn copy_of_the_store(&self) -> Utf8PathBuf {
        let copy = self.path.join("store");
        let args =
            ["--recursive", "--no-preserve=mode,timestamps", &format!("{FIXTURE}/store"), copy.as_str()];
        Cmd::new("cp").args(args).output().unwrap();
        for program in
            ["67wkd28gq9vrbxff62az56zvfqdv452h-odd/run", "2h9r6133hk4ksbhq7j02in13v63yx791-system/init"]
        {
            fs::set_permissions(copy.join(program), fs::Permissions::from_mode(0o700)).unwrap();
        }
        copy
    }

    /// Writes a disk of a store.
    pub(crate) fn write(&self, name: &str, store: &Utf8Path) -> Result<Utf8PathBuf, Error> {
        let output = self.path.join(name);
        let system = store.join("2h9r6133hk4ksbhq7j02in13v63yx791-system");
        let request = DiskImageRequest {
            registration: &Utf8Path::new(FIXTURE).join("registration"),
            store,
            system: SYSTEM,
            kernel: &system.join("kernel"),
            initrd: &system.join("initrd"),
            arguments: &format!("init={SYSTEM}/init console=ttyS0,115200"),
            files: Some(&self.path.join("files")),
            root_uuid: UUID,
            esp_mib: ESP,
            grub: &[],
            output: &output,
            epoch: EPOCH,
        };
        write(&request, &|_| ()).map(|_| output)
    }

    fn disk(&self) -> Utf8PathBuf {
        self.write("disk.img", &store()).unwrap()
    }
}

/// The root file system of a disk.
fn root(disk: &Utf8Path) -> Ext4Tree {
    let start = (2 + ESP) << 20;
    let size = fs::metadata(disk).unwrap().len() - start - (1 << 20);
    Ext4Tree::open(disk, start, size).unwrap()
}

/// Every entry: its path, its attributes, and a link's target.
fn entries(disk: &Utf8Path) -> Vec<(String, Attributes, Option<String>)> {
    let mut found = Vec::new();
    let visit = &mut |path: &[u8], attributes: &Attributes, entry: Visited<'_>| {
        let target = match entry {
            Visited::Link { target } => Some(String::from_utf8_lossy(target).into_owned()),
            _ => None,
        };
        found.push((String::from_utf8_lossy(path).into_owned(), *attributes, target));
        Ok(())
    };
    root(disk).entries(&ReadLimits::default(), visit).unwrap();
    found
}

fn on_the_esp(disk: &Utf8Path, file: &str) -> String {
    let drive = format!("{disk}@@2M");
    String::from_utf8(Cmd::new("mtype").args(["-i", &drive, file]).output().unwrap().stdout).unwrap()
}

#[test]
fn disks_of_one_closure_are_identical_for_any_store_location() {
    let place = Place::new();
    let first = place.disk();
    let second = place.write("elsewhere/disk.img", &place.copy_of_the_store()).unwrap();
    assert_eq!(Digest::of_file(&first).unwrap(), Digest::of_file(&second).unwrap());
    let left: Vec<_> =
        place.path.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[test]
fn the_disk_has_a_nix_store_and_what_the_first_boot_needs() {
    let entries = entries(&Place::new().disk());
    let of = |path: &str| {
        let found = entries.iter().find(|(name, ..)| name == path);
        let (_, Attributes { mode, uid, gid, modified, .. }, target) =
            found.unwrap_or_else(|| panic!("no {path}"));
        (*mode, *uid, *gid, *modified, target.as_deref())
    };
    let epoch = EPOCH.cast_signed();
    assert_eq!(of(""), (0o755, 0, 0, epoch, None));
    assert_eq!(of("nix/store"), (0o1775, 0, 30000, epoch, None));
    assert_eq!(of(ODD), (0o555, 0, 0, 1, None));
    assert_eq!(of(&format!("{ODD}/run")), (0o555, 0, 0, 1, None));
    assert_eq!(of(&format!("{ODD}/share/blocks")), (0o444, 0, 0, 1, None));
    assert_eq!(of(&format!("{ODD}/share/grüße")), (0o444, 0, 0, 1, None));
    assert_eq!(of(&format!("{ODD}/as-dot")).4, Some("./run"));
    let long = format!("../odd/../odd/share/deep/{}", "x".repeat(90));
    assert_eq!(of(&format!("{ODD}/long-target")).4, Some(long.as_str()));
    assert_eq!(of(&format!("{ODD}/share/deep/{}", "y".repeat(120))).0, 0o444);
    assert_eq!(of("nix/var/nix/profiles/system").4, Some("system-1-link"));
    assert_eq!(of("nix/var/nix/profiles/system-1-link").4, Some(SYSTEM));
    assert_eq!(of("etc/NIXOS"), (0o644, 0, 0, epoch, None));
    assert_eq!(of("etc/nixos/flake.nix"), (0o644, 0, 0, epoch, None));
    assert_eq!(of("etc/nixos/rave/a.sh"), (0o755, 0, 0, epoch, None));
    assert_eq!(of("tmp").0, 0o1777);
    let other: Vec<_> = entries.iter().filter(|(name, ..)| name.starts_with("nix/var/nix/db/")).collect();
    assert_eq!(other.len(), 2, "only the database and its version: {other:?}");
}

#[test]
fn the_database_has_the_on_disk_hash_of_every_path() {
    let place = Place::new();
    let disk = place.disk();
    let file = place.path.join("db.sqlite");
    let mut bytes = Vec::new();
    let visit = &mut |path: &[u8], _: &Attributes, entry: Visited<'_>| match entry {
        Visited::File { content, .. } if path == b"nix/var/nix/db/db.sqlite" => {
            content.read_to_end(&mut bytes).map(drop)
        }
        _ => Ok(()),
    };
    root(&disk).entries(&ReadLimits::default(), visit).unwrap();
    fs::write(&file, &bytes).unwrap();
    // Read and write version 1: no write-ahead log (SQLite's file format, section 1.3.3).
    assert_eq!(bytes[18..20], [1, 1]);

    let database = Connection::open(&file).unwrap();
    let check: String = database.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut query = database
        .prepare("select path, hash, registrationTime, narSize, deriver from ValidPaths order by id")
        .unwrap();
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<(String, String, i64, i64, Option<String>)> {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
    };
    let rows: Vec<_> = query.query_map([], row).unwrap().map(Result::unwrap).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.0.rsplit('-').next().unwrap()).collect();
    assert_eq!(names, ["system", "odd", "initrd", "linux"]);
    assert_eq!(rows[1].1, "sha256:775349b21e1c72bea1943864d8c321b0de44ebfb33a88f96d054564e9831624c");
    assert!(rows.iter().all(|row| row.2 == 1 && row.4.is_none()), "{rows:?}");
    let size = rows[1].3;
    let references: i64 = database
        .query_row(
            "select count(*) from Refs join ValidPaths on referrer = id where path = ?",
            [SYSTEM],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(references, 4, "three others and itself");
    assert_eq!(archive_of(&disk, ODD), (rows[1].1.clone(), size));
}

/// The hash and size that nix would compute for a path on the disk, read from its file system.
fn archive_of(disk: &Utf8Path, path: &str) -> (String, i64) {
    let mut nar = NarHasher::default();
    let visit = &mut |name: &[u8], attributes: &Attributes, entry: Visited<'_>| {
        let below = match name.strip_prefix(path.as_bytes()) {
            Some([]) => &[][..],
            Some([b'/', below @ ..]) => below,
            _ => return Ok(()),
        };
        match entry {
            Visited::File { size, content } => {
                nar.file(below, attributes.mode & 0o100 != 0, size, content)?;
            }
            Visited::Link { target } => nar.link(below, target),
            Visited::Other => nar.folder(below),
        }
        Ok(())
    };
    root(disk).entries(&ReadLimits::default(), visit).unwrap();
    let (hash, size) = nar.finish();
    (format!("sha256:{hash}"), size.cast_signed())
}

#[test]
fn the_esp_menu_boots_the_kernel_by_its_nixos_name() {
    let place = Place::new();
    let disk = place.disk();
    let menu = on_the_esp(&disk, "::/grub/grub.cfg");
    let kernel = "/kernels/p5mn8x0nd282k0mffbynzck463hifxv7-linux-bzImage";
    let initrd = "/kernels/fk9j8yv7dnnxi4gjg91inl9748fi2fb4-initrd-initrd";
    assert!(menu.contains(&format!("linux {kernel} init={SYSTEM}/init console=ttyS0,115200 $*\n")), "{menu}");
    assert!(menu.contains(&format!("initrd {initrd}\n")), "{menu}");
    assert!(!menu.contains('@'), "{menu}");
    assert_eq!(
        on_the_esp(&disk, &format!("::{kernel}")),
        "MZ: a kernel of a few bytes, for a test that starts none\n"
    );
    assert_eq!(on_the_esp(&disk, &format!("::{initrd}")), "an initrd of a few bytes\n");
}

#[test]
fn a_store_that_differs_from_its_registration_is_refused() {
    let place = Place::new();
    let store = place.copy_of_the_store();
    let odd = store.join("67wkd28gq9vrbxff62az56zvfqdv452h-odd");
    fs::write(odd.join("empty"), "not empty\n").unwrap();
    let error = place.write("disk.img", &store).unwrap_err().to_string();
    let begin = format!("the store: not as registered: /{ODD} has the SHA-256 ");
    assert!(error.starts_with(&begin) && error.ends_with(" is registered"), "{error}");

    fs::remove_dir_all(&odd).unwrap();
    let error = place.write("disk.img", &store).unwrap_err().to_string();
    assert!(error.contains("67wkd28gq9vrbxff62az56zvfqdv452h-odd: No such file"), "{error}");
    assert!(!place.path.join("disk.img").exists());
}
