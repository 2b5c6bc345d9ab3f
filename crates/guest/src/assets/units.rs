//! systemd units and the links that enable them.

use super::GuestFile;
use super::render::Template;
use crate::config::GuestConfig;

/// The folder of units and their links.
const UNITS: &str = "/etc/systemd/system";

/// A service of the guest that listens on a port of `rave.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceUnit {
    /// Its key in `rave.toml`.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Its name for users.
    pub title: &'static str,
}

/// The services, in the order of reports.
pub const SERVICES: [ServiceUnit; 4] = [
    ServiceUnit { name: "kanban", unit: "vibe-kanban.service", title: "Vibe Kanban" },
    ServiceUnit { name: "router", unit: "claude-code-router.service", title: "Claude Code Router" },
    ServiceUnit { name: "gateway", unit: "nginx.service", title: "The gateway" },
    ServiceUnit { name: "ssh", unit: "ssh.service", title: "SSH" },
];

/// RAVE's own units: name and template.
const OWN: [(&str, &str); 16] = [
    ("install-claude-tools.service", include_str!("../../assets/units/install-claude-tools.service")),
    ("setup-agent-environment.service", include_str!("../../assets/units/setup-agent-environment.service")),
    ("vibe-kanban.service", include_str!("../../assets/units/vibe-kanban.service")),
    ("claude-code-router.service", include_str!("../../assets/units/claude-code-router.service")),
    ("nginx.service", include_str!("../../assets/units/nginx.service")),
    ("rave-barrier.service", include_str!("../../assets/units/rave-barrier.service")),
    ("rave-channel.service", include_str!("../../assets/units/rave-channel.service")),
    ("rave-health.service", include_str!("../../assets/units/rave-health.service")),
    ("rave-health.socket", include_str!("../../assets/units/rave-health.socket")),
    ("rave-install.service", include_str!("../../assets/units/rave-install.service")),
    ("rave-install.target", include_str!("../../assets/units/rave-install.target")),
    ("rave-provide.service", include_str!("../../assets/units/rave-provide.service")),
    ("rave-ready.service", include_str!("../../assets/units/rave-ready.service")),
    ("rave-setup-medium.service", include_str!("../../assets/units/rave-setup-medium.service")),
    ("rave-ssh-keys.service", include_str!("../../assets/units/rave-ssh-keys.service")),
    ("rave-template.service", include_str!("../../assets/units/rave-template.service")),
];

/// Units of packages that a guest needs but a package may not enable: unit and the target that wants it.
pub const FROM_PACKAGES: [(&str, &str); 3] = [
    ("ssh.service", "multi-user.target"),
    ("systemd-resolved.service", "sysinit.target"),
    ("systemd-timesyncd.service", "sysinit.target"),
];

/// The units that manage the network without a desktop, whose applet requires `NetworkManager`.
pub const NETWORKD: [(&str, &str); 2] =
    [("systemd-networkd.service", "multi-user.target"), ("systemd-networkd.socket", "sockets.target")];
/// The unit that manages the network with a desktop.
pub const NETWORK_MANAGER: [(&str, &str); 1] = [("NetworkManager.service", "multi-user.target")];

pub(super) fn files(template: &Template, config: &GuestConfig) -> Vec<GuestFile> {
    let mut files = Vec::new();
    for (name, text) in OWN {
        let text = template.fill(text);
        files.extend(wanted_by(&text).iter().map(|target| enable(name, target)));
        files.push(GuestFile::file(format!("{UNITS}/{name}"), 0o644, text));
    }
    files.push(GuestFile::file(
        format!("{UNITS}/ssh.service.d/rave.conf"),
        0o644,
        template.fill(include_str!("../../assets/units/ssh.conf")),
    ));
    let network: &[_] = if config.has_network_manager() { &NETWORK_MANAGER } else { &NETWORKD };
    for (unit, target) in FROM_PACKAGES.iter().chain(network) {
        let link = format!("{UNITS}/{target}.wants/{unit}");
        files.push(GuestFile::symlink(link, format!("/usr/lib/systemd/system/{unit}")));
    }
    files
}

/// The link that makes `target` start `unit`, which is in `/etc/systemd/system`.
pub fn enable(unit: &str, target: &str) -> GuestFile {
    GuestFile::symlink(format!("{UNITS}/{target}.wants/{unit}"), format!("{UNITS}/{unit}"))
}

/// A user's own unit: the file and the links that enable it. `name` is a file name such as `mine.service`. Without
/// `WantedBy=` in an `[Install]` section, `multi-user.target` wants it.
pub fn extra_unit(name: &str, content: &str) -> Vec<GuestFile> {
    let mut targets = wanted_by(content);
    if targets.is_empty() {
        targets.push("multi-user.target");
    }
    let mut files = vec![GuestFile::file(format!("{UNITS}/{name}"), 0o644, content)];
    files.extend(targets.iter().map(|target| enable(name, target)));
    files
}

/// The units of `WantedBy=` in `[Install]`, systemd.unit(5). An empty value clears the previous ones, as in systemd.
fn wanted_by(content: &str) -> Vec<&str> {
    let mut section = "";
    let mut targets = Vec::new();
    for line in content.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[Install]"
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "WantedBy"
        {
            if value.trim().is_empty() {
                targets.clear();
            }
            targets.extend(value.split_whitespace());
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::GuestFileKind;

    #[test]
    fn an_extra_unit_is_enabled_by_its_install_section() {
        let files = extra_unit(
            "mine.service",
            "[Service]\nWantedBy=no.target\n[Install]\nWantedBy = a.target b.target\n",
        );
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/etc/systemd/system/mine.service",
                "/etc/systemd/system/a.target.wants/mine.service",
                "/etc/systemd/system/b.target.wants/mine.service"
            ]
        );
        assert_eq!(
            files[1].kind,
            GuestFileKind::Symlink { target: "/etc/systemd/system/mine.service".into() }
        );
    }

    #[test]
    fn an_extra_unit_without_install_section_starts_at_boot() {
        let files = extra_unit("mine.timer", "[Timer]\nOnBootSec=1\n");
        assert_eq!(files[1].path, "/etc/systemd/system/multi-user.target.wants/mine.timer");
    }

    #[test]
    fn every_service_has_a_unit_or_comes_from_a_package() {
        for service in SERVICES {
            let own = OWN.iter().any(|(name, _)| *name == service.unit);
            let packaged = FROM_PACKAGES.iter().any(|(name, _)| *name == service.unit);
            assert!(own || packaged, "{}", service.unit);
        }
    }
}
