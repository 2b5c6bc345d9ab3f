//! Knows which header fields carry credentials, and finds placeholders in them.

use base64ct::{Base64, Encoding as _};

/// Last words of field names that carry credentials (RFC 9110, 11; RFC 6265; RFC 9421; and services' own fields).
const NAME_ENDINGS: [&str; 18] = [
    "accesskey",
    "apikey",
    "auth",
    "authentication",
    "authorization",
    "cookie",
    "cookie2",
    "credential",
    "credentials",
    "jwt",
    "key",
    "otp",
    "passwd",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];
/// Field names that end in such a word but carry no credential.
const NO_CREDENTIAL: [&str; 4] = ["idempotency-key", "x-idempotency-key", "npm-session", "sec-websocket-key"];

/// Fields that cannot carry a secret: they describe the request, its host, its length or its answer.
const OF_PROTOCOL: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The same at the end of a name that is written as one word.
const JOINED: [&str; 7] = ["accesskey", "apikey", "authkey", "password", "secret", "secretkey", "token"];

/// Whether gateways read two field names as the same (RFC 3875, section 4.1.18).
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.replace('_', "-").eq_ignore_ascii_case(&other.replace('_', "-"))
}

/// Whether a field carries a credential, by its name. CGI gateways read an underscore as a hyphen (RFC 3875, 4.1.18).
pub(crate) fn is_one(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    if NO_CREDENTIAL.contains(&name.as_str()) {
        return false;
    }
    let is_session = name.ends_with("session-id");
    let is_joined = JOINED.iter().any(|word| name.ends_with(word));
    is_session || is_joined || name.rsplit('-').next().is_some_and(|last| NAME_ENDINGS.contains(&last))
}

/// Whether a secret may be put into a field.
pub(crate) fn can_be_replaced(name: &str) -> bool {
    crate::message::is_token(name) && !OF_PROTOCOL.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// The position of a placeholder in a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed<'a> {
    /// The placeholder is the whole value.
    Whole,
    /// It follows an authentication scheme (RFC 9110, 11.4).
    After(&'a str),
    /// It is the password of this user, or the user name with an empty password (RFC 7617).
    Password(String),
    User,
}

impl<'a> Placed<'a> {
    /// Finds the placeholder, if nothing else in the value could be a credential.
    pub(crate) fn find(value: &'a str, placeholder: &str) -> Option<Self> {
        if value == placeholder {
            return Some(Self::Whole);
        }
        let (scheme, rest) = value.split_once(' ').filter(|(scheme, _)| crate::message::is_token(scheme))?;
        if rest == placeholder {
            return Some(Self::After(scheme));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(Base64::decode_vec(rest).ok()?).ok()?;
        match pair.split_once(':')? {
            (user, password) if password == placeholder => Some(Self::Password(user.to_owned())),
            (user, "") if user == placeholder => Some(Self::User),
            _ => None,
        }
    }

    /// The value with the secret in place of the placeholder.
    pub(crate) fn with(&self, secret: &str) -> String {
        let basic = |pair: String| format!("Basic {}", Base64::encode_string(pair.as_bytes()));
        match self {
            Self::Whole => secret.to_owned(),
            Self::After(scheme) => format!("{scheme} {secret}"),
            Self::Password(user) => basic(format!("{user}:{secret}")),
            Self::User => basic(format!("{secret}:")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_headers_are_recognised_by_name() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "X-Api-Key",
            "X_API_KEY",
            "apikey",
            "Private-Token",
            "X-Auth-Token",
            "X-Amz-Security-Token",
            "X-Goog-Api-Key",
            "DD-APPLICATION-KEY",
            "X-Session-Id",
            "npm-otp",
            "X-Registry-Auth",
            "X-AuthToken",
            "X_UserPassword",
            "DOLAPIKEY",
        ] {
            assert!(is_one(name), "{name}");
        }
        for name in ["Accept", "npm-auth-type", "Idempotency-Key", "If-Match", "X-Request-Id", "User-Agent"] {
            assert!(!is_one(name), "{name}");
        }
        assert!(can_be_replaced("X-Api-Key") && can_be_replaced("authorization"));
        for name in ["Host", "cookie", "Transfer-Encoding", "a b", ""] {
            assert!(!can_be_replaced(name), "{name}");
        }
    }

    #[test]
    fn placeholders_are_whole_tokens_or_in_a_basic_pair() {
        let basic = |pair: &str| format!("Basic {}", Base64::encode_string(pair.as_bytes()));
        for (value, filled) in [
            ("P".to_owned(), "S".to_owned()),
            ("Bearer P".into(), "Bearer S".into()),
            ("token P".into(), "token S".into()),
            (basic("me:P"), basic("me:S")),
            (basic("P:"), basic("S:")),
        ] {
            assert_eq!(Placed::find(&value, "P").unwrap().with("S"), filled, "{value}");
        }
        for value in ["", "Q", "Bearer  P", "Bearer P Q", "P P P", "Basic P!", "a,b P"] {
            assert_eq!(Placed::find(value, "P"), None, "{value}");
        }
        for pair in ["me:Q", "P:Q", "me:PQ", "P"] {
            assert_eq!(Placed::find(&basic(pair), "P"), None, "{pair}");
        }
    }
}
