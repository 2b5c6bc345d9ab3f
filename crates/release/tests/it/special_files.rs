//! Pipes, sockets, devices and links where a release or one of its files should be: none blocks, none is followed, and
//! each is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use camino::{Utf8Path, Utf8PathBuf};
use rave_release::cut::{self, Plan, ReleasePart, work_folder};
use rave_release::notes::Previous;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, copy};
use crate::publish::publish_by;

fn small() -> Result<Fixture, String> {
    Fixture::of_formats(&[Format::Qemu])
}

fn pipe(path: &Utf8Path) {
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path.as_std_path(), kind, rustix::fs::Mode::RUSR, 0).unwrap();
}

/// A pipe, a socket, a link to a device, and a dangling link.
fn special(fixture: &Fixture) -> ([Utf8PathBuf; 4], UnixListener) {
    let paths = ["pipe", "socket", "device", "dangling"].map(|name| fixture.path(name));
    pipe(&paths[0]);
    let socket = UnixListener::bind(&paths[1]).unwrap();
    symlink("/dev/zero", &paths[2]).unwrap();
    symlink("nowhere", &paths[3]).unwrap();
    (paths, socket)
}

#[test]
fn no_release_is_read_from_them() {
    let fixture = or_skip!(small());
    let (paths, _socket) = special(&fixture);
    for path in &paths[..3] {
        let problems = fixture.verify(path).problems;
        assert_eq!(problems[0].to_string(), format!("{path}: cannot be opened: it is not a folder"));
        let error = publish_by(&fixture, path, vec![fixture.signer()], false, &|_| ()).unwrap_err();
        assert!(error.to_string().contains("it is not a folder"), "{error}");
        assert!(ReleasePart::read(path).unwrap_err().to_string().contains("it is not a folder"));
        assert!(Previous::read(path).unwrap_err().to_string().contains("it is not a folder"));
    }
}

#[test]
fn no_release_is_cut_into_them() {
    let fixture = or_skip!(small());
    let (paths, _socket) = special(&fixture);
    for path in paths {
        let plan = Plan { out: path.clone(), ..fixture.plan("any") };
        let error = fixture.cut(&plan).unwrap_err();
        assert_eq!(error.to_string(), format!("{path} already exists: it is not a folder"));
        assert!(error.remedy().unwrap().contains("--out"));
        assert!(cut::part(&plan, &fixture, &|_| ()).unwrap_err().to_string().contains("it is not a folder"));
        assert!(path.symlink_metadata().is_ok() && !work_folder(&path).exists(), "{path}");
    }
    // As files of a folder that is in the way, and as the lock of an unfinished release.
    let plan = fixture.plan("occupied");
    fs::create_dir(&plan.out).unwrap();
    pipe(&plan.out.join("manifest.json"));
    let error = fixture.cut(&plan).unwrap_err().to_string();
    assert!(error.contains("has no release in it"), "{error}");
    let plan = fixture.plan("locked");
    fs::create_dir(work_folder(&plan.out)).unwrap();
    pipe(&work_folder(&plan.out).join("lock"));
    let error = fixture.cut(&plan).unwrap_err().to_string();
    assert!(error.ends_with("/lock is damaged: it is not a regular file"), "{error}");
}

#[test]
fn no_earlier_release_has_them_as_files() {
    let fixture = or_skip!(small());
    let release = fixture.release();
    let artifact = "rave-1.2.0-headless-x86_64.qcow2";
    for name in ["manifest.json", "sbom/rave-1.2.0-headless-x86_64.cdx.json", artifact] {
        let earlier = fixture.path("earlier");
        copy(&release, &earlier);
        fs::remove_file(earlier.join(name)).unwrap();
        pipe(&earlier.join(name));
        let mut plan = fixture.plan("next");
        plan.version = "1.3.0".parse().unwrap();
        (plan.previous, plan.patch_from) = (Some(earlier.clone()), Some(earlier.clone()));
        let error = fixture.cut(&plan).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("it is not a regular file"), "{error}");
        fs::remove_dir_all(work_folder(&plan.out)).unwrap();
        fs::remove_dir_all(&earlier).unwrap();
    }
}

#[test]
fn a_finished_release_with_one_of_them_is_not_taken_for_finished() {
    let fixture = or_skip!(small());
    let plan = fixture.plan("release");
    fixture.cut(&plan).unwrap();
    for name in ["SHA256SUMS.sig", "keys.jsonl"] {
        let kept = fs::read(plan.out.join(name)).ok();
        let _ = fs::remove_file(plan.out.join(name));
        pipe(&plan.out.join(name));
        let error = fixture.cut(&plan).unwrap_err().to_string();
        assert!(error.contains("already exists: it has this release in it"), "{error}");
        fs::remove_file(plan.out.join(name)).unwrap();
        if let Some(bytes) = kept {
            fs::write(plan.out.join(name), bytes).unwrap();
        }
    }
}
