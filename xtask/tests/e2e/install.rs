//! The installed program, from another folder.

use std::fs;
use std::path::Path;

use crate::command::Command;
use crate::tool::{Place, checkout, finish};

fn rave(program: &Path, place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place.path("elsewhere"));
    command.env("RAVE_CACHE", place.path("cache")).env("RAVE_STATE", place.path("state"));
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("RAVE_HOME");
    command
}

#[test]
fn the_installed_program_works_from_another_folder_until_it_is_removed() {
    let place = Place::new();
    let (folder, elsewhere) = (place.path("bin"), place.path("elsewhere"));
    fs::create_dir_all(&elsewhere).unwrap();
    let install = |more: &[&str]| {
        let mut command = place.xtask(&["install", "--to"]);
        command.arg(&folder).args(more);
        finish(&command)
    };
    let program = folder.join("rave");
    let installed = install(&[]);
    installed.expect_code(0).expect_said("is not on PATH");
    assert_eq!(Path::new(installed.stdout.trim()), program);

    let version = finish(&rave(&program, &place, &["--version"]));
    let home = format!("installed by `cargo xtask install` in {}", checkout().display());
    assert!(version.stdout.contains(&home) && version.stdout.contains("\ncommit: "), "{}", version.stdout);

    // Settings come from the home, relative paths start at the current folder.
    let config = finish(&rave(&program, &place, &["config"]));
    assert!(config.expect_code(0).stdout.contains("rave.toml:"), "{}", config.stdout);
    fs::write(elsewhere.join("disk.raw"), vec![0; 1 << 20]).unwrap();
    finish(&rave(&program, &place, &["convert", "disk.raw", "--raw", "--format", "qemu"])).expect_code(0);
    assert!(elsewhere.join("disk.qcow2").is_file());

    install(&["--remove"]).expect_code(0).expect_said("removed ");
    assert!(!program.exists());
    install(&["--remove"]).expect_code(0).expect_said("nothing to remove");
    fs::write(&program, "another program").unwrap();
    install(&[]).expect_code(2).expect_said("is another program");
}
