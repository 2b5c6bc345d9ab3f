use super::*;
use camino::Utf8PathBuf;
use std::thread;

struct Scratch {
    _guard: tempfile::TempDir,
    folder: Utf8PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        Self { _guard: guard, folder }
    }

    fn names(&self) -> Vec<String> {
        let entries = self.folder.read_dir_utf8().unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Utf8Path) -> u32 {
    fs::metadata(path).unwrap().mode() & PERMISSIONS
}

fn broken(file: &mut File) -> io::Result<()> {
    file.write_all(b"half")?;
    Err(io::Error::other("no more"))
}

#[test]
fn a_failure_leaves_the_old_file_complete_or_no_file() {
    let scratch = Scratch::new();
    let path = scratch.folder.join("a");
    assert_eq!(Replace::new(&path).write_with(broken).unwrap_err().to_string(), "no more");
    assert_eq!(scratch.names(), [""; 0]);
    Replace::new(&path).write("old").unwrap();
    assert!(Replace::new(&path).write_with(broken).is_err());
    assert!(Replace::new(&path).copy(&scratch.folder.join("gone")).is_err());
    let make = |temporary: &Utf8Path| {
        fs::write(temporary, "half").unwrap();
        Err("no more".to_owned())
    };
    assert_eq!(replace_by(&path, make, |error| error.to_string()).unwrap_err(), "no more");
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), scratch.names()), ("old", vec!["a".to_owned()]));

    fs::create_dir(scratch.folder.join("folder")).unwrap();
    assert!(Replace::new(&scratch.folder.join("folder")).write("x").is_err());
    assert_eq!(scratch.names(), ["a", "folder"]);
}

#[test]
fn a_file_has_the_requested_or_the_previous_mode() {
    let scratch = Scratch::new();
    let path = scratch.folder.join("a");
    Replace::new(&path).mode(0o600).write("1").unwrap();
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, Permissions::from_mode(0o751)).unwrap();
    Replace::new(&path).unsynced().write("2").unwrap();
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("2", 0o751));

    let program = scratch.folder.join("program");
    Replace::new(&program).write("3").unwrap();
    Replace::new(&program).copy(&path).unwrap();
    assert_eq!((fs::read_to_string(&program).unwrap().as_str(), mode(&program)), ("2", 0o751));
    Replace::new(&program).mode(0o640).copy(&path).unwrap();
    assert_eq!(mode(&program), 0o640);
}

#[test]
fn leftovers_of_a_killed_writer_are_replaced() {
    let scratch = Scratch::new();
    let path = scratch.folder.join("a");
    let left = temporary_path(&path, "");
    fs::write(&left, "half of something longer").unwrap();
    fs::set_permissions(&left, Permissions::from_mode(0o666)).unwrap();
    Replace::new(&path).mode(0o600).write("whole").unwrap();
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("whole", 0o600));
    assert_eq!(scratch.names(), ["a"]);
}

#[test]
fn concurrent_writers_leave_one_complete_file() {
    let scratch = Scratch::new();
    let path = scratch.folder.join("a");
    thread::scope(|scope| {
        for byte in b'a'..b'e' {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    Replace::new(path).unsynced().write(vec![byte; 10_000]).unwrap();
                    let found = fs::read(path).unwrap();
                    assert!(found.len() == 10_000 && found.iter().all(|other| *other == found[0]));
                }
            });
        }
    });
    assert_eq!(scratch.names(), ["a"]);
}

#[test]
fn long_names_and_links_are_supported() {
    let scratch = Scratch::new();
    let long = scratch.folder.join("n".repeat(250));
    Replace::new(&long).write("x").unwrap();
    let link = scratch.folder.join("link");
    std::os::unix::fs::symlink(&long, &link).unwrap();
    Replace::new(&link).write("y").unwrap();
    assert_eq!(fs::read_to_string(&long).unwrap() + &fs::read_to_string(&link).unwrap(), "xy");
    replace_by(&link, |temporary| fs::write(temporary, "z"), |error| error).unwrap();
    assert_eq!(fs::read_to_string(&link).unwrap(), "z");
}

#[test]
fn a_private_folder_is_created_and_removed_once() {
    let scratch = Scratch::new();
    let folder = scratch.folder.join("parent/private");
    for _ in 0..2 {
        private_dir(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & PERMISSIONS, 0o700);
    }
    fs::write(folder.join("file"), "").unwrap();
    for _ in 0..2 {
        remove_all(&folder).unwrap();
        assert!(!folder.exists());
    }
    fs::write(&folder, "").unwrap();
    assert!(remove_all(&folder).is_err(), "a file is none");
}
