//! Decides which requests are passed on to a host.

use crate::body::Body;
use crate::group::Group;
use crate::head::Head;

/// Header fields that make some servers use another method or path than the request's; an underscore counts as a hyphen
/// (RFC 3875, 4.1.18).
const OTHER_REQUEST: [&str; 6] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
];

/// The service of a push, and the end of its path (gitprotocol-http(5)).
const PUSH: &str = "git-receive-pack";
/// The end of the path of a fetch.
const FETCH: &str = "/git-upload-pack";

/// What requests may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everything.
    Full,
    /// Reading only, because the rule allows no more for this group.
    Read(Group),
}

impl Access {
    /// The reason to refuse a request, if any. `target` is in origin form.
    pub(crate) fn refuses(self, head: &Head<'_>, target: &str, body: Body) -> Option<String> {
        let Self::Read(group) = self else { return None };
        // Leave out the target: it may contain a secret.
        let refused = |what: &str| Some(format!("{group} is read-only: {what}"));
        let overrides = |(name, _): &(&str, &str)| {
            let name = name.replace('_', "-");
            OTHER_REQUEST.iter().any(|other| name.eq_ignore_ascii_case(other))
        };
        if head.fields.iter().any(overrides) {
            return refused("a request with another method or path in a field");
        }
        let method = head.method;
        let reads = matches!(method, "GET" | "HEAD");
        if reads && body != Body::Length(0) {
            // Some servers act on such a body (RFC 9110, 9.3.1).
            return refused(&format!("a {method} request with a body"));
        }
        if group != Group::Git {
            return if reads { None } else { refused(&a_request(method)) };
        }
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        if !is_plain(path) {
            return refused("a request whose path servers read differently");
        }
        match (method, query) {
            // Asking for the references of a push is its first step (gitprotocol-http(5)).
            ("GET" | "HEAD", _) if query.is_some_and(asks_for_push) => {
                refused("a request that begins a push")
            }
            ("GET" | "HEAD", _) => None,
            ("POST", None | Some("")) if path.ends_with(FETCH) && !path.contains(PUSH) => None,
            _ => refused(&a_request(method)),
        }
    }
}

fn a_request(method: &str) -> String {
    format!("a {} request", method.chars().take(20).collect::<String>())
}

/// Whether every server splits a path into the same segments: it has no parameters and no `..`, and nothing is encoded
/// that could be written plainly.
fn is_plain(path: &str) -> bool {
    let mut segments = path.split('/');
    if path.contains([';', '\\', '#']) || segments.any(|segment| matches!(segment, "." | "..")) {
        return false;
    }
    // A letter or a dot needs no percent-encoding (RFC 3986, 2.3), and a separator is not part of a name.
    let is_hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/\\;?#%".contains(&byte) || byte < b' ';
    decoded(path.as_bytes()).is_some_and(|bytes| {
        let text: Vec<u8> = bytes.iter().map(|(byte, _)| *byte).collect();
        // Some servers decode overlong forms (RFC 3629, 10).
        std::str::from_utf8(&text).is_ok() && !bytes.iter().any(|(byte, was)| *was && is_hidden(*byte))
    })
}

/// Whether a query asks for the service of a push, or cannot be decoded.
fn asks_for_push(query: &str) -> bool {
    let Some(bytes) = decoded(query.as_bytes()) else { return true };
    let text: Vec<u8> = bytes.into_iter().map(|(byte, _)| byte.to_ascii_lowercase()).collect();
    // No other parameter contains this word.
    text.windows(PUSH.len()).any(|window| window == PUSH.as_bytes())
}

