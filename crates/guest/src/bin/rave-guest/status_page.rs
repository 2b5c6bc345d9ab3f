//! The health report as an HTML page.

use rave_guest::assets::claude;
use rave_guest::protocol::{ClaudeState, Health, ServiceHealth};

const PAGE: &str = include_str!("../../../assets/status.html");

/// An HTML page with a row for each service. It reloads itself and needs no script.
pub(crate) fn render(health: &Health) -> String {
    let verdict = if health.ok { "All services are up" } else { "A service is not available" };
    let warning = |text: &String| format!("<p class=bad>{}</p>\n", escape(text));
    let warnings: String = health.warnings.iter().map(warning).collect();
    let pending = (health.claude == Some(ClaudeState::Pending))
        .then(|| format!("<p>Claude Code is being installed: <code>{}</code></p>\n", claude::LOG));
    let warnings = warnings + pending.as_deref().unwrap_or_default();
    let rows: String = health.services.iter().map(row).collect();
    PAGE.replace("{verdict}", verdict)
        .replace("{host}", &escape(&health.host_name))
        .replace("{version}", &escape(&health.version))
        .replace("{minutes}", &(health.uptime_ms / 60_000).to_string())
        .replace("{warnings}", &warnings)
        .replace("{rows}", &rows)
}

fn row(service: &ServiceHealth) -> String {
    let (class, label) = if service.ok { ("ok", "up") } else { ("bad", "down") };
    format!(
        "<tr class={class}><th scope=row>{}</th><td>{label}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>\n",
        escape(&service.name),
        service.port,
        escape(&service.detail),
        escape(&service.log),
    )
}

/// Escapes text and quoted attributes in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_service_is_shown_with_its_escaped_log() {
        let service = ServiceHealth {
            name: "kanban".into(),
            unit: "vibe-kanban.service".into(),
            state: "failed".into(),
            sub_state: "failed".into(),
            port: 3000,
            answers: false,
            ok: false,
            detail: "<script>\"&".into(),
            since_ms: 0,
            log: "journalctl -u vibe-kanban".into(),
        };
        let health = Health {
            ok: false,
            version: "1".into(),
            host_name: "rave".into(),
            uptime_ms: 125_000,
            services: vec![service],
            claude: Some(ClaudeState::Pending),
            warnings: vec!["no <AVX>".into()],
        };
        let page = render(&health);
        assert!(page.contains("<p class=bad>no &lt;AVX&gt;</p>"), "{page}");
        assert!(page.contains("installed: <code>journalctl -u rave-claude</code>"), "{page}");
        assert!(page.contains("A service is not available") && page.contains("up for 2 min"), "{page}");
        assert!(page.contains("<tr class=bad><th scope=row>kanban</th><td>down</td><td>3000</td>"), "{page}");
        assert!(page.contains("&lt;script&gt;&quot;&amp;") && !page.contains("<script>"), "{page}");
        assert!(page.contains("<code>journalctl -u vibe-kanban</code>"), "{page}");
    }
}
