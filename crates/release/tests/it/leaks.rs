//! The leak gate on small real images: a planted secret for each rule, and a clean image.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::Utf8PathBuf;
use rave_image::convert::{ConvertRequest, convert};
use rave_image::foreign::Links;
use rave_image::formats::Appliance;
use rave_image::formats::ovf::vbox::NatForward;
use rave_process::Cmd;
use rave_release::leak::{self, Allowed, BuilderNames, Finding, Gate, Report, Rule, gate};
use rave_spec::{Compress, Compression, Format};
use rave_testing::or_skip;

use crate::newc;

/// Keeps secrets out of this source file itself.
fn letters(length: usize) -> String {
    "a1B2c3D4e5F6g7H8i9J0kLmNoPqRsTuVwXyZ".chars().cycle().take(length).collect()
}

fn key() -> String {
    format!("-----BEGIN {} KEY-----\n{}\n{}\n", "OPENSSH PRIVATE", letters(70), letters(70))
}

pub(crate) fn token() -> String {
    format!("{}{}", "ghp_", letters(36))
}

pub(crate) struct Place {
    _guard: tempfile::TempDir,
    pub(crate) path: Utf8PathBuf,
    pub(crate) names: BuilderNames,
}

/// A folder and a builder with random names.
pub(crate) fn place() -> Place {
    let guard = tempfile::Builder::new().prefix("rave-leaks-").tempdir_in("/var/tmp").unwrap();
    let path = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    let drawn = |what: &str| {
        let digest = rave_image::digest::Digest::of_bytes(format!("{what}{path}").as_bytes());
        format!("{what}{}", digest.short())
    };
    let names = BuilderNames {
        user: drawn("user-"),
        host: drawn("host-"),
        paths: vec![format!("/srv/{}", drawn("path-"))],
    };
    Place { _guard: guard, path, names }
}

pub(crate) fn run(arguments: &[&str]) -> Result<(), String> {
    let done = Cmd::new(arguments[0]).args(arguments[1..].iter().copied()).output();
    done.map(drop).map_err(|error| format!("{} failed: {error}", arguments[0]))
}

