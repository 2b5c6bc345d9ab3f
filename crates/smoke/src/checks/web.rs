//! The services' pages and APIs.

use rave_guest::protocol::Health;

use crate::guest::Guest;
use crate::http::{self, Answer};
use crate::poll::{CheckError, Observation, ensure};

pub(crate) fn kanban_answers(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    ok(guest, seen, "kanban", "/", |answer| has(answer, "text/html", "<html"))
}

pub(crate) fn kanban_api(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    ok(guest, seen, "kanban", "/api/health", |answer| {
        let value: serde_json::Value = json(answer)?;
        ensure(value["success"] == true, || format!("/api/health does not report success: {}", answer.body))
    })
}

pub(crate) fn router_ui(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    ok(guest, seen, "router", "/ui/", |answer| has(answer, "text/html", "<html"))
}

pub(crate) fn router_health(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    ok(guest, seen, "router", "/health", |answer| {
        let value: serde_json::Value = json(answer)?;
        ensure(value["status"] == "ok", || format!("/health does not report ok: {}", answer.body))
    })
}

pub(crate) fn gateway_root(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let mut direct = Observation::default();
    let kanban = http::get(guest.address("kanban")?, "/", &mut direct)?;
    ok(guest, seen, "gateway", "/", |answer| {
        ensure(answer.body == kanban.body, || "/ differs from Vibe Kanban's own page".into())
    })
}

/// The page, the script that the gateway adds to it, and an API call that needs the router's key.
pub(crate) fn gateway_router_ui(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let mut asset = String::new();
    ok(guest, seen, "gateway", "/ccr-ui/", |answer| {
        has(answer, "text/html", "<html")?;
        let found =
            script(&answer.body).ok_or_else(|| CheckError::Failed("the page loads no script".into()))?;
        found.clone_into(&mut asset);
        Ok(())
    })?;
    ok(guest, seen, "gateway", &asset, |answer| has(answer, "javascript", "/ccr-ui/"))?;
    let result = ok(guest, seen, "gateway", "/ccr-ui/api/config", |answer| {
        let value: serde_json::Value = json(answer)?;
        ensure(value.get("Providers").is_some(), || "the router's configuration has no providers".into())
    });
    // The configuration contains keys, and the answer goes into reports.
    seen.answer = format!("page, {asset} and the router's API answer");
    result
}

pub(crate) fn gateway_health(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    ok(guest, seen, "gateway", "/healthz", |answer| {
        let health: Health = json(answer)?;
        let bad: Vec<String> = health.services.iter().filter(|service| !service.ok).map(describe).collect();
        ensure(health.ok && bad.is_empty() && health.services.len() == 4, || {
            format!("{} services, unhealthy: {}", health.services.len(), bad.join("; "))
        })
    })
}

/// Vibe Kanban's event stream: its head must arrive before the stream ends.
pub(crate) fn gateway_events(guest: &Guest, seen: &mut Observation) -> Result<(), CheckError> {
    let address = guest.address("gateway")?;
    guest.until(seen, |seen| {
        let answer = http::head_of_stream(address, "/api/events", seen)?;
        ensure(answer.status == 200 && answer.content_type.contains("text/event-stream"), || {
            format!("no event stream: {} {}", answer.status, answer.content_type)
        })
    })
}

pub(crate) fn describe(service: &rave_guest::protocol::ServiceHealth) -> String {
    format!("{} ({}): {}", service.name, service.state, service.detail)
}

/// Retries until the answer has status 200 and is judged correct.
fn ok(
    guest: &Guest,
    seen: &mut Observation,
    service: &str,
    path: &str,
    mut check: impl FnMut(&Answer) -> Result<(), CheckError>,
) -> Result<(), CheckError> {
    let address = guest.address(service)?;
    guest.until(seen, |seen| {
        let answer = http::get(address, path, seen)?;
        ensure(answer.status == 200, || format!("GET {path} returned {}", answer.status))?;
        check(&answer)
    })
}

fn has(answer: &Answer, content_type: &str, text: &str) -> Result<(), CheckError> {
    ensure(answer.content_type.contains(content_type), || {
        format!("it is {:?}, not {content_type}", answer.content_type)
    })?;
    ensure(answer.body.contains(text), || format!("it does not contain {text:?}"))
}

pub(crate) fn json<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, CheckError> {
    serde_json::from_str(&answer.body)
        .map_err(|error| CheckError::Failed(format!("unexpected JSON: {error}")))
}

/// The first script that a page loads from a file.
fn script(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<script src=\"")?;
    rest.split_once('"').map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_script_of_a_page_is_found() {
        assert_eq!(
            script("<head><script>1</script><script src=\"/ccr-ui/rave.js\"></script>"),
            Some("/ccr-ui/rave.js")
        );
        assert_eq!(script("<head></head>"), None);
    }
}
