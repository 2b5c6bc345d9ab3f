//! Scripts in front of programs, which add the payload's links to an initrd and to the files of a disk.

use camino::Utf8Path;

use super::payload::LINKS;

/// `make-initrd-ng`, for the program in `libexec` beside it.
pub(super) fn make_initrd_ng(payload: &str) -> String {
    include_str!("scripts/make-initrd-ng.sh").replace("@function@\n", &links(payload))
}

/// `rave`, for the program at this path.
pub(super) fn rave(payload: &str, program: &Utf8Path) -> String {
    include_str!("scripts/rave.sh")
        .replace("@function@\n", &links(payload))
        .replace("@rave@", program.as_str())
}

/// A function of bash that makes the links below a root.
fn links(payload: &str) -> String {
    let link = |(name, to): &(&str, &str)| format!("    ln -sfn \"{payload}/{to}\" \"$1/nix/{name}\"\n");
    let all = LINKS.iter().map(link).collect::<String>();
    include_str!("scripts/links.sh").replace("@links@\n", &all).replace("@payload@", payload)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use camino::Utf8PathBuf;
    use rave_process::Cmd;

    use super::*;

    #[test]
    fn no_link_leads_to_the_folder_of_udevs_rules() {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::try_from(guard.path().canonicalize().unwrap()).unwrap();
        let (payload, root) = (folder.join("payload"), folder.join("root"));
        for file in ["lib/udev/rules.d/99-systemd.rules", "lib/udev/ata_id", "lib/systemd/systemd"] {
            fs::create_dir_all(payload.join(file).parent().unwrap()).unwrap();
            fs::write(payload.join(file), file).unwrap();
        }
        let script = format!("set -e\n{}links \"$1\"\n", links(payload.as_str()));
        Cmd::new("bash").args(["-c", &script, "bash", root.as_str()]).output().unwrap();

        let rules = root.join("nix/lib/udev/rules.d");
        assert_eq!(rules.canonicalize_utf8().unwrap(), rules);
        for file in ["lib/udev/rules.d/99-systemd.rules", "lib/udev/ata_id", "lib/systemd/systemd"] {
            assert_eq!(fs::read_to_string(root.join("nix").join(file)).unwrap(), file);
        }
        assert_eq!(fs::read_link(root.join("nix/bin")).unwrap(), payload.join("bin"));
    }
}
