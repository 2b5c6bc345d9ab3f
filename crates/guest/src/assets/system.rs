//! Files of the system: names, network, SSH, sudo, journal, gateway.

use super::render::Template;
use super::{GuestFile, GuestFileKind, Owner, Paths, SERVICES, environment};
use crate::config::GuestConfig;

pub(super) fn files(template: &Template, config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    let mut files = vec![
        GuestFile::file("/etc/hostname", 0o644, template.fill("@host_name@\n")),
        GuestFile::file("/etc/hosts", 0o644, template.fill(HOSTS)),
        GuestFile::file("/etc/motd", 0o644, template.fill(include_str!("../../assets/motd"))),
        GuestFile::file("/etc/sudoers.d/rave", 0o440, template.fill(include_str!("../../assets/sudoers"))),
        GuestFile::file("/etc/ssh/sshd_config.d/rave.conf", 0o644, sshd(template, config)),
        GuestFile::symlink("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf"),
        GuestFile::file("/etc/udev/rules.d/99-rave-install.rules", 0o644, INSTALL_RULE),
        GuestFile::file("/etc/udev/rules.d/99-rave-channel.rules", 0o644, CHANNEL_RULE),
        GuestFile::file("/usr/lib/systemd/system-shutdown/rave-screen-off", 0o755, SCREEN_OFF),
        GuestFile::file("/etc/repart.d/50-root.conf", 0o644, include_str!("../../assets/repart-root.conf")),
        GuestFile::file(
            "/etc/systemd/journald.conf.d/rave.conf",
            0o644,
            include_str!("../../assets/journald.conf"),
        ),
        GuestFile::file("/etc/gitconfig", 0o644, template.fill(include_str!("../../assets/gitconfig"))),
        GuestFile::symlink("/usr/local/bin/rave-guest", &paths.rave_guest),
    ];
    files.extend(gateway(template, paths));
    files.extend(low_ports(config));
    files.extend(authorized_keys(config));
    if !config.has_network_manager() {
        let text = include_str!("../../assets/network/80-rave.network");
        files.push(GuestFile::file("/etc/systemd/network/80-rave.network", 0o644, text));
    }
    files
}

/// Starts the installer when a medium with its answers appears, even one that the firmware, and so the boot loader,
/// does not see. The unit does nothing outside of a live session.
const INSTALL_RULE: &str = include_str!("../../assets/install.rules");

/// Starts the server of the host's channel when its port appears.
const CHANNEL_RULE: &str = include_str!("../../assets/channel.rules");

const SCREEN_OFF: &str = include_str!("../../assets/screen-off");

const HOSTS: &str = "\
127.0.0.1 localhost
127.0.1.1 @host_name@
::1 localhost ip6-localhost ip6-loopback
";

fn sshd(template: &Template, config: &GuestConfig) -> String {
    let passwords = if config.hardened { "no" } else { "yes" };
    let set_env = environment::sshd_set_env(config);
    let text = include_str!("../../assets/sshd.conf");
    template.fill_with(text, &[("passwords", passwords), ("set_env", &set_env)])
}

fn gateway(template: &Template, paths: &Paths) -> Vec<GuestFile> {
    let page = |file: &str, title: &str, unit: &str| {
        let text = include_str!("../../assets/page.html");
        let text = template.fill_with(text, &[("title", title), ("unit", unit)]);
        GuestFile::file(format!("{}/{file}.html", paths.pages), 0o644, text)
    };
    let script = include_str!("../../assets/ccr-ui.js");
    vec![
        GuestFile::file(
            "/etc/rave/nginx.conf",
            0o644,
            template.fill(include_str!("../../assets/nginx.conf")),
        ),
        GuestFile::directory("/etc/rave/gateway.d", 0o755),
        GuestFile::file(format!("{}/ccr-ui.js", paths.pages), 0o644, script),
        page("kanban", SERVICES[0].title, SERVICES[0].unit),
        page("router", SERVICES[1].title, SERVICES[1].unit),
        page("health", "The health report", "rave-health.service"),
    ]
}

/// The user's own keys, in the home; the keys that the host passes to a machine are elsewhere.
fn authorized_keys(config: &GuestConfig) -> Vec<GuestFile> {
    if config.authorized_keys.is_empty() {
        return Vec::new();
    }
    let folder = format!("{}/.ssh", config.home);
    let lines = config.authorized_keys.join("\n") + "\n";
    let kind = GuestFileKind::File { mode: 0o600, content: lines.into() };
    let path = format!("{folder}/authorized_keys");
    vec![
        GuestFile { path: folder, owner: Owner::User, kind: GuestFileKind::Directory { mode: 0o700 } },
        GuestFile { path, owner: Owner::User, kind },
    ]
}

/// No service runs as root, so the kernel must allow ports below 1024.
fn low_ports(config: &GuestConfig) -> Option<GuestFile> {
    let ports = &config.services;
    let lowest = ports.kanban.min(ports.router).min(ports.gateway);
    let text = format!("net.ipv4.ip_unprivileged_port_start = {lowest}\n");
    (lowest < 1024).then(|| GuestFile::file("/etc/sysctl.d/50-rave-ports.conf", 0o644, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::CLOUD;

    #[test]
    fn hardened_profiles_have_no_password() {
        for (hardened, expected) in
            [(false, "PasswordAuthentication yes"), (true, "PasswordAuthentication no")]
        {
            let config = GuestConfig { hardened, ..GuestConfig::default() };
            let text = sshd(&Template::new(&config, &Paths::debian()), &config);
            assert!(text.lines().any(|line| line == expected), "{text}");
            assert!(text.lines().any(|line| line == "PermitRootLogin no"), "{text}");
        }
    }

    #[test]
    fn only_user_data_may_add_users() {
        let config = |features: &[&str]| {
            let features = features.iter().map(ToString::to_string).collect();
            GuestConfig { features, ..GuestConfig::default() }
        };
        let allowed = |config: GuestConfig| {
            let text = sshd(&Template::new(&config, &Paths::debian()), &config);
            text.lines().find_map(|line| line.strip_prefix("AllowUsers ")).map(str::to_owned)
        };
        assert_eq!(allowed(config(&[])).as_deref(), Some("agent"));
        assert_eq!(allowed(config(&[CLOUD])).as_deref(), Some("*"));
    }

    #[test]
    fn the_users_keys_belong_to_that_user_only() {
        assert!(authorized_keys(&GuestConfig::default()).is_empty());
        let config = GuestConfig { authorized_keys: vec!["a".into(), "b".into()], ..GuestConfig::default() };
        let files = authorized_keys(&config);
        assert!(files.iter().all(|file| file.owner == Owner::User));
        assert_eq!(files[0].kind, GuestFileKind::Directory { mode: 0o700 });
        assert_eq!(files[1].path, "/home/agent/.ssh/authorized_keys");
        assert_eq!(files[1].kind, GuestFileKind::File { mode: 0o600, content: b"a\nb\n".into() });
    }

    #[test]
    fn only_low_ports_need_a_kernel_setting() {
        let mut config = GuestConfig::default();
        assert_eq!(low_ports(&config), None);
        config.services.gateway = 80;
        assert!(low_ports(&config).is_some());
    }
}
