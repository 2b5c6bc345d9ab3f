//! Answers that the guest gets in place of the host's.

/// An answer with a text, after which the connection is closed.
pub(crate) fn page(status: &str, why: &str) -> Vec<u8> {
    let text = format!(
        "{why}\nThis answer is from the sandbox's supervisor, not from the host. The host's command `net NAME log` lists it.\n"
    );
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
    .into_bytes()
}
