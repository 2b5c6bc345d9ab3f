//! Error texts, exit codes and streams, as seen by a user.

use rave_testing::skip;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use expect_test::expect;

use crate::checkout::{fill, fresh, own_toml, run_in, run_under, shows, xtask};

#[test]
fn an_unknown_command_names_the_nearest() {
    shows(
        &xtask("", &["imgae"]),
        2,
        &expect![[r#"
        error: unrecognized subcommand 'imgae'

          tip: a similar subcommand exists: 'image'

        Usage: cargo xtask [OPTIONS] [COMMAND]

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn an_unknown_format_names_the_nearest() {
    shows(
        &xtask("", &["image", "--format", "qmeu"]),
        2,
        &expect![[r#"
        error: invalid value 'qmeu' for '--format <FORMAT>'
          [possible values: qemu, virtualbox, vmware, raw, iso, all]

          tip: a similar value exists: 'qemu'

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn an_unknown_base_lists_the_known_ones() {
    shows(
        &xtask("", &["image", "--base", "debain"]),
        2,
        &expect![[r#"
        error: invalid value 'debain' for '--base <BASE>'
          [possible values: nixos, debian]

          tip: a similar value exists: 'debian'

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn an_unknown_profile_names_the_nearest() {
    shows(
        &xtask(&own_toml(), &["image", "--profile", "headles"]),
        2,
        &expect![[r#"
        error: --profile: unknown profile "headles"; did you mean "headless"?
    "#]],
    );
}

#[test]
fn the_nixos_base_without_nix_explains_how_to_install_it() {
    for command in ["image", "smoke"] {
        let folder = fresh(&own_toml());
        shows(
            &run_under(
                &["env", "PATH=/nowhere"],
                folder.path(),
                &[command, "--base", "nixos", "--format", "all"],
                &[],
            ),
            3,
            &expect![[r#"
        error: nix was not found
        remedy: install Nix by your distribution's package (nix-bin, nix) or as nixos.org/download says; or give --base debian
    "#]],
        );
    }
}

#[test]
fn debian_only_options_are_refused_with_the_reason() {
    for (arguments, expected) in [
        (&["--compress", "zstd"][..], "error: --compress is only supported on the debian base\n"),
        (&["--frozen"], "error: --frozen is only supported on the debian base\n"),
    ] {
        let ran = xtask(&own_toml(), &[&["image", "--base", "nixos"], arguments].concat());
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.starts_with(expected) && ran.stderr.contains("\nremedy: "), "{}", ran.stderr);
    }
}

#[test]
fn no_disk_is_converted_to_an_iso() {
    shows(
        &xtask(&own_toml(), &["convert", "disk.raw", "--format", "iso"]),
        2,
        &expect![[r#"
        error: format iso: `cargo xtask image` makes it; a disk of any origin can become: qemu, virtualbox, vmware, raw
    "#]],
    );
}

/// A checkout with a raw disk of 12 MiB that has a boot sector, half of it incompressible.
fn checkout_with_disk() -> tempfile::TempDir {
    let folder = fresh(&own_toml());
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        // xorshift64, by G. Marsaglia
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let mut bytes: Vec<u8> = noise.take(6 << 17).flatten().collect();
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let disk = folder.path().join("disk.raw");
    std::fs::write(&disk, bytes).unwrap();
    std::fs::File::options().write(true).open(&disk).unwrap().set_len(12 << 20).unwrap();
    folder
}

#[test]
fn an_oversized_file_is_reported_before_writing_if_its_size_is_known() {
    let folder = checkout_with_disk();
    let convert = |format: &str| {
        let args = ["convert", "disk.raw", "--format", format, "--out", "out"];
        let ran = run_under(&["prlimit", "--fsize=4194304"], folder.path(), &args, &[]);
        let left = std::fs::read_dir(folder.path().join("out")).unwrap().count();
        assert_eq!((ran.code, left), (4, 0), "{}", ran.stderr);
        ran.stderr
    };
    assert_eq!(
        convert("raw"),
        "error: out/disk.img is too large for `ulimit -f`, which allows 4 MiB: it needs 12 MiB\n\
         remedy: raise the limit with `ulimit -f unlimited`, then run the same command again\n"
    );
    // One is written by a program, the other by the tool itself, which gets SIGXFSZ.
    for format in ["qemu", "virtualbox"] {
        let stderr = convert(format);
        assert!(stderr.contains("File too large") || stderr.contains("SIGXFSZ"), "{stderr}");
        assert!(stderr.contains("remedy: raise the limit with `ulimit -f unlimited`"), "{stderr}");
    }
}

#[test]
fn too_little_space_is_reported_with_the_size_and_a_usable_file_system() {
    let folder = checkout_with_disk();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    // A tmpfs in a separate namespace, which leaves nothing behind.
    let convert = |size: &str, format: &str| {
        let script =
            r#"mount -t tmpfs -o "size=$1" tmpfs out && shift && "$@"; code=$?; ls -A out >&2; exit $code"#;
        let runner = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", size];
        run_under(&runner, folder.path(), &["convert", "disk.raw", "--format", format, "--out", "out"], &[])
    };
    let ran = convert("32m", "raw,vmware");
    if ran.stderr.contains("unshare failed") || ran.stderr.contains("permission denied") {
        skip!("this host allows no mount in a namespace");
    }
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.ends_with("disk-vmware.ova\ndisk.img\ndisk.vmdk\ndisk.vmx\n"), "{}", ran.stderr);
    let ran = convert("4m", "raw");
    assert_eq!(
        (ran.code, ran.stderr.lines().next()),
        (4, Some("error: not enough space in out: need 6 MiB, 4 MiB free"))
    );
    assert!(ran.stderr.contains("--out (artifacts) to a folder on a larger disk"), "{}", ran.stderr);
}

#[test]
fn the_list_of_checks_is_only_data() {
    let ran = xtask(&own_toml(), &["smoke", "--list"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_port_flag_without_a_port() {
    shows(
        &xtask("", &["run", "--port", "ssh"]),
        2,
        &expect![[r#"
        error: invalid value 'ssh' for '--port <NAME=PORT|auto>': expected NAME=PORT or NAME=auto, for example gateway=8080

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn a_port_of_an_unknown_service_is_the_only_error() {
    shows(
        &xtask(&own_toml(), &["run", "--port", "gatway=8080"]),
        2,
        &expect![[r#"
            error: --port: unknown service "gatway"
              expected one of kanban, router, gateway, ssh
            remedy: did you mean gateway?
        "#]],
    );
}

#[test]
fn conflicting_flags() {
    let ran = xtask("", &["run", "--ssh", "--detach"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("cannot be used with"), "{}", ran.stderr);
}

#[test]
fn a_bad_configuration_is_a_usage_error() {
    let text = own_toml().replace("[vm]\n", "[vm]\nmemroy = 1\n");
    let line = 1 + text.lines().position(|line| line.starts_with("memroy")).unwrap();
    let ran = xtask(&text, &["config"]);
    let expected = format!(
        "error: the configuration has an error\n  rave.toml:{line}:1: unknown key \"memroy\" in [vm]; did you mean \"memory\"?\n\
         remedy: correct the values above; docs/configuration.md lists the keys and variables\n"
    );
    assert_eq!((ran.code, ran.stdout + &ran.stderr), (2, expected));
}

#[test]
fn a_missing_checkout_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run_in(folder.path(), &["config"], &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("error: no rave.toml in "), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nremedy: "), "{}", ran.stderr);
}

#[test]
fn a_checkout_at_a_non_utf8_path_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let checkout = folder.path().join(OsStr::from_bytes(b"not \xff text"));
    std::fs::create_dir(&checkout).unwrap();
    fill(&checkout, &own_toml());
    let ran = run_in(&checkout, &["config"], &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("is not valid UTF-8"), "{}", ran.stderr);
}

#[test]
fn a_local_file_and_a_variable_override_and_config_shows_it() {
    let folder = fresh(&own_toml());
    std::fs::write(folder.path().join("rave.local.toml"), "[vm]\nmemory = 2048\n").unwrap();
    let ran = run_in(folder.path(), &["config"], &[("RAVE_CPUS", "4")]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let row = |key: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("vm.memory"), "vm.memory rave.local.toml:2 2048");
    assert_eq!(row("vm.cpus"), "vm.cpus RAVE_CPUS 4");
}

#[test]
fn json_of_config_is_only_data() {
    let ran = xtask(&own_toml(), &["config", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["schema"], 2);
    let value = |key: &str| {
        let values = document["values"].as_array().unwrap();
        values.iter().find(|value| value["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("guest.user"), "agent");
    assert_eq!(value("vm.cpus"), 2);
    assert_eq!(value("profiles.simple.hardened"), false);
    assert!(value("debian.packages").as_array().unwrap().contains(&"systemd-sysv".into()));
}

#[test]
fn colours_are_written_only_on_request() {
    let colour = |arguments: &[&str]| xtask("", arguments).stderr.contains('\u{1b}');
    assert!(!colour(&["config"]));
    assert!(colour(&["config", "--color", "always"]));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let script = r#""$0" completions bash 2>&1 >&3 3>&- | cat"#;
    // Standard output is a pipe without a reader.
    let whole = format!("{{ {{ {script}; }} 3>&1; }} | true; echo done");
    let command = rave_process::Cmd::new("bash").args(["-c", &whole, env!("CARGO_BIN_EXE_xtask")]);
    assert_eq!(command.output().unwrap().text(), "done");
}

#[test]
fn json_of_doctor_is_only_data() {
    let ran = xtask(&own_toml(), &["doctor", "--json", "--accel", "tcg"]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&ran.stdout).unwrap();
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    for name in ["mmdebstrap", "accelerator", "nginx"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let nginx = rows.iter().find(|row| row["name"] == "nginx").unwrap();
    assert_eq!(nginx["parts"], serde_json::json!(["test"]));
    assert!([0, 3].contains(&ran.code), "{}", ran.stderr);
}

#[test]
fn a_missing_schema_is_reported_before_any_work() {
    let folder = fresh(&own_toml());
    let ran = run_in(folder.path(), &["config"], &[("RAVE_OVF_SCHEMA", "/nowhere/envelope.xsd")]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("RAVE_OVF_SCHEMA: /nowhere/envelope.xsd is not a file\nremedy: "),
        "{}",
        ran.stderr
    );
}
