//! The packages that dpkg has installed.

use std::time::Duration;

use rave_process::Cmd;

/// The timeout of dpkg's list, for a host under load.
const DEADLINE: Duration = Duration::from_secs(30);
/// Debian's package of the emulator for x86-64.
pub(crate) const EMULATOR: &str = "qemu-system-x86";

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Installed {
    /// Packages of Debian's backports have `~bpo` in their version.
    pub(crate) fn is_backported(&self) -> bool {
        self.version.contains("~bpo")
    }
}

/// All packages of this host; none without dpkg.
pub(crate) fn list() -> Vec<Installed> {
    let format = "${Package}\t${Version}\t${db:Status-Status}\n";
    let list = Cmd::new("dpkg-query").args(["--show", "--showformat", format]).timeout(DEADLINE).output();
    list.map(|output| parse(&String::from_utf8_lossy(&output.stdout))).unwrap_or_default()
}

fn parse(text: &str) -> Vec<Installed> {
    let line = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (name, version) = (fields.next()?, fields.next()?);
        (fields.next()? == "installed").then_some(Installed { name, version })
    };
    text.lines().filter_map(line).collect()
}

/// The parts of the system emulator, which only work together in the same version. User-mode emulators and the guest
/// agent are independent.
pub(crate) fn of_qemu(installed: Vec<Installed>) -> Vec<Installed> {
    let is_part =
        |name: &str| name.starts_with("qemu-system-") || ["qemu-utils", "qemu-block-extra"].contains(&name);
    installed.into_iter().filter(|package| is_part(&package.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_packages_are_not_installed() {
        let text = "qemu-utils\t1:10.0.2+ds-2~bpo12+1\tinstalled\n\
                    qemu-user-static\t1:7.2\tinstalled\n\
                    qemu-system-gui\t1:7.2\tconfig-files\nnonsense\n";
        let all = parse(text);
        assert_eq!(all.len(), 2);
        let qemu = of_qemu(all);
        assert_eq!((qemu.len(), qemu[0].name.as_str(), qemu[0].is_backported()), (1, "qemu-utils", true));
    }
}
