//! The archive of inputs: the same inputs give the same bytes, and any deviation is refused.

use std::fs;

use camino::Utf8Path;
use rave_release::inputs::{INDEX, Index, entries, read, write};
use rave_release::names;
use rave_testing::or_skip;

use crate::fixture::{Fixture, copy, inputs};

const EPOCH: u64 = 1_795_520_426;

type Members = Vec<(tar::Header, Vec<u8>)>;

fn archive(folder: &Utf8Path, name: &str) -> Vec<u8> {
    let inputs = inputs(folder);
    let target = folder.join(name);
    let written = write(&inputs, &Index::new(entries(&inputs).unwrap()), EPOCH, &target).unwrap();
    let bytes = fs::read(&target).unwrap();
    assert_eq!(
        (written.size, written.sha256),
        (bytes.len() as u64, rave_image::digest::Digest::of_bytes(&bytes))
    );
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    read(&mut &*bytes, &mut |_, _| Ok(())).unwrap_err()
}

/// The same members after a manipulation.
fn rewritten(bytes: &[u8], change: impl Fn(&mut Members)) -> Vec<u8> {
    let mut archive = tar::Archive::new(bytes);
    let mut members: Members = archive
        .entries()
        .unwrap()
        .map(|member| {
            let mut member = member.unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut member, &mut content).unwrap();
            (member.header().clone(), content)
        })
        .collect();
    change(&mut members);
    let mut builder = tar::Builder::new(Vec::new());
    for (mut header, content) in members {
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn equal_inputs_produce_equal_archives_that_tar_can_list() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let first = archive(folder, "a.tar");
    assert_eq!(first, archive(&folder.join("elsewhere"), "b.tar"));
    let mut taken = Vec::new();
    let index = read(&mut first.as_slice(), &mut |entry, content| {
        let mut text = String::new();
        content.read_to_string(&mut text)?;
        taken.push(format!("{}: {}", entry.path, text.lines().next().unwrap_or_default()));
        Ok(())
    });
    assert_eq!(index.unwrap().inputs.len(), 4);
    assert_eq!(taken[1], "debs/0a.deb: a package");
    let listed = duct::cmd!("tar", "--numeric-owner", "-tvf", folder.join("a.tar").as_str()).read().unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("-rw-r--r-- 0/0")), "{listed}");
    assert!(lines[0].ends_with(INDEX) && lines.len() == 5, "{listed}");
}

#[test]
fn a_changed_byte_is_found_wherever_it_matters() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = archive(Utf8Path::from_path(folder.path()).unwrap(), "a.tar");
    let members: Vec<(u64, u64)> = tar::Archive::new(bytes.as_slice())
        .entries()
        .unwrap()
        .map(|member| member.map(|member| (member.raw_file_position(), member.size())).unwrap())
        .collect();
    for (start, size) in members {
        for at in [start, start + size - 1] {
            let mut damaged = bytes.clone();
            damaged[usize::try_from(at).unwrap()] ^= 1;
            assert!(read(&mut damaged.as_slice(), &mut |_, _| Ok(())).is_err(), "byte {at}");
        }
    }
    let cut = refusal(&bytes[..bytes.len() / 2]);
    assert!(!cut.is_empty());
    assert_eq!(refusal(b""), "it is empty");
}

#[test]
fn swapped_missing_added_and_outside_members_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = archive(Utf8Path::from_path(folder.path()).unwrap(), "a.tar");
    let of = |change: &dyn Fn(&mut Members)| refusal(&rewritten(&bytes, change));

    let swapped = of(&|members| members.swap(2, 3));
    assert_eq!(swapped, "\"debs/0a.stanza\" is where debs/0a.deb should be");
    let contents = of(&|members| members[2].1 = b"a pancake".to_vec());
    assert_eq!(contents, "debs/0a.deb does not have the SHA-256 in the index");
    let longer = of(&|members| members[2].1.push(b'!'));
    assert_eq!(longer, "debs/0a.deb has 10 bytes, the index says 9");
    let missing = of(&|members| drop(members.remove(2)));
    assert_eq!(missing, "\"debs/0a.stanza\" is where debs/0a.deb should be");
    let last = of(&|members| drop(members.pop()));
    assert_eq!(last, "npm/scope+tool-1.0.0.tgz is missing");
    let added = of(&|members| {
        let more = members[1].clone();
        members.push(more);
    });
    assert_eq!(added, "\"crates/adler2-2.0.1.crate\" is not in the index");
    let link = of(&|members| {
        members[2].0.set_entry_type(tar::EntryType::Symlink);
        members[2].0.set_link_name("/etc/passwd").unwrap();
        members[2].1.clear();
    });
    assert_eq!(link, "\"debs/0a.deb\" is not a regular file");

    let index = |from: &str, to: &str| {
        of(&|members| {
            let text = String::from_utf8(members[0].1.clone()).unwrap();
            assert!(text.contains(from));
            members[0].1 = text.replace(from, to).into_bytes();
        })
    };
    assert!(index("debs/0a.deb", "../0a.deb").contains("it leads out of its folder"));
    assert!(index("debs/0a.deb", "/etc/0a.deb").contains("it is absolute"));
    assert!(index("\"adler2\"", "\"../adler2\"").contains("is not that of a crate"));
    assert!(index("debs/0a.stanza", "debs/0a.deb").contains("one occurs twice"));
    let other = of(&|members| members[0].0.set_path("other.json").unwrap());
    assert_eq!(other, "it begins with \"other.json\", not with inputs.json");
}

#[test]
fn an_input_that_differs_from_its_lock_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = inputs(Utf8Path::from_path(folder.path()).unwrap());
    fs::write(&inputs[1].file, "another one").unwrap();
    let error = entries(&inputs).unwrap_err().to_string();
    assert!(error.contains("the lock says") && error.contains("of bash 5.2.37-2+b10"), "{error}");
}

#[test]
fn a_release_has_a_verified_archive_and_source_list() {
    let fixture = or_skip!(Fixture::of_formats(&[rave_spec::Format::Qemu]));
    let release = fixture.release();
    let name = names::inputs(&"1.2.0".parse().unwrap()).unwrap();
    let sources = fs::read_to_string(release.join(names::SOURCES)).unwrap();
    assert_eq!(sources, "# source\tversion\tpackages\nbash\t5.2.37-2\tbash\n");
    let verdict = fixture.verify(&release);
    assert_eq!(verdict.problems, []);
    let role = |path: &str| {
        let row = verdict.files.iter().find(|row| row.path == path).unwrap();
        row.role.to_string()
    };
    assert_eq!(role(name.as_str()), "inputs of the builds");
    assert_eq!(role(names::SOURCES), "corresponding sources");
    let provenance = fs::read_to_string(release.join(names::PROVENANCE)).unwrap();
    assert!(!provenance.is_empty());
    for path in [name.as_str(), names::SOURCES] {
        let damaged = fixture.path("damaged");
        copy(&release, &damaged);
        let mut bytes = fs::read(damaged.join(path)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(damaged.join(path), bytes).unwrap();
        assert_eq!(fixture.verify(&damaged).problems[0].about, path);
    }
    let mut plan = fixture.plan("without");
    plan.inputs = false;
    fixture.cut(&plan).unwrap();
    assert!(!plan.out.join(name.as_str()).exists());
    assert_eq!(fixture.verify(&plan.out).problems, []);
}
