//! The tool built from various checkouts of users: locations, origins, cargo settings.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::command::Command;
use crate::image_faults::is_root;
use crate::tool::{HEADLESS, Place, copy_checkout, finish, shared_cache, stages_of};

/// A checkout without a repository, as from an unpacked archive, below a folder with a user's cargo settings.
struct Archive {
    place: Place,
    checkout: PathBuf,
    target: PathBuf,
    /// A file with a line for each call of the compiler wrapper.
    wrapped: PathBuf,
}

impl Archive {
    fn new() -> Self {
        let place = Place::new();
        place.seed(&["rootfs", "tools"]);
        let home = place.path("häuser 'and' spaces");
        let checkout = home.join("ravé 1.0");
        copy_checkout(&checkout);
        // A compiler wrapper, such as sccache.
        let (wrapper, mark) = (home.join("wrapper"), home.join("wrapped"));
        fs::write(&wrapper, "#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/wrapped\"\nexec \"$@\"\n")
            .unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let target = home.join("target of mine");
        // Found from any folder below (the Cargo book, "Configuration", "Hierarchical structure").
        let config = format!(
            "[build]\ntarget-dir = {:?}\nrustc-wrapper = {:?}\nrustflags = [\"-Cdebuginfo=0\"]\n",
            target.to_str().unwrap(),
            wrapper.to_str().unwrap()
        );
        fs::create_dir(home.join(".cargo")).unwrap();
        fs::write(home.join(".cargo/config.toml"), config).unwrap();
        Self { place, checkout, target, wrapped: mark }
    }

    /// `cargo xtask ARGUMENTS`, as it is typed in the checkout.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.arg("xtask").args(arguments).current_dir(&self.checkout);
        self.place.own(&mut command);
        // Variables that cargo sets for this test but that a user's shell does not have.
        for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(name);
        }
        command
    }
}

fn guest_program(stages: &Path) -> Vec<u8> {
    let mut stages = fs::read_dir(stages).unwrap().flatten().map(|entry| entry.path().join("rave-guest"));
    fs::read(stages.find(|program| program.is_file()).expect("a stage has the program")).unwrap()
}

#[test]
fn an_archive_builds_the_same_guest_program_with_user_cargo_settings_and_read_only() {
    let archive = Archive::new();
    let out = archive.place.path("out");
    let image = ["image", "--base", "debian", "--out", out.to_str().unwrap()];
    finish(&archive.cargo(&image)).expect_code(0).expect_said("guest: done in");
    assert!(archive.target.join("debug/xtask").is_file());
    assert!(!archive.checkout.join("target").exists() && !archive.checkout.join("out").exists());
    let wrapped = fs::read_to_string(&archive.wrapped).unwrap();
    assert!(wrapped.contains("--crate-name rave_guest") && wrapped.contains("-Cdebuginfo=0"), "{wrapped}");
    // These settings must not affect the image.
    let shared = shared_cache(HEADLESS).join("stages");
    let guest = stages_of(HEADLESS).into_iter().find(|name| name.starts_with("guest-")).unwrap();
    assert!(
        guest_program(&archive.place.path("cache/stages"))
            == fs::read(shared.join(guest).join("rave-guest")).unwrap(),
        "the same sources give the same program"
    );

    // Without --out, artifacts go to the user's data folder; nothing is written beside the sources.
    let data = archive.place.path("data");
    let namespace: &[&str] =
        if is_root() { &["--mount"] } else { &["--mount", "--map-root-user", "--map-auto"] };
    let script =
        r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@""#;
    let mut read_only = Command::new("unshare");
    read_only.args(namespace).args(["sh", "-c", script, "sh"]).arg(&archive.checkout);
    let mut image = archive.cargo(&["image", "--base", "debian"]);
    image.env("XDG_DATA_HOME", &data);
    finish(&image.behind(&read_only)).expect_code(0).expect_said("disk: reused").expect_said("qemu: done in");
    assert!(data.join("rave/out/debian-headless/manifest.json").is_file());
}

#[test]
fn a_checkout_with_a_non_utf8_path_is_refused() {
    let place = Place::new();
    let strange = place.path("").join(OsStr::from_bytes(b"not-utf8-\xff"));
    copy_checkout(&strange);
    let mut command = place.image(&[]);
    command.current_dir(&strange);
    finish(&command).expect_code(2).expect_said("UTF-8");
}
