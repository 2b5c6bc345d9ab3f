//! Heads of HTTP/1 (RFC 9112) between a browser of the host and a server in the guest: taken apart strictly, put together anew. Both
//! ends may lie; what two programs could read differently is refused.

/// The longest head, bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// The most fields.
const MAX_FIELDS: usize = 100;

/// A head: its first line and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first: String,
    /// Names as they came, values without the space around them.
    pub(crate) fields: Vec<(String, String)>,
}

/// How long what follows a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Length(u64),
    Chunked,
    /// To the end of the connection; answers alone.
    UntilEnd,
}

/// Takes a whole head off the beginning of bytes. Nothing where its end has not come; why it is none.
pub(crate) fn take(bytes: &mut Vec<u8>) -> Result<Option<Head>, String> {
    // What is no HTTP need not come whole.
    if bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Err("it is not HTTP".into());
    }
    let window = &bytes[..bytes.len().min(MAX_HEAD)];
    let Some(end) = window.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() >= MAX_HEAD { Err("its head is too long".into()) } else { Ok(None) };
    };
    let head = Head::parse(&bytes[..end])?;
    bytes.drain(..end + 4);
    Ok(Some(head))
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "its head is no text")?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let is_plain = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
        let fields: Vec<(String, String)> = lines.map(field).collect::<Result<_, _>>()?;
        if !is_plain(&first) || !fields.iter().all(|(_, value)| is_plain(value)) {
            return Err("its head has control characters".into());
        }
        if fields.len() > MAX_FIELDS {
            return Err("its head has too many fields".into());
        }
        Ok(Self { first, fields })
    }

    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str())
    }

    /// The value of a field that may be there once.
    pub(crate) fn only<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, String> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(format!("it has two {name} fields")),
        }
    }

    /// Whether a field that is a list has this word.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.values(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    }

    /// How long its body is, as fields say it; nothing where they say nothing.
    pub(crate) fn length(&self) -> Result<Option<Body>, String> {
        // That version knows no codings (RFC 9112, 6.1).
        let is_old = self.first.ends_with(" HTTP/1.0") || self.first.starts_with("HTTP/1.0 ");
        match (self.only("transfer-encoding")?, self.only("content-length")?) {
            (Some(_), _) if is_old => Err("it is of HTTP/1.0 and chunked".into()),
            (None, None) => Ok(None),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Body::Chunked)),
            (None, Some(length))
                if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                let length = length.parse().map_err(|_| "its length is too large")?;
                Ok(Some(Body::Length(length)))
            }
            (Some(_), Some(_)) => Err("it has a length and is chunked".into()),
            _ => Err("its length is not plain".into()),
        }
    }

    /// As bytes, with the empty line after it.
    pub(crate) fn render(&self, out: &mut Vec<u8>) {
        out.extend(self.first.as_bytes());
        for (name, value) in &self.fields {
            out.extend([b"\r\n", name.as_bytes(), b": ", value.as_bytes()].concat());
        }
        out.extend(b"\r\n\r\n");
    }
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or("a line of its head is no field")?;
    // A token (RFC 9110, 5.6.2): no space before the colon, and no line that goes on with one.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("a field of its head has no plain name".into());
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}
