//! The model is served to the guest without the user's key and within its limits, whatever the provider does.

use std::io::{BufReader, Read as _, Write as _};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rave_net::lan::MODEL;
use rave_net::{Key, Limits, Mode, Model, Origin, Price, Trust};

use crate::guest::{Guest, Outcome};
use crate::hosts::{Names, Site, policy};
use crate::tls::{Stream, World, read_head};

const KEY: &str = "the-users-real-key";

fn site(serve: fn(Stream), limits: Limits, rules: &[&str]) -> (Site, Guest) {
    let world = World::new();
    let names = Names::from([(("provider.example", 443), world.server("provider.example", serve))]);
    let model = Model {
        origin: Origin::of_url("https://provider.example", true).unwrap(),
        prefix: "/base".into(),
        token: "token-of-this-sandbox".into(),
        key: Key::Api(KEY.into()),
        limits,
        prices: vec![("m-".into(), Price { input: 1.0, output: 5.0, ..Price::default() })],
        usage: None,
    };
    let policy = policy(Mode::Restricted, rules, &[]);
    let (site, mut guest) = Site::with_model(policy, names, vec![], Trust::File(world.file()), Some(model));
    // The authorities are read at the first connection, while their file exists.
    if rules == ["model"] {
        ask(&mut guest, "/v1/messages/count_tokens", "{}");
    }
    (site, guest)
}

