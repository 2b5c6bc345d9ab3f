//! URLs, as far as their checks are shared.

use crate::InvalidValue;

/// Whether it is a URL of one of these schemes, with something behind it.
pub(crate) fn is_url(text: &str, schemes: &[&str]) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty())
}

/// Refuses `user:password@host` (RFC 3986, section 3.2.1), which would be on command lines and in logs; `expected` says
/// where a password may stand instead. The message does not repeat it.
pub(crate) fn no_password(url: &str, expected: &str) -> Result<(), InvalidValue> {
    let Some((_, rest)) = url.split_once("://") else { return Ok(()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
        return Err(InvalidValue::new("the URL holds a password", expected));
    }
    Ok(())
}
