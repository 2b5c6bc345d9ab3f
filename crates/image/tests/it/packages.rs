//! OVAs as written by other tools.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::convert::{ConvertRequest, convert};
use rave_image::foreign::Links;
use rave_image::inspect::{Depth, ImageKind, inspect};
use rave_process::Cmd;
use rave_spec::{Compress, Compression, Format};

use crate::place::{Place, appliance, same};

/// A descriptor whose disks are on a SCSI controller, each with its unit, its file, and other attributes of the file's
/// element.
fn descriptor(disks: &[(&str, u32, &str)]) -> String {
    let (mut files, mut sections, mut items) = (String::new(), String::new(), String::new());
    for (number, (href, unit, more)) in disks.iter().enumerate() {
        let _ = writeln!(files, "<File ovf:id=\"f{number}\" ovf:href=\"{href}\" {more}/>");
        let _ = writeln!(
            sections,
            "<Disk ovf:diskId=\"d{number}\" ovf:fileRef=\"f{number}\" ovf:capacity=\"4194304\"/>"
        );
        let _ = writeln!(
            items,
            "<Item><rasd:AddressOnParent>{unit}</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d{number}</rasd:HostResource>\
             <rasd:InstanceID>1{number}</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>"
        );
    }
    format!(
        "<?xml version=\"1.0\"?>\n<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" \
         xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\">\n\
         <References>{files}</References><DiskSection><Info/>{sections}</DiskSection>\
         <VirtualSystem ovf:id=\"vm\"><VirtualHardwareSection>\
         <Item><rasd:AllocationUnits>byte * 2^30</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID>\
         <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>4</rasd:VirtualQuantity></Item>\
         <Item><rasd:Address>0</rasd:Address><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>\
         {items}</VirtualHardwareSection></VirtualSystem></Envelope>\n"
    )
}

fn archive(place: &Place, options: &[&str], files: &[&str]) -> Utf8PathBuf {
    let arguments = [&["tar", "-cf", "a.ova"], options, files].concat();
    place.run(&arguments);
    place.image("a.ova")
}

fn stream(place: &Place, name: &str, from: &Utf8Path) -> Utf8PathBuf {
    place.converted(from, name, &["-O", "vmdk", "-o", "subformat=streamOptimized"])
}

const USTAR: &[&str] = &["--format=ustar"];

#[test]
fn the_boot_disk_is_the_first_one() {
    let place = Place::new();
    let (boot, data) = (place.disk("boot.raw"), place.disk("data.raw"));
    stream(&place, "boot.vmdk", &boot);
    stream(&place, "data.vmdk", &data);
    fs::write(place.image("a.ovf"), descriptor(&[("data.vmdk", 1, ""), ("boot.vmdk", 0, "")])).unwrap();
    let ova = archive(&place, USTAR, &["a.ovf", "data.vmdk", "boot.vmdk"]);
    assert!(same(&place.convert(&ova).unwrap(), &boot));
    assert_eq!(place.warnings(), ["data.vmdk is left out: it is not the disk that boots"]);
    let found = place.inspect(&ova);
    assert_eq!(
        (found.problems, found.notes),
        (Vec::new(), vec!["data.vmdk is not inspected: it does not boot".to_owned()])
    );
    let ImageKind::Ova(facts) = found.kind else { panic!("an OVA") };
    assert_eq!(facts.boot_disk.as_deref(), Some("boot.vmdk"));
    assert_eq!(facts.machine.unwrap().memory_mib, Some(4096));
}

#[test]
fn a_disk_missing_from_the_package_is_reported() {
    let place = Place::new();
    stream(&place, "data.vmdk", &place.disk("data.raw"));
    fs::write(place.image("a.ovf"), descriptor(&[("data.vmdk", 1, ""), ("boot.vmdk", 0, "")])).unwrap();
    let ova = archive(&place, USTAR, &["a.ovf", "data.vmdk"]);
    assert!(place.refusal(&ova).contains("its disk \"boot.vmdk\" is not in it"));
    assert!(place.problems(&ova).contains("its disk \"boot.vmdk\" is not in it"));
}

