//! Checks of URLs that several types share.

use crate::InvalidValue;

/// Whether it is a URL of one of these schemes, with something after the scheme.
pub(crate) fn is_url(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

/// Refuses `user:password@host` (RFC 3986, section 3.2.1), which would appear on command lines and in logs; `expected`
/// says where the password belongs instead. The message does not repeat it.
pub(crate) fn no_password(url: &str, expected: &str) -> Result<(), InvalidValue> {
    let Some((_, rest)) = url.split_once("://") else { return Ok(()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        return Err(InvalidValue::new("the URL contains a password", expected));
    }
    Ok(())
}
