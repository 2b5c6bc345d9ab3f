//! Checks of an artifact's files by the host's programs, without booting them: the programs that made them, that read
//! them, and that they are made for. A missing program is reported, but is not a failure.

mod outcome;

use std::borrow::Cow;
use std::fs::File;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_spec::Format;

use crate::formats::ova;
use crate::inspect;
use crate::manifest::Artifact;
pub use outcome::VerifyOutcome;
use outcome::{Answer, Interpretation};

/// How long one program may check a file.
const LIMIT: Duration = Duration::from_secs(600);

/// The result of one program for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Its name: letters, digits, `-`.
    pub name: String,
    /// What is true if the outcome is [`VerifyOutcome::Valid`].
    pub title: String,
    /// Its outcome.
    pub outcome: VerifyOutcome,
    /// How long it took.
    pub elapsed: Duration,
}

/// Checks the files of an artifact in `out_dir`. `ovf_schema` is DMTF's schema of an OVF envelope (DSP8023), if
/// available.
pub fn verify(out_dir: &Utf8Path, artifact: &Artifact, ovf_schema: Option<&Utf8Path>) -> Vec<Verification> {
    let mut verifier = Verifier { ovf_schema, verifications: Vec::new() };
    for file in &artifact.files {
        let path = out_dir.join(&file.name);
        verifier.inspect(&path);
        match path.extension() {
            Some("qcow2") => verifier.disk(&path, "qcow2"),
            Some("vmdk") => verifier.disk(&path, "vmdk"),
            Some("ova") => verifier.package(&path, artifact.format),
            Some("img") => verifier.raw(&path),
            Some("iso") => verifier.iso(&path),
            Some("zst") => verifier.compressed(&path),
            _ => {}
        }
    }
    verifier.verifications
}

struct Verifier<'a> {
    ovf_schema: Option<&'a Utf8Path>,
    verifications: Vec<Verification>,
}

impl Verifier<'_> {
    fn add(&mut self, name: &str, title: String, started: Instant, outcome: VerifyOutcome) {
        let (name, elapsed) = (name.to_owned(), started.elapsed());
        self.verifications.push(Verification { name, title, outcome, elapsed });
    }

    /// Runs a program; `interpret` reads its answer, whatever its exit code.
    fn ask(&mut self, name: &str, title: String, command: Cmd, interpret: fn(&Answer) -> Interpretation) {
        let started = Instant::now();
        let outcome = answer(command).map_or_else(
            |outcome| outcome,
            |answer| match interpret(&answer) {
                Ok(said) => VerifyOutcome::Valid(said),
                Err(why) => VerifyOutcome::Invalid(why),
            },
        );
        self.add(name, title, started, outcome);
    }

    /// Our own check: descriptors parse, digests match, the file is the one in the manifest.
    fn inspect(&mut self, path: &Utf8Path) {
        let started = Instant::now();
        let outcome = match inspect::inspect(path, inspect::Depth::Tables) {
            Ok(found) => outcome::inspection(&found),
            Err(error) => VerifyOutcome::Unknown(error.to_string()),
        };
        let name = format!("inspect-{}", path.extension().unwrap_or_default());
        self.add(&name, format!("`inspect` finds nothing wrong with {}", name_of(path)), started, outcome);
    }

    fn disk(&mut self, path: &Utf8Path, driver: &str) {
        let command = Cmd::new("qemu-img").args(["check", "-f", driver, path.as_str()]);
        let title = format!("qemu-img finds no error in {}", name_of(path));
        self.ask(&format!("qemu-img-{driver}"), title, command, outcome::by_code);
    }

    fn compressed(&mut self, path: &Utf8Path) {
        let command = Cmd::new("zstd").args(["--test", "--quiet", path.as_str()]);
        self.ask("zstd", format!("zstd unpacks {}", name_of(path)), command, outcome::by_code);
    }

    fn package(&mut self, path: &Utf8Path, format: Format) {
        match ova::locate_disk(path) {
            Ok(disk) => {
                let file = serde_json::json!({ "driver": "file", "filename": path });
                let part = serde_json::json!({ "driver": "raw", "offset": disk.offset, "size": disk.size, "file": file });
                let name = format!("json:{}", serde_json::json!({ "driver": "vmdk", "file": part }));
                let command = Cmd::new("qemu-img").args(["check", &name]);
                let title = format!("qemu-img finds no error in {} of {}", disk.name, name_of(path));
                self.ask("qemu-img-ova", title, command, outcome::by_code);
            }
            Err(error) => {
                let title = format!("{} contains a disk", name_of(path));
                self.add("qemu-img-ova", title, Instant::now(), VerifyOutcome::Invalid(error.to_string()));
            }
        }
        match descriptor(path) {
            Ok(text) => self.descriptor(path, text),
            Err(why) => {
                let title = format!("{} contains a descriptor", name_of(path));
                self.add("xmllint-ovf", title, Instant::now(), VerifyOutcome::Invalid(why));
            }
        }
        if format == Format::Virtualbox {
            let command = Cmd::new("VBoxManage").args(["import", "--dry-run", path.as_str()]);
            let title = format!("VirtualBox would import {}", name_of(path));
            self.ask("vboxmanage", title, command, outcome::by_code);
        }
        let command = Cmd::new("ovftool").args(["--schemaValidate", path.as_str()]);
        let title = format!("VMware's ovftool takes {}, by the schema too", name_of(path));
        self.ask("ovftool", title, command, outcome::by_code);
    }

    fn descriptor(&mut self, path: &Utf8Path, text: String) {
        let xmllint = Cmd::new("xmllint").args(["--noout", "--nonet"]);
        let title =
            format!("DMTF's schema, which RAVE_OVF_SCHEMA names, allows the descriptor of {}", name_of(path));
        match self.ovf_schema {
            Some(schema) => {
                let core = without_extension(&text).into_owned().into_bytes();
                let command = xmllint.clone().args(["--schema", schema.as_str(), "-"]).stdin_bytes(core);
                self.ask("xmllint-schema", title, command, outcome::by_code);
            }
            None => self.add("xmllint-schema", title, Instant::now(), VerifyOutcome::ToolMissing),
        }
        let title = format!("xmllint finds the descriptor of {} well formed", name_of(path));
        self.ask("xmllint-ovf", title, xmllint.arg("-").stdin_bytes(text.into_bytes()), outcome::by_code);
    }

    fn raw(&mut self, path: &Utf8Path) {
        let table = format!("in the partition table of {}", name_of(path));
        let command = Cmd::new("sfdisk").args(["--verify", path.as_str()]);
        self.ask("sfdisk", format!("sfdisk finds no error {table}"), command, outcome::sfdisk);
        let command = Cmd::new("sgdisk").args(["--verify", path.as_str()]);
        self.ask("sgdisk", format!("sgdisk finds no problem {table}"), command, outcome::sgdisk);
        let title = format!("e2fsck finds the root file system of {} clean", name_of(path));
        match root_offset(path) {
            Ok(offset) => {
                let place = format!("{path}?offset={offset}");
                let command = Cmd::new("e2fsck").args(["-f", "-n", &place]);
                self.ask("e2fsck", title, command, outcome::by_code);
            }
            Err(why) => self.add("e2fsck", title, Instant::now(), VerifyOutcome::Invalid(why)),
        }
    }

    fn iso(&mut self, path: &Utf8Path) {
        let command = Cmd::new("xorriso").args(["-indev", path.as_str(), "-report_el_torito", "plain"]);
        let title = format!("xorriso finds {} boots with BIOS and with UEFI", name_of(path));
        self.ask("xorriso", title, command, outcome::el_torito);
    }
}

