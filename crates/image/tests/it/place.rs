//! A folder, the programs that make images in it, and their conversion.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::Error;
use rave_image::convert::{ConvertRequest, convert};
use rave_image::foreign::Links;
use rave_image::formats::Appliance;
use rave_image::inspect::{Depth, Inspection, inspect};
use rave_process::Cmd;
use rave_process::progress::Event;
use rave_spec::{Compress, Compression, Format};

/// What must not leak from the host.
pub(crate) const SECRET: &str = "the host's own secret";

/// A disk's bytes.
#[derive(PartialEq, Eq)]
pub(crate) struct Content(pub(crate) Vec<u8>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

pub(crate) struct Place {
    _guard: tempfile::TempDir,
    pub(crate) path: Utf8PathBuf,
    warnings: Mutex<Vec<String>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(guard.path().canonicalize().unwrap()).unwrap();
        fs::create_dir(path.join("images")).unwrap();
        fs::write(path.join("secret"), format!("{SECRET}\n").repeat(1000)).unwrap();
        Self { _guard: guard, path, warnings: Mutex::default() }
    }

    /// A file beside the images.
    pub(crate) fn image(&self, name: &str) -> Utf8PathBuf {
        self.path.join("images").join(name)
    }

    /// A file outside the images' folder.
    pub(crate) fn secret(&self) -> Utf8PathBuf {
        self.path.join("secret")
    }

    /// A qcow2 of `size` that names a backing file of this format, which need not exist.
    pub(crate) fn overlay(&self, name: &str, format: &str, backing: &str, size: &str) -> Utf8PathBuf {
        let image = self.image(name);
        let over = ["-u", "-F", format, "-b", backing, image.as_str(), size];
        self.run(&[&["qemu-img", "create", "-q", "-f", "qcow2"][..], &over].concat());
        image
    }

    /// A raw disk of 4 MiB with a boot sector and something at its end.
    pub(crate) fn disk(&self, name: &str) -> Utf8PathBuf {
        let path = self.image(name);
        let file = File::create(&path).unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&[0x55, 0xaa], 510).unwrap();
        file.write_all_at(name.repeat(4000).as_bytes(), 1 << 20).unwrap();
        file.write_all_at(name.repeat(100).as_bytes(), (4 << 20) - 4096).unwrap();
        path
    }

    /// Runs a program in the images' folder.
    pub(crate) fn run(&self, arguments: &[&str]) {
        Cmd::new(arguments[0]).args(&arguments[1..]).current_dir(self.path.join("images")).output().unwrap();
    }

    /// Converts by qemu-img, from raw.
    pub(crate) fn converted(&self, disk: &Utf8Path, name: &str, arguments: &[&str]) -> Utf8PathBuf {
        let target = self.image(name);
        self.run(
            &[&["qemu-img", "convert", "-f", "raw"], arguments, &[disk.as_str(), target.as_str()]].concat(),
        );
        target
    }

    pub(crate) fn convert(&self, file: &Utf8Path) -> Result<Content, Error> {
        self.convert_as(file, Links::Refuse, false)
    }

    /// Converts to raw; returns the result.
    pub(crate) fn convert_as(&self, file: &Utf8Path, links: Links, is_raw: bool) -> Result<Content, Error> {
        let out = self.path.join("out");
        let _ = fs::remove_dir_all(&out);
        let request = ConvertRequest {
            file,
            links,
            is_raw,
            formats: &[Format::Raw],
            out_dir: &out,
            cache_dir: &self.path.join("cache"),
            log_dir: &self.path.join("logs"),
            appliance: appliance(),
            compress: Compress::all(Compression::None),
            grown_to: None,
            epoch: 1,
        };
        let sink = |event: Event<'_>| {
            if let Event::Warning { text } = event {
                self.warnings.lock().unwrap().push(text.to_owned());
            }
        };
        let made = convert(&request, &sink)?;
        Ok(Content(fs::read(&made[0]).unwrap()))
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut *self.warnings.lock().unwrap())
    }

    /// The error that refuses a file; the attempt leaves nothing behind.
    pub(crate) fn refusal(&self, file: &Utf8Path) -> String {
        let error = self.convert(file).expect_err("it must be refused");
        assert!(error.remedy().is_none_or(|remedy| !remedy.contains("cargo xtask image")), "{error}");
        let made = fs::read_dir(self.path.join("out")).map_or(0, Iterator::count);
        assert_eq!(made, 0, "something was made from {file}");
        error.to_string()
    }

    pub(crate) fn inspect(&self, file: &Utf8Path) -> Inspection {
        assert!(file.starts_with(&self.path), "{file} is not in this place");
        inspect(file, Depth::Tables).unwrap()
    }

    pub(crate) fn problems(&self, file: &Utf8Path) -> String {
        self.inspect(file).problems.join("; ")
    }
}

pub(crate) fn appliance() -> Appliance {
    Appliance { name: "a".into(), memory_mib: 1024, cpus: 1, desktop: false, forwards: Vec::new() }
}

/// Whether the content is the disk's, followed only by zeros: some formats round sizes up.
pub(crate) fn same(content: &Content, disk: &Utf8Path) -> bool {
    let content = &content.0;
    let expected = fs::read(disk).unwrap();
    content.len() >= expected.len()
        && content[..expected.len()] == expected[..]
        && content[expected.len()..].iter().all(|byte| *byte == 0)
}
