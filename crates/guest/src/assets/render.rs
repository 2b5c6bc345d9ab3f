//! Fills the templates of `assets/`.

use super::Paths;
use crate::config::GuestConfig;
use crate::features::CLOUD;

/// The values of all placeholders for a guest.
pub(super) struct Template {
    values: Vec<(&'static str, String)>,
}

impl Template {
    pub(super) fn new(config: &GuestConfig, paths: &Paths) -> Self {
        let ports = &config.services;
        let values = vec![
            ("user", config.user.clone()),
            ("home", config.home.clone()),
            ("host_name", config.host_name.clone()),
            ("version", config.version.clone()),
            ("rave_guest", paths.rave_guest.clone()),
            ("tools", paths.tools.clone()),
            ("node", paths.node.clone()),
            ("nginx", paths.nginx.clone()),
            ("pages", paths.pages.clone()),
            ("xsession", paths.xsession.clone()),
            ("vnc_server", paths.vnc_server.clone()),
            ("path", format!("{}/.local/bin:{}", config.home, paths.path)),
            ("kanban_port", ports.kanban.to_string()),
            ("router_port", ports.router.to_string()),
            ("gateway_port", ports.gateway.to_string()),
            ("gateway_names", gateway_names(&config.gateway_names)),
            ("ssh_port", ports.ssh.to_string()),
            // User data may create other users.
            ("allowed_users", if config.has(CLOUD) { "*".into() } else { config.user.clone() }),
        ];
        Self { values }
    }

    /// `text` with every `@name@` replaced. Inserted values are not searched again.
    pub(super) fn fill(&self, text: &str) -> String {
        self.fill_with(text, &[])
    }

    /// Like [`Template::fill`], with additional values for this text.
    pub(super) fn fill_with(&self, text: &str, more: &[(&str, &str)]) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((start, name)) = first_placeholder(rest) {
            out.push_str(&rest[..start]);
            let own = more.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let shared = || self.values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
            let value = own.or_else(shared).unwrap_or_else(|| panic!("no value for @{name}@ in the assets"));
            out.push_str(value);
            rest = &rest[start + name.len() + 2..];
        }
        out.push_str(rest);
        out
    }
}

/// Lines of nginx's map for names in a request's `Host`, which may have a port; `~*` ignores case.
fn gateway_names(names: &[String]) -> String {
    let line = |name: &String| format!("\n        \"~*^{}(:[0-9]+)?$\" 1;", name.replace('.', "\\."));
    names.iter().map(line).collect()
}

/// The offset of the first `@name@` in `text`, and its name, which has lower-case letters and underscores.
pub(super) fn first_placeholder(text: &str) -> Option<(usize, &str)> {
    text.match_indices('@').find_map(|(start, _)| {
        let after = &text[start + 1..];
        let name = &after[..after.find('@')?];
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        plain.then_some((start, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_distinguished_from_other_at_signs() {
        assert_eq!(first_placeholder("error_page 502 @kanban_down;"), None);
        assert_eq!(first_placeholder("SystemCallFilter=~@privileged @resources"), None);
        assert_eq!(first_placeholder("user@1000 @home@"), Some((10, "home")));
    }

    #[test]
    fn values_are_not_expanded_again() {
        let config = GuestConfig { home: "/home/@user@".into(), ..GuestConfig::default() };
        let template = Template::new(&config, &Paths::debian());
        assert_eq!(template.fill("[@home@][@node@]"), "[/home/@user@][/usr/bin/node]");
    }
}
