//! `cargo xtask smoke` without machines.

use expect_test::expect;

use crate::checkout::{read, shows, xtask};

fn smoke(arguments: &[&str]) -> crate::checkout::Ran {
    let arguments: Vec<&str> = ["smoke", "--base", "debian"].iter().chain(arguments).copied().collect();
    xtask(&read("rave.toml".into()), &arguments)
}

#[test]
fn the_list_shows_selected_checks_in_execution_order() {
    let chosen = ["--list", "--only", "reboot,sudo,kanban-api", "--skip", "kanban-api", "--only", "tool-git"];
    shows(
        &smoke(&chosen),
        0,
        &expect![[r#"
            CHECK     GROUP   NEEDS  PASSES WHEN
            sudo      system         the user becomes root without a password
            tool-git  tools          git is installed
            reboot    life           a reboot comes back ready with the same host keys
        "#]],
    );
}

#[test]
fn an_unknown_check_is_a_usage_error_with_the_nearest_name() {
    shows(
        &smoke(&["--only", "kanban-answer"]),
        2,
        &expect![[r#"
        error: there is no check "kanban-answer"
        remedy: did you mean kanban-answers? `cargo xtask smoke --list` shows them all
    "#]],
    );
    shows(
        &smoke(&["--skip", "xyz", "--list"]),
        2,
        &expect![[r#"
        error: there is no check "xyz"
        remedy: `cargo xtask smoke --list` shows them all
    "#]],
    );
    shows(
        &smoke(&["--only", "sudo", "--skip", "sudo"]),
        2,
        &expect![[r#"
        error: --only and --skip together leave no check
    "#]],
    );
}

#[test]
fn an_invalid_report_folder_is_reported_before_building() {
    for flag in ["--report", "--screenshot"] {
        let ran = smoke(&[flag, "rave.toml"]);
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert_eq!(
            ran.stderr,
            "error: cannot make the folder rave.toml: File exists (os error 17)\n\
             remedy: name a folder that exists or can be created\n"
        );
    }
}

#[test]
fn the_rows_of_the_matrix_are_listed() {
    shows(
        &smoke(&["--list-rows"]),
        0,
        &expect![[r#"
        ROW                 FORMAT      MEDIUM     FIRMWARE  BUS          NIC
        qemu-bios           qemu        disk       bios      virtio-blk   virtio-net
        qemu-uefi           qemu        disk       uefi      virtio-blk   virtio-net
        virtualbox          virtualbox  disk       bios      ahci         e1000
        vmware-pvscsi       vmware      disk       bios      pvscsi       vmxnet3
        vmware-lsi          vmware      disk       bios      lsi-sas      e1000e
        vmware-sata         vmware      disk       uefi      ahci         e1000e
        raw-nvme-bios       raw         disk       bios      nvme         e1000e
        raw-nvme-uefi       raw         disk       uefi      nvme         e1000e
        raw-usb-bios        raw         usb stick  bios      usb-storage  e1000e
        raw-usb-uefi        raw         usb stick  uefi      usb-storage  e1000e
        iso-cd-bios         iso         cd         bios      sata-cd      virtio-net
        iso-cd-uefi         iso         cd         uefi      sata-cd      virtio-net
        iso-usb-bios        iso         usb stick  bios      usb-storage  e1000
        iso-usb-uefi        iso         usb stick  uefi      usb-storage  e1000
        iso-installed-bios  iso         installed  bios      ahci         e1000
        iso-installed-uefi  iso         installed  uefi      nvme         e1000e
    "#]],
    );
}

#[test]
fn unknown_rows_and_rows_of_other_formats_are_usage_errors() {
    shows(
        &smoke(&["--rows", "qemu-efi"]),
        2,
        &expect![[r#"
        error: the matrix has no row "qemu-efi"
        remedy: did you mean qemu-uefi? `cargo xtask smoke --list-rows` shows them all
    "#]],
    );
    shows(
        &smoke(&["--rows", "first,qemu-bios"]),
        2,
        &expect![[r#"
        error: the matrix has no row "first"
        remedy: `cargo xtask smoke --list-rows` shows them all; `first` and `all` stand alone
    "#]],
    );
    shows(
        &smoke(&["--format", "raw", "--rows", "qemu-uefi"]),
        2,
        &expect![[r#"
        error: row qemu-uefi does not belong to the chosen formats
        remedy: add qemu to --format, or leave --format out
    "#]],
    );
}

#[test]
fn two_machines_cannot_use_the_same_ports() {
    let arguments = ["--format", "qemu", "--rows", "all", "--jobs", "2", "--fixed-ports"];
    shows(
        &smoke(&arguments),
        2,
        &expect![[r#"
        error: --fixed-ports: two machines cannot have the same ports
        remedy: add --jobs 1, or leave --fixed-ports out
    "#]],
    );
}

#[test]
fn a_row_without_an_applicable_check_is_a_usage_error() {
    shows(
        &smoke(&["--rows", "qemu-bios,iso-cd-bios", "--only", "reboot"]),
        2,
        &expect![[r#"
        error: none of the chosen checks applies to row iso-cd-bios, whose guest runs live
        remedy: add a check that does to --only, or choose other rows with --rows
    "#]],
    );
    shows(
        &smoke(&["--rows", "qemu-bios", "--only", "medium-whole"]),
        2,
        &expect![[r#"
        error: none of the chosen checks applies to row qemu-bios, whose guest runs from its own disk
        remedy: add a check that does to --only, or choose other rows with --rows
    "#]],
    );
}
