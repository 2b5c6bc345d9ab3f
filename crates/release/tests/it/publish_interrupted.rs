//! A publication that is killed or runs out of space: the tree has the complete release or nothing, and the next run
//! finishes it.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8Path;
use rave_process::progress::Event;
use rave_release::Error;
use rave_release::publish::{COPY, LINK, Latest, RENAME};
use rave_release::verify;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, files};
use crate::publish::publish_by;
use crate::{killed, small_disk};

/// Events of a publication, in order: a stage and how often it was started, or the progress of the copy.
const STOPS: [&str; 7] =
    ["verify 1", "copy 1", "progress 1", "progress 4", "verify 2", "publish 1", "latest 1"];

/// Not a test by itself: the test below starts and kills it.
#[test]
fn killed_child() {
    killed::in_child(publish_until);
}

fn publish_until(fixture: &Fixture, stop: &str) {
    let [verifications, progress] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let sink = |event: Event<'_>| {
        let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed) + 1;
        let at = match event {
            Event::StageStarted { stage: verify::STAGE } => format!("verify {}", count(&verifications)),
            Event::StageStarted { stage: stage @ (COPY | RENAME | LINK) } => format!("{stage} 1"),
            Event::StageProgress { stage: COPY, .. } => format!("progress {}", count(&progress)),
            _ => return,
        };
        if at == stop {
            killed::stop(stop);
        }
    };
    publish_by(fixture, &fixture.path("release"), vec![fixture.signer()], false, &sink).unwrap();
}

#[test]
fn a_kill_leaves_the_release_complete_or_absent_and_the_next_run_finishes_it() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    let release = fixture.release();
    let (place, link) = (fixture.path("tree/1.2.0"), fixture.path("tree/latest"));
    for (number, stop) in STOPS.iter().enumerate() {
        killed::kill(&fixture, "publish_interrupted::killed_child", stop);
        let is_visible = *stop == "latest 1";
        assert_eq!(place.exists(), is_visible, "killed at {stop}");
        assert!(fs::symlink_metadata(&link).is_err(), "killed at {stop}");
        if is_visible {
            assert_eq!(fixture.verify(&place).problems, []);
        }
        let copied = AtomicUsize::new(0);
        let sink = |event: Event<'_>| {
            if matches!(event, Event::StageProgress { stage: COPY, .. }) {
                copied.fetch_add(1, Ordering::Relaxed);
            }
        };
        let published = publish_by(&fixture, &release, vec![fixture.signer()], false, &sink).unwrap();
        assert_eq!(
            (published.is_new, published.latest),
            (!is_visible, Latest::Moved(None)),
            "killed at {stop}"
        );
        // Copied files are not copied again: three complete files before the fourth.
        let all = files(&release).len();
        let expected = [all, all, all, all - 3, 0, 0, 0][number];
        assert_eq!(copied.into_inner(), expected, "killed at {stop}");
        assert_eq!(fixture.verify(&place).problems, []);
        assert_eq!(files(&fixture.path("tree/.publish")), ["lock"], "killed at {stop}");
        fs::remove_dir_all(fixture.path("tree")).unwrap();
    }
}

#[test]
fn leftovers_with_other_content_are_not_used() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    fixture.release();
    killed::kill(&fixture, "publish_interrupted::killed_child", "verify 2");
    let mut plan = fixture.plan("other");
    plan.commit = "f".repeat(40);
    fixture.cut(&plan).unwrap();
    let published = publish_by(&fixture, &plan.out, vec![fixture.signer()], false, &|_| ()).unwrap();
    assert!(published.is_new);
    assert_eq!(fixture.verify(&published.folder).manifest.unwrap().commit, plan.commit);
    assert_eq!(files(&fixture.path("tree/.publish")), ["lock"]);
    // Corrupted bytes in the leftovers are found, removed, and copied again by the next run.
    fs::remove_dir_all(fixture.path("tree")).unwrap();
    killed::kill(&fixture, "publish_interrupted::killed_child", "verify 2");
    let staged =
        files(&fixture.path("tree/.publish")).into_iter().find(|file| file.contains(".qcow2")).unwrap();
    let staged = fixture.path("tree/.publish").join(staged);
    let mut bytes = fs::read(&staged).unwrap();
    bytes[1000] ^= 1;
    fs::write(&staged, bytes).unwrap();
    let release = fixture.path("release");
    let error = publish_by(&fixture, &release, vec![fixture.signer()], false, &|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unverified { .. }), "{error}");
    assert!(!fixture.path("tree/1.2.0").exists());
    publish_by(&fixture, &release, vec![fixture.signer()], false, &|_| ()).unwrap();
}

#[test]
fn a_full_disk_leaves_the_tree_unchanged() {
    let fixture = or_skip!(Fixture::with_kept_key(&[Format::Qemu]));
    fixture.release();
    let test = "publish_interrupted::small_disk_child";
    let message = or_skip!(small_disk::run(&fixture, "tree", test));
    assert!(message.contains("published after the disk was full"), "{message}");
}

/// Not a test by itself: the test above runs it on a small file system.
#[test]
fn small_disk_child() {
    small_disk::in_child(on_a_small_disk);
}

fn on_a_small_disk(place: &Utf8Path) {
    let fixture = Fixture::at(place);
    let (release, tree) = (fixture.path("release"), fixture.path("tree"));
    let publish = |sink: rave_process::progress::Sink<'_>| {
        publish_by(&fixture, &release, vec![fixture.signer()], false, sink)
    };
    let refused = |error: Error| {
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        assert!(error.remedy().unwrap().starts_with("free some space"));
        assert!(!tree.join("1.2.0").exists() && fs::symlink_metadata(tree.join("latest")).is_err());
        assert!(!files(&tree).iter().any(|file| file.contains(".qcow2")), "{:?}", files(&tree));
    };
    // Detected before anything is written, and while writing.
    refused(publish(&|_| ()).unwrap_err());
    let resize = |size: &str| {
        // With a source, so that mount(8) adds no newer options, which fail in a user namespace.
        let arguments = ["-o", &format!("remount,size={size}"), "none", tree.as_str()].map(str::to_owned);
        duct::cmd("mount", arguments).run().unwrap();
    };
    resize("64m");
    let fill = |event: Event<'_>| {
        if matches!(event, Event::StageProgress { stage: COPY, done, .. } if done < 20_000) {
            let _ = fs::write(tree.join("others"), vec![1; 64 << 20]);
        }
    };
    refused(publish(&fill).unwrap_err());
    fs::remove_file(tree.join("others")).unwrap();
    publish(&|_| ()).unwrap();
    assert_eq!(fixture.verify(&tree.join("latest")).problems, []);
    eprintln!("published after the disk was full");
}
