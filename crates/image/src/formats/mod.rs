//! Makes artifacts of the raw disk. One file a format, each with the same function.

pub mod qemu;
pub mod raw;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_spec::{Format, MebiBytes};

use crate::disk::Disk;
use crate::error::{Error, StageContext as _};
use crate::stages::Stages;

/// The formats that the Debian base makes.
pub const AVAILABLE: &[Format] = &[Format::Qemu, Format::Raw];

/// The stage's name, as the user interface shows it.
pub fn stage(format: Format) -> &'static str {
    match format {
        Format::Qemu => "qemu",
        Format::Virtualbox => "virtualbox",
        Format::Vmware => "vmware",
        Format::Raw => "raw",
        Format::Iso => "iso",
    }
}

/// The artifact's file name.
pub fn file_name(base: rave_spec::Base, profile: &str, format: Format) -> String {
    let extension = match format {
        Format::Qemu => "qcow2",
        Format::Virtualbox => "ova",
        Format::Vmware => "vmdk",
        Format::Raw => "img",
        Format::Iso => "iso",
    };
    format!("rave-{base}-{profile}.{extension}")
}

/// Command lines that make `target` from `source`; a later one continues on what an earlier one made.
pub fn commands(
    format: Format,
    source: &Utf8Path,
    target: &Utf8Path,
    size: MebiBytes,
) -> Option<Vec<Vec<String>>> {
    match format {
        Format::Qemu => Some(qemu::commands(source, target, size)),
        Format::Raw => Some(raw::commands(source, target)),
        Format::Virtualbox | Format::Vmware | Format::Iso => None,
    }
}

/// Writes the artifact to `target`.
pub(crate) fn convert(
    stages: &Stages<'_>,
    format: Format,
    disk: &Disk,
    target: &Utf8PathBuf,
    size: MebiBytes,
) -> Result<(), Error> {
    let stage = stage(format);
    let commands = commands(format, &disk.path, target, size).ok_or_else(|| not_on_base(format))?;
    commands.iter().try_for_each(|argv| {
        Cmd::new(&argv[0])
            .args(&argv[1..])
            .log_file(stages.log(stage))
            .run(&mut |_| ())
            .stage(stage)
            .map(drop)
    })
}

/// The error for a format that exists elsewhere.
pub fn not_on_base(format: Format) -> Error {
    let available = AVAILABLE.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Error::FormatNotOnBase { format, base: rave_spec::Base::Debian, available }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: Format) -> Vec<String> {
        let commands = commands(format, "d.raw".into(), "a".into(), MebiBytes::new(16384)).unwrap();
        commands.iter().map(|argv| argv.join(" ")).collect()
    }

    #[test]
    fn command_lines_of_each_format() {
        assert_eq!(
            lines(Format::Qemu),
            [
                "qemu-img convert -m 8 -f raw -O qcow2 -c -o compression_type=zstd,lazy_refcounts=off d.raw a",
                "qemu-img resize -q -f qcow2 a 16384M",
            ]
        );
        assert_eq!(lines(Format::Raw), ["qemu-img convert -f raw -O raw d.raw a"]);
        assert!(commands(Format::Iso, "d".into(), "a".into(), MebiBytes::new(1)).is_none());
    }
}