impl Place {
    /// The files of a guest, and one more.
    fn tree(&self, planted: Option<(&str, &str)>) -> Utf8PathBuf {
        let tree = self.path.join("tree");
        let _ = fs::remove_dir_all(&tree);
        let clean = [
            ("etc/machine-id", "uninitialized\n"),
            ("etc/hostname", "sandbox\n"),
            ("root/.bash_history", ""),
            ("usr/bin/ssh-keygen", "-----BEGIN OPENSSH PRIVATE KEY-----\n\0"),
            ("usr/share/doc/gh", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ];
        for (path, text) in clean.into_iter().chain(planted) {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn ext4(&self, name: &str, planted: Option<(&str, &str)>) -> Result<Utf8PathBuf, String> {
        let (tree, disk) = (self.tree(planted), self.path.join(name));
        run(&["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree.as_str(), disk.as_str(), "8M"])?;
        // The boot signature at the end of the first sector.
        File::options().write(true).open(&disk).unwrap().write_all_at(&[0x55, 0xaa], 510).unwrap();
        Ok(disk)
    }

    fn gate(&self, artifacts: &[Utf8PathBuf]) -> Report {
        self.gate_but(artifacts, "")
    }

    fn gate_but(&self, artifacts: &[Utf8PathBuf], allowed: &str) -> Report {
        let allowed = Allowed::parse(allowed).unwrap();
        gate(Gate { artifacts, names: &self.names, allowed }, &|_| ()).unwrap()
    }
}

pub(crate) fn in_files(report: &Report) -> Vec<(Rule, &'static str)> {
    let file = |finding: &'_ Finding| match &finding.place {
        leak::Place::File(path) => (finding.rule, path.clone()),
        other => panic!("{other}"),
    };
    let found: Vec<_> = report.findings.iter().map(file).collect();
    found.into_iter().map(|(rule, path)| (rule, &*path.leak())).collect()
}

#[test]
fn every_rule_finds_planted_secrets_and_none_in_a_clean_image() {
    let place = place();
    let clean = or_skip!(place.ext4("clean.img", None));
    let report = place.gate(&[clean]);
    assert_eq!((report.findings.as_slice(), report.notes.as_slice()), (&[][..], &[][..]));
    assert_eq!((report.disks, report.files), (1, 5));

    let of = |text: &str| format!("built in {text}/rave\n");
    let (path, user, host) = (&place.names.paths[0], &place.names.user, &place.names.host);
    let planted: [(Rule, &str, String); Rule::ALL.len()] = [
        (Rule::PrivateKey, "opt/app/key.pem", key()),
        (Rule::Token, "usr/lib/app/config", format!("token = \"{}\"", token())),
        (Rule::Credential, "root/.netrc", "machine a login b password c".into()),
        (Rule::HostKey, "etc/ssh/ssh_host_ed25519_key", "a key".into()),
        (Rule::MachineId, "etc/machine-id", "0123456789abcdef0123456789abcdef\n".into()),
        (Rule::History, "home/agent/.bash_history", "ls\n".into()),
        (Rule::BuildPath, "usr/lib/app/program", of(path)),
        (Rule::BuilderUser, "usr/lib/app/about", of(user)),
        (Rule::BuilderHost, "usr/lib/app/about", of(host)),
    ];
    for (rule, file, text) in planted {
        let disk = place.ext4("planted.img", Some((file, &text))).unwrap();
        let report = place.gate(&[disk]);
        assert_eq!(in_files(&report), [(rule, file)], "{rule}");
        let message = report.findings[0].to_string();
        assert_eq!(message, format!("{rule} in planted.img: /{file}"));
        assert!(!message.contains(text.trim()), "{message}");
    }
}

#[test]
fn deleted_data_and_data_outside_file_systems_is_found_by_offset() {
    let place = place();
    let disk = or_skip!(place.ext4("deleted.img", Some(("opt/secret", &format!("{}\n{}", key(), token())))));
    or_skip!(run(&["debugfs", "-w", "-R", "rm opt/secret", disk.as_str()]));
    let report = place.gate(std::slice::from_ref(&disk));
    let found: Vec<_> = report.findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(found, [Rule::PrivateKey, Rule::Token], "{report:?}");
    for finding in &report.findings {
        let leak::Place::Disk(at) = finding.place else { panic!("{finding}") };
        let mut bytes = [0; 4];
        File::open(&disk).unwrap().read_exact_at(&mut bytes, at).unwrap();
        assert!([b"----", b"ghp_"].contains(&&bytes), "{finding}");
    }
    // The bytes of an allowed file are no finding where they are on the disk.
    let disk = place.ext4("both.img", Some(("opt/example", &token()))).unwrap();
    File::options()
        .write(true)
        .open(&disk)
        .unwrap()
        .write_all_at(token().as_bytes(), (8 << 20) - 100)
        .unwrap();
    let report = place.gate_but(&[disk], "token opt/example: an example of the test");
    assert_eq!((report.findings.as_slice(), report.allowed), (&[][..], 1));
}

#[test]
fn every_container_is_scanned_and_no_disk_twice() {
    let place = place();
    let disk = or_skip!(place.ext4("disk.img", Some(("opt/key", &key()))));
    let of = |name: &str| place.path.join(name);
    let mut artifacts = vec![];
    for (format, options, name) in
        [("qcow2", "compression_type=zstd", "a.qcow2"), ("vmdk", "subformat=streamOptimized", "b.vmdk")]
    {
        let arguments = ["qemu-img", "convert", "-f", "raw", "-O", format, "-o", options, disk.as_str()];
        or_skip!(run(&[&arguments[..], &[of(name).as_str()]].concat()));
        artifacts.push(of(name));
    }
    or_skip!(run(&["zstd", "-q", "-o", of("c.img.zst").as_str(), disk.as_str()]));
    artifacts.push(of("c.img.zst"));
    for artifact in &artifacts {
        let report = place.gate(std::slice::from_ref(artifact));
        assert_eq!(in_files(&report), [(Rule::PrivateKey, "opt/key")], "{artifact}");
    }
    let report = place.gate(&artifacts);
    assert_eq!((report.disks, report.findings.len()), (1, 1));
    assert_eq!(
        report.notes,
        [
            "b.vmdk has the same disk as a.qcow2, and is not searched twice",
            "c.img.zst has the same disk as a.qcow2, and is not searched twice"
        ]
    );
    // Text in a container is not part of the disk.
    fs::write(of("d.vmx"), format!("config.version = \"8\"\nannotation = \"{}\"\n", place.names.user))
        .unwrap();
    let report = place.gate(&[of("d.vmx")]);
    assert_eq!(
        report.findings.iter().map(|one| (one.rule, &one.place)).collect::<Vec<_>>(),
        [(Rule::BuilderUser, &leak::Place::Container(35))]
    );
}

#[test]
fn fat_and_squashfs_are_scanned() {
    let place = place();
    let disk = place.path.join("esp.img");
    File::create(&disk).unwrap().set_len(4 << 20).unwrap();
    fs::write(place.path.join("key"), key()).unwrap();
    or_skip!(run(&["mformat", "-i", disk.as_str(), "-T", "8192", "-h", "16", "-s", "32", "::"]));
    run(&["mmd", "-i", disk.as_str(), "::loader"]).unwrap();
    run(&["mcopy", "-i", disk.as_str(), place.path.join("key").as_str(), "::loader/random-seed"]).unwrap();
    let report = place.gate(std::slice::from_ref(&disk));
    assert_eq!(
        in_files(&report),
        [(Rule::PrivateKey, "loader/random-seed"), (Rule::MachineId, "loader/random-seed")]
    );

    // As in RAVE's ISOs: the disk in a squashfs, here with a file beside it.
    let ext4 = place.ext4("disk.raw", Some(("opt/key", &key()))).unwrap();
    let (live, folder) = (place.path.join("live"), place.path.join("squash"));
    fs::create_dir_all(&live).unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::rename(ext4, folder.join("disk.raw")).unwrap();
    fs::write(folder.join("notes"), token()).unwrap();
    let squashfs = live.join("root.squashfs");
    or_skip!(run(&["mksquashfs", folder.as_str(), squashfs.as_str(), "-quiet", "-no-progress"]));
    let iso = place.path.join("live.iso");
    or_skip!(run(&[
        "xorriso",
        "-as",
        "mkisofs",
        "-quiet",
        "-rational-rock",
        "-o",
        iso.as_str(),
        live.as_str()
    ]));
    let report = place.gate(&[iso]);
    assert_eq!(in_files(&report), [(Rule::PrivateKey, "opt/key"), (Rule::Token, "notes")]);
}

/// The output of a program for these bytes.
fn piped(place: &Place, command: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (from, to) = (place.path.join("from"), place.path.join("to"));
    fs::write(&from, bytes).unwrap();
    run(&["sh", "-c", &format!("{command} < {from} > {to}")])?;
    Ok(fs::read(to).unwrap())
}

impl Place {
    /// An image with an additional file of these bytes.
    fn image_with(&self, path: &str, content: &[u8]) -> Utf8PathBuf {
        let (tree, disk) = (self.tree(None), self.path.join("packed.img"));
        let file = tree.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
        let _ = fs::remove_file(&disk);
        run(&["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", tree.as_str(), disk.as_str(), "8M"])
            .unwrap();
        File::options().write(true).open(&disk).unwrap().write_all_at(&[0x55, 0xaa], 510).unwrap();
        disk
    }
}

#[test]
fn compressed_files_are_scanned() {
    let place = place();
    let text = format!("{}{}\n{}", "padding ".repeat(5000), key(), token());
    for (command, path) in [
        ("gzip -n", "usr/share/doc/app/changelog.gz"),
        ("xz", "usr/lib/modules/app.ko.xz"),
        ("zstd -q -c", "usr/lib/app.zst"),
        ("gzip -n | xz", "usr/lib/app.gz.xz"),
    ] {
        let packed = or_skip!(piped(&place, command, text.as_bytes()));
        let disk = place.image_with(path, &packed);
        let report = place.gate(&[disk]);
        assert_eq!(in_files(&report), [(Rule::PrivateKey, path), (Rule::Token, path)], "{command}");
        // A path that is allowed is also allowed if it is compressed.
        let disk = place.image_with(path, &packed);
        let list = format!("private-key {path}: an example of the test\ntoken {path}: another example\n");
        assert_eq!(place.gate_but(&[disk], &list).findings, []);
        let clean = piped(&place, command, b"nothing").unwrap();
        let report = place.gate(&[place.image_with(path, &clean)]);
        assert_eq!((report.findings.as_slice(), report.notes.as_slice()), (&[][..], &[][..]), "{command}");
        // A truncated file is searched as far as possible, and reported.
        let half = place.gate(&[place.image_with(path, &packed[..packed.len() / 2])]);
        assert_eq!(half.notes.len(), 1, "{command}: {half:?}");
        assert!(
            half.notes[0].starts_with(&format!("packed.img: /{path}: it cannot be unpacked")),
            "{half:?}"
        );
    }
}

#[test]
fn an_initrd_is_scanned_by_path_and_by_content() {
    let place = place();
    let path = "boot/initrd.img";
    let module = or_skip!(piped(&place, "xz", token().as_bytes()));
    // Padded as tools pad it.
    let mut early = newc::archive(&[("kernel/x86/microcode.bin", b"microcode")]);
    early.resize(early.len().next_multiple_of(512), 0);
    let files: [(&str, &[u8]); 4] = [
        ("etc/machine-id", b"0123456789abcdef0123456789abcdef\n"),
        ("root/.netrc", b"machine a"),
        ("lib/modules/a.ko.xz", &module),
        ("init", b"#!/bin/sh\n"),
    ];
    let main = newc::archive(&files);
    for command in ["cat", "gzip -n", "xz", "zstd -q -c"] {
        let packed = piped(&place, command, &main).unwrap();
        for front in [&[][..], &early] {
            let disk = place.image_with(path, &[front, &packed].concat());
            let report = place.gate(&[disk]);
            let expected = [
                (Rule::Token, "boot/initrd.img!/lib/modules/a.ko.xz"),
                (Rule::Credential, "boot/initrd.img!/root/.netrc"),
                (Rule::MachineId, "boot/initrd.img!/etc/machine-id"),
            ];
            assert_eq!(in_files(&report), expected, "{command}, {} bytes in front", front.len());
            assert_eq!(report.notes, [""; 0], "{command}");
        }
    }
    // A clean one is not reported; a damaged one is reported, and its raw bytes are searched.
    let clean = newc::archive(&[("init", b"#!/bin/sh\n")]);
    let report = place.gate(&[place.image_with(path, &[early.as_slice(), &clean].concat())]);
    assert_eq!((report.findings.as_slice(), report.notes.as_slice()), (&[][..], &[][..]));
    let mut damaged = newc::archive(&[("init", b"#!/bin/sh\n"), ("key", key().as_bytes())]);
    damaged[54..62].copy_from_slice(b"zzzzzzzz");
    let report = place.gate(&[place.image_with(path, &damaged)]);
    assert_eq!(in_files(&report), [(Rule::PrivateKey, path)]);
    assert_eq!(report.notes, ["packed.img: /boot/initrd.img: a header of the archive has no numbers"]);
}

#[test]
fn a_decompression_bomb_is_reported_and_takes_no_memory() {
    let place = place();
    let bomb = or_skip!(piped(&place, "(head -c 2100M /dev/zero | zstd -q -c -)", b""));
    assert!(bomb.len() < 1 << 20);
    let report = place.gate(&[place.image_with("usr/lib/bomb.zst", &bomb)]);
    assert_eq!(report.findings, []);
    assert_eq!(report.notes, ["packed.img: /usr/lib/bomb.zst: it unpacks to more than is searched"]);
}

#[test]
fn an_appliances_disk_and_descriptor_are_scanned() {
    let place = place();
    let disk = or_skip!(place.ext4("disk.img", Some(("opt/key", &key()))));
    let appliance = |name: &str| Appliance {
        name: name.to_owned(),
        memory_mib: 1024,
        cpus: 1,
        desktop: false,
        forwards: vec![NatForward {
            name: place.names.user.clone(),
            host_address: "127.0.0.1".into(),
            host: 3000,
            guest: 3000,
        }],
    };
    for format in [Format::Virtualbox, Format::Vmware] {
        let request = ConvertRequest {
            file: &disk,
            links: Links::Refuse,
            is_raw: true,
            formats: &[format],
            out_dir: &place.path.join(format.as_str()),
            cache_dir: &place.path.join("cache"),
            log_dir: &place.path.join("logs"),
            appliance: appliance("appliance"),
            compress: Compress { qemu: Compression::Zstd, raw: Compression::Zstd },
            grown_to: None,
            epoch: 1,
        };
        let files = or_skip!(convert(&request, &|_| ()).map_err(|error| error.to_string()));
        let ova = files.into_iter().find(|file| file.extension() == Some("ova")).unwrap();
        let report = place.gate(std::slice::from_ref(&ova));
        assert_eq!(report.disks, 1);
        let found: Vec<_> = report.findings.iter().map(|one| (one.rule, one.place.clone())).collect();
        assert_eq!(found[0], (Rule::PrivateKey, leak::Place::File("opt/key".into())), "{format}: {found:?}");
        // VirtualBox's own descriptor contains the forwards.
        let is_named = found
            .iter()
            .any(|(rule, place)| *rule == Rule::BuilderUser && matches!(place, leak::Place::Container(_)));
        assert_eq!(is_named, format == Format::Virtualbox, "{format}: {found:?}");
    }
}

#[test]
fn an_image_without_readable_files_does_not_pass() {
    let place = place();
    let disk = or_skip!(place.ext4("disk.img", None));
    let file = File::options().write(true).open(&disk).unwrap();
    file.write_all_at(&[0; 2], 1080).unwrap();
    let names = BuilderNames::default();
    let request = Gate { artifacts: &[disk], names: &names, allowed: Allowed::parse("").unwrap() };
    let error = gate(request, &|_| ()).unwrap_err().to_string();
    assert!(error.contains("no file can be found in its disk"), "{error}");
}

#[test]
fn an_allowance_without_a_match_is_reported() {
    let place = place();
    let disk = or_skip!(place.ext4("disk.img", Some(("opt/key", &key()))));
    let list = "private-key opt/key: an example of the test\ntoken opt/gone: it was there once\n";
    let report = place.gate_but(&[disk], list);
    assert_eq!((report.findings.len(), report.allowed), (0, 1));
    let told = "token opt/gone is allowed (it was there once), but nothing needs this exception";
    assert_eq!(report.notes, [told]);
}

/// Run manually on a built disk: `RAVE_LEAK_IMAGE=disk.raw cargo nextest run -p rave-release a_built_image`.
#[test]
fn a_built_image_has_only_allowed_findings() {
    let Ok(image) = std::env::var("RAVE_LEAK_IMAGE") else {
        rave_testing::skip!("RAVE_LEAK_IMAGE names no image");
    };
    let names = BuilderNames::default();
    let request = Gate { artifacts: &[image.into()], names: &names, allowed: Allowed::reviewed() };
    let report = gate(request, &|_| ()).unwrap();
    for finding in &report.findings {
        eprintln!("{finding}");
    }
    eprintln!("{} files, {} lines needed, {:?}", report.files, report.allowed, report.notes);
    assert_eq!(report.findings, []);
}
