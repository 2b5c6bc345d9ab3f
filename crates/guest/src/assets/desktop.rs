//! The desktop: Xfce under lightdm, Chromium, `NetworkManager`, and launchers for RAVE's services.

use super::render::Template;
use super::{GuestFile, GuestFileKind, Owner};
use crate::config::GuestConfig;
use crate::features::SOUND;

/// A launcher for a page of the gateway, in the menu and on the desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launcher {
    /// The name of its files.
    pub id: &'static str,
    /// The name in the menu.
    pub name: &'static str,
    /// The description in the menu.
    pub comment: &'static str,
    /// The path of the page on the gateway.
    pub path: &'static str,
    icon: &'static str,
}

/// The launchers, in menu order.
pub const LAUNCHERS: [Launcher; 3] = [
    Launcher {
        id: "rave-kanban",
        name: "Vibe Kanban",
        comment: "Plan and watch the work of agents",
        path: "/",
        icon: include_str!("../../assets/desktop/rave-kanban.svg"),
    },
    Launcher {
        id: "rave-router",
        name: "Claude Code Router",
        comment: "Which model answers which request",
        path: "/ccr-ui/",
        icon: include_str!("../../assets/desktop/rave-router.svg"),
    },
    Launcher {
        id: "rave-status",
        name: "Status",
        comment: "The state of this machine's services",
        path: "/status",
        icon: include_str!("../../assets/desktop/rave-status.svg"),
    },
];

/// Files without placeholders, and their paths. Those of Xfce are defaults: changes by the user go to the home and take
/// precedence.
const PLAIN: [(&str, &str); 12] = [
    ("/etc/X11/Xsession.d/40rave", include_str!("../../assets/desktop/xsession")),
    ("/etc/X11/xorg.conf.d/50-rave.conf", include_str!("../../assets/desktop/xorg.conf")),
    ("/etc/NetworkManager/conf.d/50-rave.conf", include_str!("../../assets/desktop/network-manager.conf")),
    ("/etc/xdg/xfce4/helpers.rc", include_str!("../../assets/desktop/helpers.rc")),
    ("/etc/xdg/mimeapps.list", include_str!("../../assets/desktop/mimeapps.list")),
    ("/etc/chromium.d/rave", include_str!("../../assets/desktop/chromium-flags")),
    ("/etc/xdg/autostart/rave-screen.desktop", include_str!("../../assets/desktop/follow-screen.desktop")),
    ("/etc/xdg/autostart/xfce4-notifyd.desktop", NOT_AT_LOGIN),
    (
        "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfce4-session.xml",
        include_str!("../../assets/desktop/session.xml"),
    ),
    (
        "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xsettings.xml",
        include_str!("../../assets/desktop/settings.xml"),
    ),
    (
        "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfwm4.xml",
        include_str!("../../assets/desktop/window-manager.xml"),
    ),
    (
        "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfce4-desktop.xml",
        include_str!("../../assets/desktop/desktop.xml"),
    ),
];

/// The first notification starts it through its D-Bus service; until then it would use 18 MB.
const NOT_AT_LOGIN: &str = "[Desktop Entry]\nType=Application\nName=Notifications\nHidden=true\n";

/// Referred to by `follow-screen.desktop`.
const FOLLOW_SCREEN: &str = "/etc/rave/follow-screen";

const PANEL: &str = "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml";

pub(super) fn files(template: &Template, config: &GuestConfig) -> Vec<GuestFile> {
    let mut files: Vec<_> = PLAIN.iter().map(|(path, text)| GuestFile::file(*path, 0o644, *text)).collect();
    files.push(GuestFile::file(FOLLOW_SCREEN, 0o755, include_str!("../../assets/desktop/follow-screen")));
    // Referred to by `lightdm.conf`.
    let session = template.fill(include_str!("../../assets/desktop/session"));
    files.push(GuestFile::file("/etc/rave/session", 0o755, session));
    files.push(GuestFile::file(PANEL, 0o644, panel(template, config)));
    files.push(GuestFile::file(
        "/etc/lightdm/lightdm.conf.d/50-rave.conf",
        0o644,
        template.fill(include_str!("../../assets/desktop/lightdm.conf")),
    ));
    files.push(GuestFile::file(
        // Recommended, so that the user can choose another page.
        "/etc/chromium/policies/recommended/rave.json",
        0o644,
        template.fill(include_str!("../../assets/desktop/chromium-policy.json")),
    ));
    files.extend(LAUNCHERS.iter().flat_map(|launcher| launcher.files(template, config)));
    files
}

/// The panel, with a volume control if there is sound.
fn panel(template: &Template, config: &GuestConfig) -> String {
    let (id, plugin) = if config.has(SOUND) {
        (
            "        <value type=\"int\" value=\"8\"/>\n",
            "\n    <property name=\"plugin-8\" type=\"string\" value=\"pulseaudio\"/>",
        )
    } else {
        ("", "")
    };
    let text = include_str!("../../assets/desktop/panel.xml");
    template.fill_with(text, &[("sound_id", id), ("sound_plugin", plugin)])
}

impl Launcher {
    /// The menu entry, its icon, and the desktop entry, which Xfce starts without asking if it is executable.
    fn files(&self, template: &Template, config: &GuestConfig) -> [GuestFile; 3] {
        let icon = format!("/usr/share/pixmaps/{}.svg", self.id);
        let values =
            [("name", self.name), ("comment", self.comment), ("icon", &icon), ("path_of_page", self.path)];
        let entry = template.fill_with(include_str!("../../assets/desktop/launcher.desktop"), &values);
        let on_desktop = GuestFile {
            path: format!("{}/Desktop/{}.desktop", config.home, self.id),
            owner: Owner::User,
            kind: GuestFileKind::File { mode: 0o755, content: entry.clone().into() },
        };
        [
            GuestFile::file(format!("/usr/share/applications/{}.desktop", self.id), 0o644, entry),
            GuestFile::file(icon, 0o644, self.icon),
            on_desktop,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::Paths;

    fn with(features: &[&str]) -> GuestConfig {
        let features = features.iter().map(ToString::to_string).collect();
        GuestConfig { features, ..GuestConfig::default() }
    }

    #[test]
    fn the_panel_names_only_plugins_that_it_describes() {
        for features in [&["desktop"][..], &["desktop", "sound"]] {
            let config = with(features);
            let panel = panel(&Template::new(&config, &Paths::debian()), &config);
            let ids = panel.matches("<value type=\"int\"").count() - 1;
            assert_eq!(panel.matches("<property name=\"plugin-").count(), ids + 1, "{panel}");
            assert_eq!(panel.contains("pulseaudio"), features.contains(&"sound"));
        }
    }

    #[test]
    fn a_launcher_opens_its_page_of_the_gateway() {
        let mut config = with(&["desktop"]);
        config.services.gateway = 8080;
        let files = files(&Template::new(&config, &Paths::debian()), &config);
        let file = files.iter().find(|file| file.path == "/home/agent/Desktop/rave-router.desktop").unwrap();
        let GuestFileKind::File { mode: 0o755, content } = &file.kind else { panic!("{file:?}") };
        let text = std::str::from_utf8(content).unwrap();
        assert!(text.lines().any(|line| line == "Exec=xdg-open http://localhost:8080/ccr-ui/"), "{text}");
    }
}
