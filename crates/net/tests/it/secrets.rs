//! Secrets of the user: the host gets them, the guest never does.

use std::io::{BufReader, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rave_net::{Group, Mode, Origin, Policy, Secret, Seen, Source, Trust};

use crate::guest::Guest;
use crate::hosts::{Names, Site, policy, server};
use crate::tls::{Client, Stream, World, mirror, read_head};
use crate::witness::Notes;

const REAL: &str = "ghp-the-users-real-secret";
const PLACEHOLDER: &str = "rave-placeholder-of-this-sandbox";

fn secret(header: &str, source: Source) -> Secret {
    Secret {
        name: "forge".into(),
        host: "api.example".parse().unwrap(),
        port: 443,
        header: header.into(),
        placeholder: PLACEHOLDER.into(),
        source,
    }
}

fn real() -> Source {
    Arc::new(|| Ok(REAL.to_owned()))
}

struct Served {
    site: Site,
    guest: Guest,
    notes: Arc<Notes>,
    _world: World,
}

/// A host with a secret that is served by `serve`.
fn served(header: &str, source: Source, policy: Policy, serve: fn(Stream)) -> Served {
    let world = World::new();
    let plain = server(|_| panic!("no connection gets here"));
    let names = Names::from([
        (("api.example", 443), world.server("api.example", serve)),
        (("api.example", 80), plain),
    ]);
    let (notes, trust) = (Arc::new(Notes::default()), Trust::File(world.file()));
    let secrets = vec![secret(header, source)];
    let (site, guest) = Site::with_secrets(notes.clone(), policy, names, trust, secrets);
    Served { site, guest, notes, _world: world }
}

fn allowed() -> Policy {
    // Without `inspect`: the secret opens its TLS.
    policy(Mode::Restricted, &["api.example,private"], &[])
}

impl Served {
    fn connect(&mut self) -> Client {
        let pem = self.site.network.authority().expect("the TLS of a host with a secret is inspected");
        Client::connect(&mut self.guest, "api.example", 443, &pem).unwrap()
    }

    /// The whole answer to a request with these fields.
    fn ask(&mut self, fields: &str) -> String {
        let mut client = self.connect();
        let request = format!("GET /x HTTP/1.1\r\nHost: api.example\r\n{fields}Connection: close\r\n\r\n");
        client.write(&mut self.guest, request.as_bytes());
        client.read_all(&mut self.guest).0
    }
}

/// The secret is masked in the mirror's answer, so the server compares the request itself.
#[test]
fn the_host_gets_the_secret_and_the_guest_only_its_placeholder() {
    static GOT: AtomicBool = AtomicBool::new(false);
    let serve = |stream: Stream| {
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream);
        let wanted = format!("Authorization: Bearer {REAL}");
        GOT.store(
            head.contains(&wanted) && head.contains(&"accept-encoding: identity".into()),
            Ordering::SeqCst,
        );
        let text = head.join("\n");
        let stream = stream.get_mut();
        let _ = write!(
            stream,
            "HTTP/1.1 200 {REAL}\r\nLocation: https://x/?t={REAL}&u={REAL}\r\nX-{REAL}: x\r\nSet-Cookie: session=1\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
        let _ = stream.flush();
    };
    let mut served = served("authorization", real(), allowed(), serve);
    let answer = served.ask(&format!("Authorization: Bearer {PLACEHOLDER}\r\nAccept-Encoding: gzip\r\n"));
    assert!(GOT.load(Ordering::SeqCst), "{answer}");
    let stars = "*".repeat(REAL.len());
    for part in [format!("Authorization: Bearer {stars}"), format!("t={stars}&u={stars}\r\n")] {
        assert!(answer.contains(&part), "{part}: {answer}");
    }
    assert!(!answer.contains(REAL) && !answer.contains("Set-Cookie") && !answer.contains("gzip"), "{answer}");
    let seen = served.notes.seen.lock().unwrap();
    let used = Seen::Secret { name: "forge".into(), to: "api.example:443".into() };
    assert_eq!(seen.iter().filter(|one| **one == used).count(), 1, "{seen:?}");
    assert!(!format!("{seen:?} {:?}", served.site.network.log()).contains(REAL));
}

#[test]
fn a_secret_is_masked_across_chunks_and_to_the_end_of_a_connection() {
    let chunked = |stream: Stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        let stream = stream.get_mut();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n");
        for byte in format!("a{REAL}b").bytes() {
            let _ = write!(stream, "1;x=y\r\n{}\r\n", char::from(byte));
            let _ = stream.flush();
        }
        let _ = write!(stream, "0\r\nT: {REAL}\r\n\r\n");
        let _ = stream.flush();
    };
    let mut one = served("authorization", real(), allowed(), chunked);
    let answer = one.ask(&format!("Authorization: token {PLACEHOLDER}\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let content: String = body.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(content, format!("a{}b", "*".repeat(REAL.len())), "{answer}");
    assert!(body.ends_with("\r\n0\r\n\r\n") && !body.contains("T:") && head.contains("chunked"), "{answer}");

    let endless = |stream: Stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        let stream = stream.get_mut();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n{REAL} {}", &REAL[..9]);
        let _ = stream.flush();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    };
    let mut other = served("authorization", real(), allowed(), endless);
    // A request without a placeholder does not reveal the secret either.
    let answer = other.ask("");
    assert!(answer.ends_with(&format!("\r\n\r\n{} {}", "*".repeat(REAL.len()), &REAL[..9])), "{answer}");
}

#[test]
fn a_password_is_inserted_and_masked_as_it_was_sent() {
    let mut served = served("authorization", real(), allowed(), mirror);
    // `me:` and the placeholder.
    let basic = "bWU6cmF2ZS1wbGFjZWhvbGRlci1vZi10aGlzLXNhbmRib3g=";
    let answer = served.ask(&format!("Authorization: Basic {basic}\r\n"));
    let line = answer.lines().find(|line| line.starts_with("Authorization: Basic ")).unwrap();
    assert!(line.contains("bWU6") && line.matches('*').count() >= REAL.len(), "{line}");
    assert!(!line.contains(basic), "{line}");
}

#[test]
fn other_credentials_are_refused_and_recorded() {
    let mut served = served("x-api-key", real(), allowed(), mirror);
    let answer = served.ask(&format!("X-API-Key: {PLACEHOLDER}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for fields in [
        "X-API-Key: stolen\r\n".to_owned(),
        format!("X-API-Key: {PLACEHOLDER}\r\nX-API-Key: stolen\r\n"),
        format!("X_API_Key: {PLACEHOLDER}\r\n"),
        format!("Authorization: Bearer {PLACEHOLDER}\r\n"),
        "Authorization: Bearer stolen\r\n".into(),
        "Proxy-Authorization: Basic c3RvbGVu\r\n".into(),
        "Cookie: session=stolen\r\n".into(),
        "Private-Token: stolen\r\n".into(),
    ] {
        let answer = served.ask(&fields);
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{fields}: {answer}");
        assert!(!answer.contains(REAL), "{answer}");
    }
    // User information before the host, in each of the two places that can have it.
    for request in [
        "GET https://me:stolen@api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: me:stolen@api.example\r\n\r\n",
    ] {
        let mut client = served.connect();
        client.write(&mut served.guest, request.as_bytes());
        assert!(client.read_all(&mut served.guest).0.starts_with("HTTP/1.1 421 "), "{request}");
    }
    let denials = served.site.network.log().denials;
    assert_eq!(denials.iter().map(|denial| denial.count).sum::<u64>(), 10, "{denials:?}");
    let seen = served.notes.seen.lock().unwrap();
    let denied = |seen: &&Seen| matches!(seen, Seen::Denied { .. });
    assert_eq!(seen.iter().filter(denied).count(), 10, "{seen:?}");
    assert!(!format!("{denials:?} {seen:?}").contains("stolen"), "no credential is recorded");
}

#[test]
fn credentials_are_sent_only_over_tls() {
    let mut served = served("x-api-key", real(), allowed(), mirror);
    let address = served.guest.address("api.example");
    for field in [format!("X-API-Key: {PLACEHOLDER}"), "Cookie: a=b".into()] {
        let handle = served.guest.open(address, 80);
        let request = format!("GET / HTTP/1.1\r\nHost: api.example\r\n{field}\r\n\r\n");
        served.guest.write(handle, request.as_bytes());
        let answer = String::from_utf8(served.guest.read_all(handle)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    assert!(served.site.denial().rule.contains("without TLS"));
}

#[test]
fn an_unreadable_secret_is_reported_and_its_host_stays_guarded() {
    let source: Source = Arc::new(|| Err("the variable FORGE is not set".into()));
    let mut served = served("authorization", source, allowed(), mirror);
    let answer = served.ask(&format!("Authorization: Bearer {PLACEHOLDER}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("FORGE is not set"), "{answer}");
    assert!(served.site.denial().rule.contains("the secret forge cannot be read"));
    assert!(served.ask("Authorization: Bearer stolen\r\n").starts_with("HTTP/1.1 403 "));
    assert!(served.ask("").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_secret_reaches_only_allowed_hosts() {
    let closed = served("authorization", real(), Policy::default(), mirror);
    assert_eq!(closed.site.network.authority(), None, "its name is not disclosed");
    let mut group = policy(Mode::Restricted, &["npm"], &[]);
    group.groups.set(Group::Npm, [Origin::of_url("https://api.example/", true).unwrap()]);
    let mut reads = served("authorization", real(), group, mirror);
    let mut client = reads.connect();
    let publish = format!(
        "PUT /x HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {PLACEHOLDER}\r\nContent-Length: 0\r\n\r\n"
    );
    client.write(&mut reads.guest, publish.as_bytes());
    assert!(client.read_all(&mut reads.guest).0.starts_with("HTTP/1.1 403 "));
    assert!(reads.site.denial().rule.contains("read-only"));
}