/// Sends a request with the token, and returns the whole answer.
fn ask(guest: &mut Guest, path: &str, body: &str) -> String {
    raw(
        guest,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: token-of-this-sandbox\r\nAnthropic-Version: 1\r\n\
             Anthropic-Beta: b\r\nCookie: c\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

fn raw(guest: &mut Guest, request: &str) -> String {
    let handle = guest.open(MODEL.0, MODEL.1);
    guest.write(handle, request.as_bytes());
    let answer = String::from_utf8_lossy(&guest.read_all(handle)).into_owned();
    guest.close(handle);
    answer
}

/// Reads a request, and sends an answer.
fn reply(stream: Stream, answer: impl FnOnce(&[String], &mut Stream)) {
    let mut stream = BufReader::new(stream);
    let head = read_head(&mut stream);
    let length =
        head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if head.is_empty() || stream.read_exact(&mut body).is_err() {
        return;
    }
    let stream = stream.get_mut();
    answer(&head, stream);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

/// Answers with the request's head.
fn reply_with_head(stream: Stream) {
    reply(stream, |head, stream| {
        let reply_body = serde_json::json!({
            "model": "m-1", "head": head, "usage": { "input_tokens": 1_000_000, "output_tokens": 200_000 },
        })
        .to_string();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nSet-Cookie: a=b\r\n\r\n{reply_body}",
            reply_body.len()
        );
    });
}

#[test]
fn the_provider_gets_the_users_key_and_the_guest_only_a_token() {
    let (site, mut guest) = site(reply_with_head, Limits::default(), &["model"]);
    let answer = ask(&mut guest, "/v1/messages?beta=true", "{}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for part in [
        "POST /base/v1/messages?beta=true HTTP/1.1",
        "x-api-key: the-users-real-key",
        "Anthropic-Version: 1",
        "Anthropic-Beta: b",
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    for part in ["token-of-this-sandbox", "Cookie", "Set-Cookie"] {
        assert!(!answer.contains(part), "{part}: {answer}");
    }
    let usage = site.network.usage().unwrap();
    assert_eq!((usage.requests, usage.input_tokens, usage.output_tokens), (1, 1_000_000, 200_000));
    assert!((usage.money - 2.0).abs() < 1e-9, "{usage:?}");
}

#[test]
fn requests_without_token_rule_or_limit_are_not_forwarded() {
    let (closed, mut guest) = site(reply_with_head, Limits::default(), &["provider.example"]);
    assert_eq!(guest.connect(MODEL.0, MODEL.1), Outcome::Refused);
    assert_eq!(closed.denial().allow.as_deref(), Some("model"));

    let (open, mut guest) =
        site(reply_with_head, Limits { requests: Some(1), ..Limits::default() }, &["model"]);
    let request =
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: 0\r\n\r\n";
    assert!(raw(&mut guest, request).starts_with("HTTP/1.1 401 "));
    let get = request.replace("POST /v1/messages", "GET /v1/files");
    assert!(raw(&mut guest, &get).starts_with("HTTP/1.1 404 "));
    let two = request.replace("Content-Length: 0", "Content-Length: 0\r\nTransfer-Encoding: chunked");
    assert!(raw(&mut guest, &two).starts_with("HTTP/1.1 400 "));
    assert!(ask(&mut guest, "/v1/messages", "{}").starts_with("HTTP/1.1 200 "));
    let over = ask(&mut guest, "/v1/messages", "{}");
    assert!(over.starts_with("HTTP/1.1 403 ") && over.contains("permission_error"), "{over}");
    assert_eq!(open.network.usage().unwrap().requests, 1);
}

#[test]
fn events_are_forwarded_unbuffered() {
    static SEEN: AtomicBool = AtomicBool::new(false);
    let serve = |stream: Stream| {
        reply(stream, |head, stream| {
            if head[0].contains("count_tokens") {
                return;
            }
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let first = r#"data: {"type":"message_start","message":{"model":"m-1","usage":{"input_tokens":5,"output_tokens":1}}}"#;
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                chunk(&format!("{first}\n\n"))
            );
            let _ = stream.flush();
            // The next event is sent once the guest has seen the first, which another connection reports.
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while !SEEN.load(SeqCst) && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = write!(stream, "{}", chunk("data: {\"usage\":{\"output_tokens\":9}}\n\n"));
            // Without the last chunk it is truncated.
        });
    };
    let (site, mut guest) = site(serve, Limits::default(), &["model"]);
    let handle = guest.open(MODEL.0, MODEL.1);
    let request = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-of-this-sandbox\r\nContent-Length: 0\r\n\r\n";
    guest.write(handle, request.as_bytes());
    let mut got = Vec::new();
    let first = guest.until(Duration::from_secs(15), |guest| {
        let socket = guest.socket(handle);
        if socket.can_recv() {
            got.extend(socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap());
        }
        got.windows(13).any(|bytes| bytes == b"message_start").then_some(())
    });
    assert!(first.is_some(), "{}", String::from_utf8_lossy(&got));
    SEEN.store(true, SeqCst);
    let rest = String::from_utf8(guest.read_all(handle)).unwrap();
    assert!(rest.contains("\"output_tokens\":9") && !rest.ends_with("0\r\n\r\n"), "{rest}");
    assert_eq!(
        site.network.usage().unwrap().output_tokens,
        9,
        "the usage that a truncated stream reported counts"
    );
}

#[test]
fn abandoned_requests_are_counted() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    static GONE: AtomicBool = AtomicBool::new(false);
    let serve = |stream: Stream| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        reply(stream, |head, stream| {
            let is_counted = !head[0].contains("count_tokens");
            ASKED.fetch_or(is_counted, SeqCst);
            while is_counted && !GONE.load(SeqCst) && std::time::Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The second does not report its tokens.
            let body = if head.iter().any(|line| line.ends_with(": 4000")) {
                "{}".to_owned()
            } else {
                r#"{"model":"m-1","usage":{"input_tokens":1000000,"output_tokens":200000}}"#.to_owned()
            };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        });
    };
    let (site, mut guest) = site(serve, Limits { tokens: Some(1_200_000), ..Limits::default() }, &["model"]);
    let counts = |guest: &mut Guest, tokens: u64| {
        let counted = |_: &mut Guest| (site.network.usage().unwrap().input_tokens == tokens).then_some(());
        guest.until(Duration::from_secs(15), counted).is_some()
    };
    for (length, tokens) in [(4000, 1000), (2, 1_001_000)] {
        ASKED.store(false, SeqCst);
        GONE.store(false, SeqCst);
        let handle = guest.open(MODEL.0, MODEL.1);
        let body = " ".repeat(length);
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: token-of-this-sandbox\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        guest.write(handle, request.as_bytes());
        let is_asked = |_: &mut Guest| ASKED.load(SeqCst).then_some(());
        guest.until(Duration::from_secs(15), is_asked).expect("the provider has the whole request");
        guest.socket(handle).abort();
        // Frames arrive in order: once another request is answered, the end has arrived.
        ask(&mut guest, "/v1/messages/count_tokens", "{}");
        GONE.store(true, SeqCst);
        assert!(counts(&mut guest, tokens), "{:?}", site.network.usage());
    }
    assert!(ask(&mut guest, "/v1/messages", "{}").starts_with("HTTP/1.1 403 "));
}

#[test]
fn provider_errors_are_reported() {
    let status = |stream: Stream| {
        reply(stream, |_, stream| {
            let _ = write!(
                stream,
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{{}}"
            );
        });
    };
    let (_site, mut guest) = site(status, Limits::default(), &["model"]);
    let answer = ask(&mut guest, "/v1/messages", "{}");
    assert!(
        answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n") && answer.contains("Retry-After: 7"),
        "{answer}"
    );

    let (_site, mut guest) = site(|stream| reply(stream, |_, _| {}), Limits::default(), &["model"]);
    let answer = ask(&mut guest, "/v1/messages", "{}");
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("api_error"), "{answer}");
    assert!(!answer.contains(KEY));
}