/// Percent-decodes a text: its bytes, and whether each was encoded. Returns nothing if an escape is invalid.
fn decoded(text: &[u8]) -> Option<Vec<(u8, bool)>> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push((*first, false));
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push((u8::from_str_radix(digits, 16).ok()?, true));
        rest = &after[2..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_only_and_git_can_fetch() {
        let (npm, git) = (Access::Read(Group::Npm), Access::Read(Group::Git));
        for (access, method, target, passes) in [
            (npm, "GET", "/left-pad", true),
            (npm, "HEAD", "/left-pad", true),
            (npm, "PUT", "/left-pad", false),
            (npm, "POST", "/-/npm/v1/security/audits", false),
            (npm, "POST", "/x/git-upload-pack", false),
            (npm, "get", "/", false),
            (git, "GET", "/a/b.git/info/refs?service=git-upload-pack", true),
            (git, "GET", "/a/b.git/info/refs?service=git-receive-pack", false),
            (git, "GET", "/a/b.git/info/refs?x=1&service=git-receive-pack", false),
            (git, "POST", "/a/b.git/git-upload-pack", true),
            (git, "POST", "/a/b.git/git-receive-pack", false),
            (git, "POST", "/a/b.git/git-receive-pack?/git-upload-pack", false),
            (git, "GET", "/a/b.git/info/refs?service=git%2Dreceive-pack", false),
            (git, "GET", "/a/b.git/info/refs?ser%76ice=git-receive-p%61ck", false),
            (git, "GET", "/a/b.git/info/refs?service=git-upload-pack;service=Git-Receive-Pack", false),
            (git, "GET", "/a/b.git/info/refs?service=%zz", false),
            (git, "GET", "/a%20b.git/info/refs?service=git-upload-pack", true),
            (git, "GET", "/a/b.git/info%2Frefs?service=git-upload-pack", false),
            (git, "GET", "/a/../b.git/info/refs", false),
            (git, "GET", "/a/%2e%2E/b.git/info/refs", false),
            (git, "POST", "/a/b.git/git-upload-pack?", true),
            (git, "POST", "/a%20b.git/git-upload-pack", true),
            (git, "POST", "/a/b.git/git-receive-pack#/git-upload-pack", false),
            (git, "POST", "/a/b.git/git-receive-pack;/git-upload-pack", false),
            (git, "POST", "/a/b.git/git-receive-pack/git-upload-pack", false),
            (git, "POST", "/a/b.git/git-receive-pack/../git-upload-pack", false),
            (git, "POST", "/a/b.git/git-upload-pack/../../b.git/x/git-upload-pack", false),
            (git, "POST", "/a/b.git/git%2Dreceive-pack%3F/git-upload-pack", false),
            (git, "POST", "/a/b.git/git-%72eceive-pack%00/git-upload-pack", false),
            (git, "POST", "/a/b.git/x\\git-upload-pack", false),
            (git, "POST", "/a/%c0%ae%c0%ae/git-upload-pack", false),
            (git, "POST", "/a/%c3%a9/git-upload-pack", true),
            (npm, "GET", "/@scope%2fname", true),
            (Access::Full, "DELETE", "/", true),
        ] {
            let head = Head { method, target, version: "HTTP/1.1", fields: vec![] };
            let refusal = access.refuses(&head, target, Body::Length(0));
            assert_eq!(refusal.is_none(), passes, "{access:?} {method} {target}: {refusal:?}");
        }
        for name in ["X-HTTP-Method-Override", "X_HTTP_Method_Override", "x-http_method", "X-Original-URL"] {
            let head = Head { method: "GET", target: "/", version: "HTTP/1.1", fields: vec![(name, "PUT")] };
            assert!(npm.refuses(&head, "/", Body::Length(0)).is_some(), "{name}");
        }
        let fetch = "/a/b.git/git-upload-pack";
        for (name, passes) in [("Git-Protocol", true), ("X-Rewrite-URL", false)] {
            let fields = vec![(name, "/a/b.git/git-receive-pack")];
            let head = Head { method: "POST", target: fetch, version: "HTTP/1.1", fields };
            assert_eq!(git.refuses(&head, fetch, Body::Chunked).is_none(), passes, "{name}");
        }
    }

    #[test]
    fn read_only_requests_have_no_body() {
        let head = |method| Head { method, target: "/x", version: "HTTP/1.1", fields: vec![] };
        for group in [Group::Npm, Group::Git] {
            for (method, body) in
                [("GET", Body::Length(1)), ("HEAD", Body::Length(9)), ("GET", Body::Chunked)]
            {
                let refusal = Access::Read(group).refuses(&head(method), "/x", body);
                assert!(refusal.is_some_and(|refusal| refusal.contains("with a body")), "{group} {method}");
            }
        }
        assert_eq!(Access::Full.refuses(&head("GET"), "/x", Body::Length(1)), None);
        let push = Access::Read(Group::Git).refuses(&head("POST"), "/a/git-upload-pack", Body::Chunked);
        assert_eq!(push, None, "a fetch says what it has");
    }
}