#[test]
fn every_digest_notation_is_checked() {
    let place = Place::new();
    stream(&place, "a-disk1.vmdk", &place.disk("d.raw"));
    fs::write(place.image("a.ovf"), descriptor(&[("a-disk1.vmdk", 0, "")])).unwrap();
    let digest = |program: &str, name: &str| {
        let out = Cmd::new(program).arg(place.image(name).as_str()).output().unwrap();
        out.text().split_whitespace().next().unwrap().to_owned()
    };
    for (program, line) in [
        ("sha1sum", "SHA1(NAME)= DIGITS"),
        ("sha1sum", "SHA1 (NAME) = DIGITS"),
        ("sha256sum", "SHA256 (NAME) = DIGITS"),
        ("sha256sum", "SHA2-256(NAME)= DIGITS"),
        ("sha256sum", "sha256(NAME)=DIGITS"),
        ("sha384sum", "SHA384(NAME)= DIGITS"),
        ("sha512sum", "SHA512(NAME)= DIGITS"),
    ] {
        let mf = |change: fn(String) -> String| {
            let one = |name| line.replace("NAME", name).replace("DIGITS", &change(digest(program, name)));
            fs::write(place.image("a.mf"), format!("{}\r\n{}\r\n", one("a.ovf"), one("a-disk1.vmdk")))
                .unwrap();
            archive(&place, USTAR, &["a.ovf", "a.mf", "a-disk1.vmdk"])
        };
        let found = place.inspect(&mf(|digits| digits.to_uppercase()));
        let ImageKind::Ova(facts) = found.kind else { panic!("an OVA") };
        assert_eq!((found.problems, facts.digests_hold), (Vec::new(), 2), "{line}");
        let wrong = mf(|digits| digits.replace(['0', '1', '2'], "3"));
        assert!(place.problems(&wrong).contains("its .mf says"), "{line}");
        assert!(place.refusal(&wrong).contains("its .mf says"), "{line}");
    }
    fs::write(place.image("a.mf"), "MD5(a.ovf)= 00\n").unwrap();
    let found = place.inspect(&archive(&place, USTAR, &["a.ovf", "a.mf", "a-disk1.vmdk"]));
    assert_eq!(
        (found.problems, found.notes),
        (Vec::new(), vec!["the MD5 of a.ovf is not checked".to_owned()])
    );
}

#[test]
fn a_disk_in_a_package_is_identified_by_its_bytes() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    for (name, format) in
        [("a.vhd", "vpc"), ("a.qcow2", "qcow2"), ("a.vdi", "vdi"), ("a.img", "raw"), ("wrong.vmdk", "vhdx")]
    {
        place.converted(&disk, name, &["-O", format]);
        fs::write(place.image("a.ovf"), descriptor(&[(name, 0, "")])).unwrap();
        let ova = archive(&place, USTAR, &["a.ovf", name]);
        assert!(same(&place.convert(&ova).unwrap(), &disk), "{format}");
        let found = place.inspect(&ova);
        assert_eq!(found.problems, Vec::<String>::new(), "{format}");
        assert!(found.disk.unwrap().virtual_size >= 4 << 20, "{format}");
    }
    place.overlay("leak.vmdk", "raw", place.secret().as_str(), "1M");
    fs::write(place.image("a.ovf"), descriptor(&[("leak.vmdk", 0, "")])).unwrap();
    let ova = archive(&place, USTAR, &["a.ovf", "leak.vmdk"]);
    assert!(place.refusal(&ova).contains("it needs another file"));
    assert!(place.problems(&ova).contains("it needs another file"));
}

#[test]
fn a_compressed_disk_in_a_package_is_unpacked() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    stream(&place, "disk.vmdk", &disk);
    place.run(&["gzip", "-q", "disk.vmdk"]);
    fs::write(place.image("a.ovf"), descriptor(&[("disk.vmdk.gz", 0, "ovf:compression=\"gzip\"")])).unwrap();
    let ova = archive(&place, USTAR, &["a.ovf", "disk.vmdk.gz"]);
    assert!(same(&place.convert(&ova).unwrap(), &disk));
    let found = place.inspect(&ova);
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(found.notes[0].contains("compressed by gzip"), "{:?}", found.notes);
}

#[test]
fn pax_and_gnu_headers_are_parsed() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let long = format!("{}.vmdk", "n".repeat(180));
    stream(&place, &long, &disk);
    fs::write(place.image("a.ovf"), descriptor(&[(&long, 0, "")])).unwrap();
    for format in ["--format=pax", "--format=gnu"] {
        let ova = archive(&place, &[format], &["a.ovf", &long]);
        assert!(same(&place.convert(&ova).unwrap(), &disk), "{format}");
        assert_eq!(place.problems(&ova), "", "{format}");
    }
}

