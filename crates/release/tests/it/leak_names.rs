//! The leak gate on what surrounds the content of files: names, targets of links, extended attributes, headers.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};
use rave_release::leak::{Allowed, Gate, Report, Rule, gate};
use rave_testing::or_skip;

use crate::leaks::{Place, in_files, place, run, token};
use crate::newc;

/// A tree with an entry of each kind, and an entry whose name is `name`, a link to `target`.
fn tree(place: &Place, name: &str, target: &str) -> Utf8PathBuf {
    let tree = place.path.join("tree");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(tree.join("etc").join(name)).unwrap();
    fs::write(tree.join("etc/hostname"), "sandbox\n").unwrap();
    symlink(target, tree.join("etc/link")).unwrap();
    tree
}

fn ext4(place: &Place, tree: &Utf8Path) -> Result<Utf8PathBuf, String> {
    let disk = place.path.join("disk.img");
    let _ = fs::remove_file(&disk);
    run(&["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree.as_str(), disk.as_str(), "8M"])?;
    File::options().write(true).open(&disk).unwrap().write_all_at(&[0x55, 0xaa], 510).unwrap();
    Ok(disk)
}

fn search(place: &Place, artifact: &Utf8Path) -> Report {
    let artifacts = [artifact.to_owned()];
    let allowed = Allowed::parse("").unwrap();
    gate(Gate { artifacts: &artifacts, names: &place.names, allowed }, &|_| ()).unwrap()
}

/// The findings; nothing may be left unread.
fn found(place: &Place, artifact: &Utf8Path) -> Vec<(Rule, String)> {
    let report = search(place, artifact);
    assert_eq!(report.notes, [""; 0]);
    in_files(&report).into_iter().map(|(rule, path)| (rule, path.to_owned())).collect()
}

fn expected(list: &[(Rule, &str)]) -> Vec<(Rule, String)> {
    list.iter().map(|(rule, path)| (*rule, (*path).to_owned())).collect()
}

#[test]
fn names_and_targets_in_ext4_are_scanned() {
    let place = place();
    let disk = or_skip!(ext4(&place, &tree(&place, "plain", "hostname")));
    assert_eq!(found(&place, &disk), []);
    let disk = ext4(&place, &tree(&place, &place.names.user, &place.names.host)).unwrap();
    let folder = format!("etc/{}", place.names.user);
    assert_eq!(
        found(&place, &disk),
        expected(&[(Rule::BuilderUser, &folder), (Rule::BuilderHost, "etc/link")])
    );
    // A tree that a build left at the builder's own path: it begins at the root of the guest.
    let tree = tree(&place, "plain", "hostname");
    let below = place.names.paths[0].trim_start_matches('/').to_owned();
    fs::create_dir_all(tree.join(&below)).unwrap();
    symlink(&below, tree.join("from-root")).unwrap();
    let disk = ext4(&place, &tree).unwrap();
    assert_eq!(found(&place, &disk), expected(&[(Rule::BuildPath, "from-root"), (Rule::BuildPath, &below)]));
}

#[test]
fn attributes_in_ext4_are_scanned() {
    let place = place();
    let disk = or_skip!(ext4(&place, &tree(&place, "plain", "hostname")));
    let set = |name: &str, value: &str| {
        run(&["debugfs", "-w", "-R", &format!("ea_set /etc/hostname {name} {value}"), disk.as_str()])
    };
    or_skip!(set("user.note", "nothing"));
    assert_eq!(found(&place, &disk), []);
    // Values are stored back to back: as raw bytes of the disk, the last letter of one precedes the next.
    set("user.first", &place.names.user).unwrap();
    set("user.then", "abcd").unwrap();
    set(&format!("user.{}", place.names.host), "x").unwrap();
    let report = in_files(&search(&place, &disk));
    let places: Vec<_> =
        report.iter().map(|(rule, path)| (*rule, path.rsplit('/').next().unwrap())).collect();
    let of_host = format!("user.{}", place.names.host);
    assert_eq!(places, [(Rule::BuilderUser, "user.first"), (Rule::BuilderHost, &of_host)]);
    assert!(report.iter().all(|(_, path)| path.starts_with("extended attributes!/inode ")), "{report:?}");
    // Larger than the room in an inode: in a block of its own.
    let padding = "padding-".repeat(60);
    set("user.token", &format!("{padding}.{}", token())).unwrap();
    let report = in_files(&search(&place, &disk));
    let of_token: Vec<_> = report.iter().filter(|(rule, _)| *rule == Rule::Token).collect();
    assert!(of_token.len() == 1 && of_token[0].1.ends_with("/user.token"), "{report:?}");
}

#[test]
fn names_targets_and_attributes_in_squashfs_are_scanned() {
    let place = place();
    // Beside the disk of a live system.
    let disk = or_skip!(ext4(&place, &tree(&place, "plain", "hostname")));
    let iso = |folder: &Utf8Path, compression: &str| {
        let (live, iso) = (place.path.join("live"), place.path.join("live.iso"));
        let _ = fs::remove_dir_all(&live);
        fs::create_dir_all(&live).unwrap();
        fs::copy(&disk, folder.join("disk.raw")).unwrap();
        let packed = live.join("root.squashfs");
        let quiet = ["-quiet", "-no-progress", "-comp", compression];
        run(&[&["mksquashfs", folder.as_str(), packed.as_str()][..], &quiet].concat())?;
        let arguments = ["xorriso", "-as", "mkisofs", "-quiet", "-rational-rock", "-o", iso.as_str()];
        run(&[&arguments[..], &[live.as_str()]].concat()).map(|()| iso)
    };
    let folder = tree(&place, "plain", "hostname");
    for compression in ["gzip", "xz", "zstd"] {
        assert_eq!(found(&place, &or_skip!(iso(&folder, compression))), [], "{compression}");
    }
    let folder = tree(&place, &place.names.user, &place.names.paths[0]);
    let of_user = format!("etc/{}", place.names.user);
    let names = expected(&[(Rule::BuildPath, "etc/link"), (Rule::BuilderUser, &of_user)]);
    assert_eq!(found(&place, &iso(&folder, "zstd").unwrap()), names);

    let folder = tree(&place, "plain", "hostname");
    let set = |name: &str, value: &str| {
        let file = folder.join("etc/hostname");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(file.as_std_path(), name, value.as_bytes(), flags)
            .map_err(|error| format!("no extended attributes in {file}: {error}"))
    };
    or_skip!(set("user.note", "nothing"));
    // Enough that the table is compressed.
    set("user.padding", &"padding ".repeat(300)).unwrap();
    assert_eq!(found(&place, &iso(&folder, "zstd").unwrap()), []);
    set(&format!("user.{}", place.names.host), "x").unwrap();
    set("user.note", &token()).unwrap();
    let of_host = format!("extended attributes!/user.{}", place.names.host);
    let attributes =
        expected(&[(Rule::Token, "extended attributes!/user.note"), (Rule::BuilderHost, &of_host)]);
    for compression in ["gzip", "xz", "zstd"] {
        assert_eq!(found(&place, &iso(&folder, compression).unwrap()), attributes, "{compression}");
    }
    // What cannot be read does not pass.
    let artifacts = [iso(&folder, "lz4").unwrap()];
    let names = &place.names;
    let request = Gate { artifacts: &artifacts, names, allowed: Allowed::parse("").unwrap() };
    let error = gate(request, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("its attributes are packed by method 5"), "{error}");
}

#[test]
fn names_in_fat_are_scanned() {
    let place = place();
    let disk = place.path.join("esp.img");
    File::create(&disk).unwrap().set_len(4 << 20).unwrap();
    fs::write(place.path.join("text"), "text").unwrap();
    or_skip!(run(&["mformat", "-i", disk.as_str(), "-T", "8192", "-h", "16", "-s", "32", "::"]));
    let copy = |to: &str| run(&["mcopy", "-i", disk.as_str(), place.path.join("text").as_str(), to]).unwrap();
    copy("::a long name of nobody.txt");
    assert_eq!(found(&place, &disk), []);
    let (folder, file) = (format!("{}.d", place.names.user), format!("of {}.txt", place.names.host));
    run(&["mmd", "-i", disk.as_str(), &format!("::{folder}")]).unwrap();
    copy(&format!("::{folder}/{file}"));
    let both = format!("{folder}/{file}");
    assert_eq!(
        found(&place, &disk),
        expected(&[(Rule::BuilderUser, &folder), (Rule::BuilderUser, &both), (Rule::BuilderHost, &both)])
    );
}

/// A tar archive of a folder, a file, a link, and an attribute.
fn tar(folder: &str, owner: &str, target: &str, attribute: &str) -> Vec<u8> {
    let mut archive = ::tar::Builder::new(Vec::new());
    let header = |kind: ::tar::EntryType, size: usize| {
        let mut header = ::tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_username(owner).unwrap();
        header
    };
    let mut add = |path: &str, kind, content: &[u8]| {
        let mut header = header(kind, content.len());
        // As two fields, if it is longer than 100 bytes.
        header.set_path(path).unwrap();
        header.set_cksum();
        archive.append(&header, content).unwrap();
    };
    add(folder, ::tar::EntryType::Directory, b"");
    add(&format!("{folder}/{}", "deep/".repeat(20)), ::tar::EntryType::Directory, b"");
    add("./app/config", ::tar::EntryType::Regular, b"plain");
    archive.append_pax_extensions([("SCHILY.xattr.user.note", attribute.as_bytes())]).unwrap();
    let mut link = header(::tar::EntryType::Symlink, 0);
    link.set_link_name(target).unwrap();
    link.set_path("app/link").unwrap();
    link.set_cksum();
    archive.append(&link, &b""[..]).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn names_owners_targets_and_attributes_in_tar_are_scanned() {
    let place = place();
    let path = "usr/share/app.tar";
    let image = |bytes: &[u8]| {
        let tree = tree(&place, "plain", "hostname");
        fs::create_dir_all(tree.join("usr/share")).unwrap();
        fs::write(tree.join(path), bytes).unwrap();
        ext4(&place, &tree)
    };
    let clean = tar("srv/plain", "nobody", "config", "nothing");
    assert_eq!(found(&place, &or_skip!(image(&clean))), []);
    let below = place.names.paths[0].trim_start_matches('/');
    let planted = tar(below, &place.names.user, &place.names.host, &token());
    let inside = |name: &str| format!("{path}!/{name}");
    let deep = format!("{below}/{}", "deep/".repeat(20));
    let list = [
        (Rule::Token, inside("SCHILY.xattr.user.note")),
        (Rule::BuildPath, inside(below)),
        (Rule::BuildPath, inside(&deep)),
        (Rule::BuilderUser, inside(below)),
        (Rule::BuilderUser, inside(&deep)),
        (Rule::BuilderUser, inside("app/config")),
        (Rule::BuilderUser, inside("app/link")),
        (Rule::BuilderHost, inside("app/link")),
    ];
    let mut found_in = found(&place, &image(&planted).unwrap());
    found_in.sort();
    let mut expected = list.to_vec();
    expected.sort();
    assert_eq!(found_in, expected);
    // A file that is forbidden by its name, and a compressed one, inside.
    let mut archive = ::tar::Builder::new(Vec::new());
    let packed = zstd::encode_all(token().as_bytes(), 1).unwrap();
    for (name, content) in [("root/.netrc", &b"machine a"[..]), ("app.zst", &packed), ("app", b"app")] {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    }
    let bytes = archive.into_inner().unwrap();
    let list = expected_in(path, &[(Rule::Token, "app.zst"), (Rule::Credential, "root/.netrc")]);
    assert_eq!(found(&place, &image(&bytes).unwrap()), list);
    // A truncated one is reported, and searched as far as possible.
    let report = search(&place, &image(&bytes[..600]).unwrap());
    assert_eq!(report.notes, [format!("disk.img: /{path}: the archive is truncated")]);
    assert_eq!(in_files(&report), [(Rule::Credential, inside("root/.netrc").as_str())]);
}

fn expected_in(archive: &str, list: &[(Rule, &str)]) -> Vec<(Rule, String)> {
    list.iter().map(|(rule, path)| (*rule, format!("{archive}!/{path}"))).collect()
}

#[test]
fn folders_and_links_in_an_initrd_are_scanned() {
    const FOLDER: u32 = 0o040_755;
    const LINK: u32 = 0o120_777;
    let place = place();
    let image = |name: &str, target: &str| {
        let tree = tree(&place, "plain", "hostname");
        fs::create_dir_all(tree.join("boot")).unwrap();
        let entries = [(name, FOLDER, &b""[..]), ("etc/link", LINK, target.as_bytes())];
        let packed = zstd::encode_all(newc::entries(&entries).as_slice(), 1).unwrap();
        fs::write(tree.join("boot/initrd.img"), packed).unwrap();
        ext4(&place, &tree)
    };
    assert_eq!(found(&place, &or_skip!(image("etc", "hostname"))), []);
    let below = place.names.paths[0].trim_start_matches('/');
    let found = found(&place, &image(below, &place.names.user).unwrap());
    let list = [(Rule::BuildPath, below), (Rule::BuilderUser, "etc/link")];
    assert_eq!(found, expected_in("boot/initrd.img", &list));
}