/// The program's answer, or why there is none.
fn answer(command: Cmd) -> Result<Answer, VerifyOutcome> {
    let text = command.to_string();
    let mut lines = Vec::new();
    let result = command
        .env("LC_ALL", "C.UTF-8")
        .timeout(LIMIT)
        .run(&mut |line| lines.push(line.text.trim().to_owned()));
    let code = match result {
        Ok(_) => 0,
        Err(rave_process::Error::Failed { status: rave_process::Status::Code(code), .. }) => code,
        Err(rave_process::Error::NotFound { .. }) => return Err(VerifyOutcome::ToolMissing),
        Err(error) => return Err(VerifyOutcome::Unknown(error.to_string())),
    };
    lines.retain(|line| !line.is_empty());
    Ok(Answer { command: text, lines, code })
}

fn name_of(path: &Utf8Path) -> &str {
    path.file_name().unwrap_or_default()
}

/// Removes VirtualBox's own element, which its exports put where the schema of OVF 1.0 does not allow one.
fn without_extension(envelope: &str) -> Cow<'_, str> {
    const END: &str = "</vbox:Machine>";
    let place = envelope.find("<vbox:Machine ").zip(envelope.find(END)).filter(|(start, end)| start < end);
    place.map_or(Cow::Borrowed(envelope), |(start, end)| {
        Cow::Owned([&envelope[..start], &envelope[end + END.len()..]].concat())
    })
}

