//! Rebuilds of a release, and the reported differences.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_release::cut::{self, Remade, Workshop as _};
use rave_release::manifest::Manifest;
use rave_release::rebuild::{self, Difference, What};
use rave_spec::Format;
use rave_testing::or_skip;

use crate::fixture::{Fixture, inputs};

fn manifest(release: &Utf8Path) -> Manifest {
    Manifest::parse(&fs::read(release.join("manifest.json")).unwrap()).unwrap()
}

/// Rebuilds a release from its own manifest.
fn rebuilt(fixture: &Fixture, release: &Utf8Path, name: &str) -> (Utf8PathBuf, Manifest) {
    let folder = fixture.path(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let plan = rebuild::plan(&manifest(release), folder.clone());
    let profile = &plan.profiles[0];
    let built = fixture.build(profile).unwrap();
    let inventory = fixture.inventory(profile, &built, &plan.stem(profile)).unwrap();
    let inputs = inputs(&fixture.path("inputs"));
    let made = cut::remake(&plan, &[Remade { built, inventory }], &inputs, &folder).unwrap();
    (folder, made)
}

#[test]
fn rebuilds_from_a_manifest_are_equal_even_if_split() {
    let fixture = or_skip!(Fixture::new());
    let mut plan = fixture.plan("release");
    for limit in [u64::MAX, 100_000] {
        plan.part_limit = limit;
        fixture.cut(&plan).unwrap();
        let ours = manifest(&plan.out);
        assert_eq!(ours.files().any(|file| !file.parts.is_empty()), limit == 100_000);
        let (folder, theirs) = rebuilt(&fixture, &plan.out, "again");
        assert_eq!(rebuild::differences((&plan.out, &ours), (&folder, &theirs)).unwrap(), []);
        fs::remove_dir_all(&plan.out).unwrap();
    }
}

#[test]
fn the_first_differing_byte_and_file_are_reported() {
    let fixture = or_skip!(Fixture::of_formats(&[Format::Raw]));
    let release = fixture.release();
    let ours = manifest(&release);
    let (folder, theirs) = rebuilt(&fixture, &release, "again");
    let name = "rave-1.2.0-headless-x86_64.img.zst";
    // One file of the guest differs.
    let disk = fixture.path("disk");
    let run = |arguments: &[&str]| {
        Cmd::new(arguments[0]).args(arguments[1..].iter().copied()).output().unwrap();
    };
    run(&["zstd", "-d", "-q", "-o", disk.as_str(), folder.join(name).as_str()]);
    fs::write(fixture.path("text"), "elsewhere\n").unwrap();
    let debugfs = |request: &str| {
        let image = format!("{disk}?offset={}", 4 << 20);
        run(&["debugfs", "-w", "-R", request, &image]);
    };
    debugfs("rm etc/hostname");
    debugfs(&format!("write {} etc/hostname", fixture.path("text")));
    fs::remove_file(folder.join(name)).unwrap();
    run(&["zstd", "-q", "-o", folder.join(name).as_str(), disk.as_str()]);
    let found = rebuild::differences((&release, &ours), (&folder, &theirs)).unwrap();
    assert!(
        matches!(&found[..], [Difference { name: one, what: What::Byte(_) }] if one == name),
        "{found:?}"
    );
    let file = rebuild::first_file(&release.join(name), &folder.join(name)).unwrap();
    assert_eq!(file.as_deref(), Some("/etc/hostname"));

    // Differences derived from an artifact are reported after it.
    let mut text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    text.push(' ');
    fs::write(folder.join("manifest.json"), text).unwrap();
    let found = rebuild::differences((&release, &ours), (&folder, &theirs)).unwrap();
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), [name, "manifest.json"]);

    // A bill with a different last byte.
    let (folder, theirs) = rebuilt(&fixture, &release, "again");
    let bill = ours.bills().next().unwrap();
    let path = folder.join(bill.name.as_str());
    fs::write(&path, fs::read_to_string(&path).unwrap() + " ").unwrap();
    let found = rebuild::differences((&release, &ours), (&folder, &theirs)).unwrap();
    assert_eq!(found[0].to_string(), format!("{}: differs first at byte {}", bill.name, bill.size));
}
