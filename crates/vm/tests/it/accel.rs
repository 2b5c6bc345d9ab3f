//! The accelerator probe, with real guests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_vm::Error;
use rave_vm::accel::{Accelerator, Engine, KvmState, ProbeRequest, cache_file, probe};
use rave_vm::machine::Arch;
use rave_vm::qemu::Qemu;

fn scratch() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

/// A program that stands in for a broken QEMU, which is not available otherwise.
fn script(folder: &Utf8Path, text: &str) -> Utf8PathBuf {
    let path = folder.join("qemu");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn software_emulation_runs_the_probe_once() {
    let (_scratch, cache_dir) = scratch();
    let qemu = Qemu::find(Arch::X86_64).unwrap();
    let force = Some(Accelerator::Tcg);
    let request = ProbeRequest { qemu: &qemu, cache_dir: &cache_dir, force, refresh: false };
    let first = probe(&request).unwrap();
    assert_eq!(
        (first.accelerator(), &first.kvm, first.cached),
        (Accelerator::Tcg, &KvmState::NotTried, false)
    );
    let second = probe(&request).unwrap();
    assert_eq!((second.tcg_ms, second.cached), (first.tcg_ms, true));
    assert!(!probe(&ProbeRequest { refresh: true, ..request }).unwrap().cached);
}

/// Whatever this host's KVM is like, the result must be consistent: this test takes a different branch on each kind of
/// host, and on a host whose KVM hangs it checks that the deadline is waited for only once.
#[test]
fn the_result_for_the_hosts_kvm_is_cached() {
    let (_scratch, cache_dir) = scratch();
    let qemu = Qemu::find(Arch::X86_64).unwrap();
    let request = ProbeRequest { qemu: &qemu, cache_dir: &cache_dir, force: None, refresh: false };
    let first = probe(&request).unwrap();
    let works = matches!(first.kvm, KvmState::Works { .. });
    assert_eq!(first.accelerator() == Accelerator::Kvm, works, "{first:?}");
    assert_eq!(first.tcg_ms.is_none(), works, "{first:?}");
    assert_eq!(first.kvm.remedy().is_none(), works, "{first:?}");

    let started = Instant::now();
    let second = probe(&request).unwrap();
    assert_eq!((&second.kvm, second.engine), (&first.kvm, first.engine));
    assert!(started.elapsed() < Duration::from_secs(3), "the cause is cached: {:?}", started.elapsed());
    if matches!(first.kvm, KvmState::Hangs { .. }) {
        let cached = fs::read_to_string(cache_file(&cache_dir)).unwrap();
        assert!(second.cached && cached.contains("\"hangs\""), "{cached}");
        let forced = probe(&ProbeRequest { force: Some(Accelerator::Kvm), ..request }).unwrap_err();
        assert!(forced.remedy().unwrap().contains("nested virtualisation"), "{forced}");
    }
}

#[test]
fn missing_old_and_invalid_qemus_are_distinguished() {
    let (_scratch, folder) = scratch();
    let missing = Qemu::at(&folder.join("nothing-here")).unwrap_err();
    assert!(matches!(missing, Error::QemuMissing { .. }), "{missing}");
    let old = Qemu::at(&script(&folder, "echo 'QEMU emulator version 6.2.0 (Debian)'")).unwrap_err();
    assert!(old.to_string().contains("is QEMU 6.2.0; 7.2.0 or newer is required"), "{old}");
    let other = Qemu::at(&script(&folder, "echo hello")).unwrap_err();
    assert!(matches!(other, Error::QemuUnknown { ref printed, .. } if printed == "hello"), "{other}");
}

#[test]
fn a_qemu_that_exits_immediately_is_reported_with_its_last_output() {
    let (_scratch, folder) = scratch();
    let text = "case $1 in --version) echo 'QEMU emulator version 9.0.0';; *) echo 'no BIOS found' >&2; exit 1;; esac";
    let qemu = Qemu::at(&script(&folder, text)).unwrap();
    let force = Some(Accelerator::Tcg);
    let error = probe(&ProbeRequest { qemu: &qemu, cache_dir: &folder, force, refresh: false }).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no BIOS found") && text.contains("exit code 1"), "{text}");
}

#[test]
fn a_qemu_with_broken_avx2_gets_none_whatever_its_version() {
    let (_scratch, folder) = scratch();
    // Writes the guest's output under QEMU 7.2.
    let text = r#"case $1 in --version) echo 'QEMU emulator version 10.0.0'; exit;; esac
for word; do case $word in file,id=serial,path=*) printf RLTWa > "${word#file,id=serial,path=}";; esac; done
exit 33"#;
    let qemu = Qemu::at(&script(&folder, text)).unwrap();
    let force = Some(Accelerator::Tcg);
    let request = ProbeRequest { qemu: &qemu, cache_dir: &folder, force, refresh: false };
    let first = probe(&request).unwrap();
    assert_eq!((first.engine, first.cached), (Engine::TcgWithoutAvx2, false));
    let second = probe(&request).unwrap();
    assert_eq!((second.engine, second.cached), (Engine::TcgWithoutAvx2, true));
}
