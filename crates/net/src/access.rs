//! Which requests are passed on to a host.

use crate::group::Group;
use crate::head::Head;

/// Fields by which some servers take another method than the request's own.
const OTHER_METHOD: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// What requests may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anything.
    Full,
    /// Read, because only this group is allowed.
    Read(Group),
}

impl Access {
    /// Why a request is not passed on. `target` is in origin form.
    pub(crate) fn refuses(self, head: &Head<'_>, target: &str) -> Option<String> {
        let Self::Read(group) = self else { return None };
        if OTHER_METHOD.iter().any(|name| head.values(name).next().is_some()) {
            return Some(format!("{group} is read-only: a request with another method in a field"));
        }
        let method = head.method;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_git = group == Group::Git;
        let reads = match method {
            // What asks for the references of a push is the beginning of one (gitprotocol-http(5)).
            "GET" | "HEAD" => !query.split('&').any(|pair| pair == "service=git-receive-pack") || !is_git,
            "POST" => is_git && path.ends_with("/git-upload-pack") && query.is_empty(),
            _ => false,
        };
        // The target is not told: it may hold what is secret.
        (!reads).then(|| {
            format!("{group} is read-only: a {} request", method.chars().take(20).collect::<String>())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_and_git_fetches() {
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
            (Access::Full, "DELETE", "/", true),
        ] {
            let head = Head { method, target, version: "HTTP/1.1", fields: vec![] };
            assert_eq!(access.refuses(&head, target).is_none(), passes, "{access:?} {method} {target}");
        }
        let fields = vec![("X-HTTP-Method-Override", "PUT")];
        let head = Head { method: "GET", target: "/", version: "HTTP/1.1", fields };
        assert!(npm.refuses(&head, "/").is_some());
    }
}
