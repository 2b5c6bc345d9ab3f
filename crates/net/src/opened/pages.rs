//! What a guest gets in place of a host's answer.

/// An answer with a text, after which the connection ends.
pub(crate) fn page(status: &str, why: &str) -> Vec<u8> {
    let text = format!(
        "{why}\nThe supervisor of this sandbox says so, not the host. The host's command `net NAME log` lists it.\n"
    );
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
    .into_bytes()
}