/// A size that is only in a pax header, as for a member of more than 8 GiB: `tar` does not write it for a small one.
#[test]
fn pax_header_sizes_are_honoured() {
    let place = Place::new();
    let disk = place.disk("d.raw");
    let vmdk = stream(&place, "a.vmdk", &disk);
    fs::write(place.image("a.ovf"), descriptor(&[("a.vmdk", 0, "")])).unwrap();
    let ova = archive(&place, USTAR, &["a.ovf", "a.vmdk"]);
    let mut bytes = fs::read(&ova).unwrap();
    let at = bytes.windows(7).position(|window| window == b"a.vmdk\0").unwrap();
    let sum = |header: &mut [u8]| {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    };
    let size = fs::metadata(&vmdk).unwrap().len();
    let mut record = format!("size={size}\n");
    record = format!("{} {record}", record.len() + 3);
    let mut header = bytes[at..at + 512].to_vec();
    header[156] = b'x';
    header[124..136].copy_from_slice(format!("{:011o}\0", record.len()).as_bytes());
    sum(&mut header);
    bytes[at + 124..at + 136].fill(b'0');
    sum(&mut bytes[at..at + 512]);
    let mut content = record.into_bytes();
    content.resize(512, 0);
    bytes.splice(at..at, header.into_iter().chain(content));
    fs::write(&ova, bytes).unwrap();
    assert!(same(&place.convert(&ova).unwrap(), &disk));
}

/// Its zeros are holes: it takes no space, and is never hashed.
#[test]
fn members_larger_than_8_gib_are_found() {
    let place = Place::new();
    let file = File::create(place.image("big.img")).unwrap();
    file.set_len(9 << 30).unwrap();
    file.write_all_at(&[0x55, 0xaa], 510).unwrap();
    let long =
        Cmd::new("tar").args(["--format=pax", "-cf", "-", "big.img"]).current_dir(place.path.join("images"));
    // Only its headers and the following ones are read.
    let ova = place.image("a.ova");
    let out = File::create(&ova).unwrap();
    let script = "ulimit -f 8; exec tar --format=pax -cf - big.img 2>/dev/null";
    let _ =
        Cmd::new("sh").args(["-c", script]).current_dir(place.path.join("images")).stdout_file(out).output();
    drop(long);
    let start = fs::read(&ova).unwrap();
    let data = start.windows(8).rposition(|window| window == b"ustar\x0000").unwrap() - 257 + 512;
    let out = File::options().write(true).open(&ova).unwrap();
    out.set_len(data as u64 + (9 << 30) + 1024).unwrap();
    let found = inspect(&ova, Depth::Tables).unwrap();
    let ImageKind::Ova(facts) = found.kind else { panic!("an OVA: {:?}", found.problems) };
    assert_eq!(facts.boot_disk.as_deref(), Some("big.img"));
    assert_eq!(found.disk.unwrap().virtual_size, 9 << 30);
}

#[test]
fn a_truncated_package_is_reported() {
    let place = Place::new();
    stream(&place, "a.vmdk", &place.disk("d.raw"));
    fs::write(place.image("a.ovf"), descriptor(&[("a.vmdk", 0, "")])).unwrap();
    let ova = archive(&place, USTAR, &["a.ovf", "a.vmdk"]);
    let length = fs::metadata(&ova).unwrap().len();
    File::options().write(true).open(&ova).unwrap().set_len(length / 4).unwrap();
    assert!(place.refusal(&ova).contains("it is truncated"), "{}", place.refusal(&ova));
    assert!(place.problems(&ova).contains("it is truncated"));
}

#[test]
fn our_packages_are_plain_ustar_for_any_name() {
    let place = Place::new();
    let disk = place.disk(&format!("{}.raw", "long name, é ".repeat(12)));
    let out = place.path.join("ova");
    let request = ConvertRequest {
        file: &disk,
        links: Links::Refuse,
        is_raw: false,
        formats: &[Format::Virtualbox],
        out_dir: &out,
        cache_dir: &place.path.join("cache"),
        log_dir: &place.path.join("logs"),
        appliance: appliance(),
        compress: Compress::all(Compression::None),
        grown_to: None,
        epoch: 1,
    };
    let made = convert(&request, &|_| ()).unwrap();
    let bytes = fs::read(&made[0]).unwrap();
    // An extension header has a letter there.
    assert!(matches!(bytes[156], b'0' | 0) && bytes[257..263] == *b"ustar\0", "type {:?}", bytes[156]);
    let found = place.inspect(&made[0]);
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(same(&place.convert(&made[0]).unwrap(), &disk));
}