fn descriptor(path: &Utf8Path) -> Result<String, String> {
    let read = || {
        let mut file = File::open(path)?;
        let members = ova::members(&mut file)?;
        let ovf = members.iter().find(|member| Utf8PathBuf::from(&member.name).extension() == Some("ovf"));
        ovf.map(|member| ova::text(&mut file, member)).transpose()
    };
    match read() {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err("there is no .ovf in it".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The type of a root file system's partition (UAPI.2 Discoverable Partitions Specification).
const ROOT: &str = "root file system, x86-64";

fn root_offset(path: &Utf8Path) -> Result<u64, String> {
    let found = inspect::inspect(path, inspect::Depth::Tables).map_err(|error| error.to_string())?;
    let table = found.disk.and_then(|disk| disk.table).ok_or("it has no partition table")?;
    let root = table.partitions.iter().find(|partition| partition.purpose == Some(ROOT));
    root.map(|partition| partition.start).ok_or_else(|| "it has no root partition".into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::digest::Digest;
    use crate::manifest::ArtifactFile;

    fn artifact(name: &str) -> Artifact {
        let file = ArtifactFile { name: name.into(), size: 0, sha256: Digest::of_bytes(b"") };
        Artifact { format: Format::Raw, files: vec![file].try_into().unwrap(), key: Digest::of_bytes(b"") }
    }

    fn outcome<'a>(verifications: &'a [Verification], name: &str) -> &'a VerifyOutcome {
        &verifications.iter().find(|verification| verification.name == name).unwrap().outcome
    }

    /// Made with the programs that a build needs: a disk with one root partition at 1 MiB.
    fn disk(path: &Utf8Path) {
        File::create(path).unwrap().set_len(64 << 20).unwrap();
        let table = "label: gpt\nstart=2048, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n";
        Cmd::new("sfdisk").args(["--quiet", path.as_str()]).stdin_bytes(table.into()).output().unwrap();
        let args = ["-q", "-t", "ext4", "-E", "offset=1048576", path.as_str(), "62M"];
        Cmd::new("mke2fs").args(args).output().unwrap();
    }

    #[test]
    fn a_raw_disk_is_valid_until_its_file_system_or_table_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let path = folder.join("a.img");
        disk(&path);
        let verifications = verify(folder, &artifact("a.img"), None);
        for name in ["sfdisk", "e2fsck"] {
            assert!(matches!(outcome(&verifications, name), VerifyOutcome::Valid(_)), "{verifications:#?}");
        }
        let file_system = format!("{path}?offset=1048576");
        Cmd::new("debugfs").args(["-w", "-R", "clri /lost+found", &file_system]).output().unwrap();
        let verifications = verify(folder, &artifact("a.img"), None);
        assert!(matches!(outcome(&verifications, "e2fsck"), VerifyOutcome::Invalid(_)), "{verifications:#?}");
        // The table's header is in the second sector (UEFI specification 2.10, 5.3.2).
        File::options().write(true).open(&path).unwrap().write_all_at(b"XX", 600).unwrap();
        let verifications = verify(folder, &artifact("a.img"), None);
        assert!(matches!(outcome(&verifications, "sfdisk"), VerifyOutcome::Invalid(_)), "{verifications:#?}");
    }

    #[test]
    fn a_qcow2_is_valid_until_its_tables_are_damaged() {
        use std::os::unix::fs::FileExt as _;
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let path = folder.join("a.qcow2");
        Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2", path.as_str(), "8M"]).output().unwrap();
        let verifications = verify(folder, &artifact("a.qcow2"), None);
        assert!(
            matches!(outcome(&verifications, "qemu-img-qcow2"), VerifyOutcome::Valid(_)),
            "{verifications:#?}"
        );
        // The first entry of the reference count table (docs/interop/qcow2.txt of QEMU) is cluster 1.
        File::options().write(true).open(&path).unwrap().write_all_at(&[0; 8], 65536).unwrap();
        let verifications = verify(folder, &artifact("a.qcow2"), None);
        assert!(
            matches!(outcome(&verifications, "qemu-img-qcow2"), VerifyOutcome::Invalid(_)),
            "{verifications:#?}"
        );
    }

    #[test]
    fn only_virtualboxs_extension_is_exempt_from_the_schema() {
        let text = "<Envelope><a/><vbox:Machine x=\"1\"><b/></vbox:Machine><c/></Envelope>";
        assert_eq!(without_extension(text), "<Envelope><a/><c/></Envelope>");
        for other in ["<Envelope><a/></Envelope>", "</vbox:Machine><vbox:Machine "] {
            assert_eq!(without_extension(other), other);
        }
    }

    #[test]
    fn a_descriptor_is_validated_against_its_schema() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let schema = folder.join("envelope.xsd");
        // A schema that, like DMTF's, allows only what it names.
        let allows_a = "<schema xmlns=\"http://www.w3.org/2001/XMLSchema\"><element name=\"Envelope\"><complexType>\
                        <sequence><element name=\"a\"/></sequence></complexType></element></schema>";
        std::fs::write(&schema, allows_a).unwrap();
        let of = |text: &str, schema: Option<&Utf8Path>| {
            let mut verifier = Verifier { ovf_schema: schema, verifications: Vec::new() };
            verifier.descriptor(Utf8Path::new("a.ova"), text.to_owned());
            outcome(&verifier.verifications, "xmllint-schema").clone()
        };
        let allowed = "<Envelope><a/><vbox:Machine /></vbox:Machine></Envelope>";
        assert_eq!(of(allowed, None), VerifyOutcome::ToolMissing);
        // Without xmllint there is no such row.
        if rave_process::find_program("xmllint").is_some() {
            assert!(matches!(of(allowed, Some(&schema)), VerifyOutcome::Valid(_)));
            assert!(matches!(of("<Envelope><b/></Envelope>", Some(&schema)), VerifyOutcome::Invalid(_)));
        }
    }
}
