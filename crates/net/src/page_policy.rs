//! What a browser of the host may request from a page of a guest, and what that page may do in it. The browser is on
//! the host's network: without this policy, a page could use it to reach what the sandbox may not.

use crate::page_head::Head;

/// The location of a page.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The sandbox, which is the first label of its own name below `localhost`.
    pub(crate) sandbox: String,
    /// The port of the host.
    pub(crate) port: u16,
}

/// The name of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// The sandbox's own.
    Sandbox,
    /// The host's, which other sandboxes have on the same port before or after this one.
    Host,
}

/// A refusal: the status, and the reason.
pub(crate) type Refused = (&'static str, String);

/// Fields of an answer that let a page do more than it may, or report about it to others. None of them only affects
/// this request.
const DROPPED: [&str; 10] = [
    "service-worker-allowed",
    "report-to",
    "reporting-endpoints",
    "nel",
    "content-security-policy-report-only",
    "expect-ct",
    "alt-svc",
    // Resources and connections ahead of the page, which no content policy controls.
    "link",
    "speculation-rules",
    "x-dns-prefetch-control",
];

impl Site {
    /// How a request's host names this site; nothing if it does not. Another name that leads here belongs to somebody
    /// who wants the browser to treat the page as his own (DNS rebinding).
    fn named(&self, host: &str) -> Option<Named> {
        let host = host.to_ascii_lowercase();
        let bare = match host.strip_suffix(&format!(":{}", self.port)) {
            Some(bare) => bare,
            // The default port of http (RFC 9110, 4.2.1).
            None if self.port == 80 => &host,
            None => return None,
        };
        if bare.strip_suffix(".localhost") == Some(self.sandbox.as_str()) {
            return Some(Named::Sandbox);
        }
        matches!(bare, "localhost" | "127.0.0.1" | "[::1]").then_some(Named::Host)
    }

    /// Checks a request; `is_closed` keeps pages from connecting to others. Returns whether it asks for a WebSocket.
    pub(crate) fn check(&self, head: &Head, is_closed: bool) -> Result<bool, Refused> {
        let bad = |why: &str| Err(("400 Bad Request", why.to_owned()));
        let strange = |why: String| ("400 Bad Request", why);
        let mut words = head.first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if !matches!(words.next(), Some("HTTP/1.1" | "HTTP/1.0")) || words.next().is_some() {
            return bad("it is not an HTTP/1 request");
        }
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return bad("its method is not plain");
        }
        if matches!(method, "CONNECT" | "TRACE") {
            return Err(("405 Method Not Allowed", format!("{method} is for proxies")));
        }
        let is_plain = target.starts_with('/') || (target == "*" && method == "OPTIONS");
        if !is_plain {
            return bad("it has no plain target");
        }
        let host = head.only("host").map_err(strange)?.unwrap_or_default();
        let Some(named) = self.named(host) else {
            return Err(("421 Misdirected Request", format!("it is for the host {:?}", short(host))));
        };
        // A service worker outlives its page: in the browser it would serve the pages of whoever has the port next. It
        // also makes documents to which no content policy was added. The field is on requests for its script (Service
        // Workers, "Service-Worker").
        if (is_closed || named == Named::Host) && head.values("service-worker").next().is_some() {
            let why = match named {
                Named::Host => {
                    format!("it is for a service worker, which needs http://{}.localhost", self.sandbox)
                }
                Named::Sandbox => {
                    "it is for a service worker, which could lift the limits of pages".to_owned()
                }
            };
            return Err(("403 Forbidden", why));
        }
        // The cookies of the host's own services and of other sandboxes go to its name: a page must not lead there.
        if named == Named::Host && head.values("sec-fetch-site").any(|site| site == "cross-site") {
            let why =
                format!("a page of another site leads to it; open http://{}.localhost instead", self.sandbox);
            return Err(("403 Forbidden", why));
        }
        let upgrades = head.values("upgrade").next().is_some();
        let is_socket = upgrades
            && method == "GET"
            && head.only("upgrade").map_err(strange)?.is_some_and(|to| to.eq_ignore_ascii_case("websocket"))
            && head.lists("connection", "upgrade");
        if upgrades && !is_socket {
            return Err(("501 Not Implemented", "it asks for another protocol".to_owned()));
        }
        if is_socket || !matches!(method, "GET" | "HEAD") {
            Self::check_origin(head, host)?;
        }
        Ok(is_socket)
    }

    /// Requests that change something must come from the page itself, or from a program other than a browser.
    fn check_origin(head: &Head, host: &str) -> Result<(), Refused> {
        let refused = |why: String| ("403 Forbidden", why);
        let strange = |why: String| ("400 Bad Request", why);
        if let Some(origin) = head.only("origin").map_err(strange)?
            && !origin.eq_ignore_ascii_case(&format!("http://{host}"))
        {
            return Err(refused(format!("it is from a page of {:?}", short(origin))));
        }
        // Browsers send it in addition to the origin (Fetch Metadata).
        match head.only("sec-fetch-site").map_err(strange)? {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) => Err(refused("it is from a page of another site".to_owned())),
        }
    }

    /// Whether a redirect stays at this host.
    pub(crate) fn is_own(location: Option<&str>, host: &str) -> bool {
        let Some(location) = location else { return true };
        let rest = location.strip_prefix(&format!("http://{host}")).unwrap_or(location);
        // Browsers read `\` as `/`, and drop tabs: `//` names another host (URL, "relative slash state").
        rest.starts_with('/') && !rest[1..].starts_with(['/', '\\']) && !rest.contains('\t')
    }

    /// Removes from an answer what a page may not have; `is_closed` keeps it from connecting to others.
    pub(crate) fn guard(head: &mut Head, host: &str, is_closed: bool) {
        head.fields.retain(|(name, _)| !DROPPED.iter().any(|one| name.eq_ignore_ascii_case(one)));
        for (name, value) in &mut head.fields {
            if name.eq_ignore_ascii_case("set-cookie") {
                // The first part is the cookie itself, whatever its name.
                if let Some((cookie, attributes)) = value.split_once(';') {
                    let kept = without(attributes, |attribute| attribute.eq_ignore_ascii_case("domain"));
                    *value = if kept.is_empty() { cookie.to_owned() } else { format!("{cookie};{kept}") };
                }
            } else if name.eq_ignore_ascii_case("content-security-policy") {
                // Reports of violations would go to addresses that `connect-src` does not limit.
                let reports = |word: &str| {
                    word.eq_ignore_ascii_case("report-uri") || word.eq_ignore_ascii_case("report-to")
                };
                let policies: Vec<String> = value.split(',').map(|one| without(one, reports)).collect();
                *value = policies.join(",");
            }
        }
        if is_closed {
            let add = |name: &str, value: String| (name.to_owned(), value);
            head.fields.push(add("Content-Security-Policy", content_policy(host)));
            head.fields.push(add("X-DNS-Prefetch-Control", "off".to_owned()));
        }
    }
}

/// Allows everything from the page's own origin. Browsers apply it in addition to the page's own policy (CSP 3, 8.1),
/// so one that allows more has no effect. Inline scripts and styles are the page's own.
fn content_policy(host: &str) -> String {
    format!(
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' data: blob:; connect-src 'self' ws://{host} data: blob:; \
         form-action 'self'; base-uri 'self'; object-src 'none'; frame-ancestors 'self'; webrtc 'block'"
    )
}

/// A list separated by `;` without the dropped names.
fn without(list: &str, is_dropped: impl Fn(&str) -> bool) -> String {
    let name = |one: &str| one.trim().split(['=', ' ', '\t']).next().unwrap_or_default().to_owned();
    let kept: Vec<&str> = list.split(';').filter(|one| !is_dropped(&name(one))).collect();
    kept.join(";")
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
