//! What requests and answers of HTTP/1 (RFC 9112) have in common: fields and the length of the body, parsed as strictly
//! as any program parses them. Error messages have no subject; the caller adds it.

use crate::body::Body;

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

/// The name and the value of a field.
pub(crate) fn field(line: &str) -> Result<(&str, &str), &'static str> {
    let (name, value) = line.split_once(':').ok_or("has a line that is not a field")?;
    // No space before the colon, and no continuation line.
    if !is_token(name) {
        return Err("has a field with no plain name");
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

/// The value of a field that may occur once.
pub(crate) fn only<'a>(
    mut values: impl Iterator<Item = &'a str>,
    name: &str,
) -> Result<Option<&'a str>, String> {
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(format!("has two {name} fields")),
    }
}

/// The length of the body according to `transfer-encoding` and `content-length`; nothing if neither is present.
/// HTTP/1.0 has no transfer codings (RFC 9112, 6.1).
pub(crate) fn framing<'a>(
    is_old: bool,
    codings: impl Iterator<Item = &'a str>,
    lengths: impl Iterator<Item = &'a str>,
) -> Result<Option<Body>, String> {
    match (only(codings, "transfer-encoding")?, only(lengths, "content-length")?) {
        (None, None) => Ok(None),
        (Some(_), _) if is_old => Err("is HTTP/1.0 and chunked".into()),
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Body::Chunked)),
        (None, Some(length)) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(|length| Some(Body::Length(length))).map_err(|_| "is too long".into())
        }
        (Some(_), Some(_)) => Err("has a length and is chunked".into()),
        _ => Err("has a length that is not plain".into()),
    }
}
