use super::*;
use crate::machine::{DiskFormat, Interface, Password};
use std::os::unix::fs::PermissionsExt as _;

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

fn with_disk(folder: &Utf8Path, overlay: Overlay) -> Machine {
    let path = folder.join("disk, 1.raw");
    File::create(&path).unwrap().set_len(3 * 1024 * 1024).unwrap();
    let disk = Some(Disk::whole(path, DiskFormat::Raw, Interface::Virtio));
    Machine { disk, overlay, disk_mib: Some(64), ..Machine::new("test", folder) }
}

fn size_of(overlay: &Utf8Path) -> u64 {
    let info = Cmd::new("qemu-img").args(["info", "--output=json", overlay.as_str()]).output().unwrap();
    virtual_size(&info.stdout).unwrap()
}

#[test]
fn an_image_inside_another_file_is_read_in_place_and_unchanged() {
    let (_scratch, folder) = scratch();
    let (image, holder) = (folder.join("a.vmdk"), folder.join("a, b.ova"));
    let img = |args: &[&str]| Cmd::new("qemu-img").args(args).output().unwrap();
    let options = ["-o", "subformat=monolithicSparse"];
    img(&[&["create", "-q", "-f", "vmdk"], &options[..], &[image.as_str(), "3M"]].concat());
    let content = [vec![1; 1024], fs::read(&image).unwrap(), vec![2; 512]].concat();
    fs::write(&holder, &content).unwrap();
    let extent = DiskExtent::Bytes { offset: 1024, size: content.len() as u64 - 1536 };
    let disk = Disk { extent, ..Disk::whole(&holder, DiskFormat::Vmdk, Interface::Ahci) };
    let machine = |overlay, disk_mib| Machine {
        disk: Some(disk.clone()),
        overlay,
        disk_mib,
        ..Machine::new("test", &folder)
    };
    prepare(&machine(Overlay::Throwaway, Some(64))).unwrap();
    let overlay = folder.join("overlay.qcow2");
    assert_eq!(size_of(&overlay), 64 * 1024 * 1024);
    let bytes = img(&["convert", "-O", "raw", overlay.as_str(), folder.join("out").as_str()]);
    assert!(bytes.text().is_empty());
    assert_eq!(fs::read(&holder).unwrap(), content);
    let error = prepare(&machine(Overlay::None, None)).unwrap_err().to_string();
    assert!(error.contains("only be read through an overlay"), "{error}");
}

#[test]
fn a_credential_is_a_private_binary_file_for_systemd() {
    let (_scratch, folder) = scratch();
    let mut machine = Machine::new("test", &folder);
    machine.credentials =
        vec![Credential { name: "rave.authorized_keys".into(), value: b"key\n\xff".to_vec() }];
    prepare(&machine).unwrap();
    let file = machine.files.credential(0);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "io.systemd.credential.binary:rave.authorized_keys=a2V5Cv8="
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_display_has_a_private_password_file_and_a_valid_vnc_port() {
    let (_scratch, folder) = scratch();
    let served = |port| {
        let password = Password::random().unwrap();
        let server =
            DisplayServer { bind: std::net::Ipv4Addr::LOCALHOST.into(), port, password: password.clone() };
        (Machine { display: Display::Vnc(server), ..Machine::new("test", &folder) }, password)
    };
    let (machine, password) = served(VNC_BASE);
    prepare(&machine).unwrap();
    let file = machine.files.display_password();
    assert_eq!(fs::read_to_string(&file).unwrap(), password.as_str());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let error = prepare(&served(VNC_BASE - 1).0).unwrap_err().to_string();
    assert!(error.contains("at least 5900, not 5899"), "{error}");
}

#[test]
fn logs_of_an_earlier_run_are_removed() {
    let (_scratch, folder) = scratch();
    let machine = Machine::new("test", &folder);
    fs::write(&machine.files.ready_log, "{\"stage\":\"ready\",\"state\":\"ok\"}\n").unwrap();
    prepare(&machine).unwrap();
    assert!(!machine.files.ready_log.exists());
}

#[test]
fn an_overlay_has_the_larger_of_two_sizes() {
    let (_scratch, folder) = scratch();
    let mut machine = with_disk(&folder, Overlay::Throwaway);
    prepare(&machine).unwrap();
    assert_eq!(size_of(&machine.files.throwaway()), 64 * 1024 * 1024);
    machine.disk_mib = Some(1);
    prepare(&machine).unwrap();
    assert_eq!(size_of(&machine.files.throwaway()), 3 * 1024 * 1024);
}

#[test]
fn a_kept_overlay_is_reused_follows_its_image_and_grows() {
    let (_scratch, folder) = scratch();
    let kept = folder.join("kept/disk.qcow2");
    let mut machine = with_disk(&folder, Overlay::Keep(kept.clone()));
    prepare(&machine).unwrap();
    let before = fs::metadata(&kept).unwrap().modified().unwrap();
    prepare(&machine).unwrap();
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), before);

    let disk = machine.disk.as_mut().unwrap();
    let moved = folder.join("moved");
    fs::rename(&disk.path, &moved).unwrap();
    disk.path.clone_from(&moved);
    machine.disk_mib = Some(128);
    prepare(&machine).unwrap();
    let about = img("test", &["info", "--output=json", kept.as_str()]).unwrap();
    let about: OverlayInfo = serde_json::from_slice(&about.stdout).unwrap();
    assert_eq!((about.bytes, about.backing.as_str()), (128 << 20, moved.as_str()));
    machine.disk_mib = Some(64);
    prepare(&machine).unwrap();
    assert_eq!(size_of(&kept), 128 << 20, "it never shrinks");
}

#[test]
fn impossible_machines_are_refused_with_the_reason() {
    let (_scratch, folder) = scratch();
    let ok = Machine::new("test", &folder);
    let long = folder.join("x".repeat(SOCKET_PATH_MAX));
    for (machine, words) in [
        (Machine { name: "a b".into(), ..ok.clone() }, "its name"),
        (Machine { name: "../a".into(), ..ok.clone() }, "its name"),
        (
            Machine { forwards: vec![crate::ports::PortForward::new("ssh", 1, 22)], ..ok.clone() },
            "has no network",
        ),
        (Machine { disk_mib: Some(1), ..ok.clone() }, "overlay"),
        (Machine { files: crate::machine::Files::in_dir(&long), ..ok.clone() }, "longer than 107 bytes"),
        (
            Machine { credentials: vec![Credential { name: "a=b".into(), value: Vec::new() }], ..ok.clone() },
            "credential",
        ),
    ] {
        let error = prepare(&machine).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_missing_disk_is_named() {
    let (_scratch, folder) = scratch();
    let machine = with_disk(&folder, Overlay::Throwaway);
    fs::remove_file(&machine.disk.as_ref().unwrap().path).unwrap();
    assert!(prepare(&machine).unwrap_err().to_string().contains("disk, 1.raw"));
}
