//! Inspected TLS: what is passed on, what is refused, and what the guest sees.

use std::io::{BufReader, Write as _};
use std::time::Duration;

use rave_net::{Group, Kind, Mode, Origin, Policy, Trust};

use crate::guest::Guest;
use crate::hosts::{Names, Site, policy};
use crate::tls::{Client, Stream, World, mirror, read_head};

/// A host that is served by `serve`, and a guest with these rules.
fn site(world: &World, rules: &[&str], serve: fn(Stream)) -> (Site, Guest) {
    let names = Names::from([(("api.example", 443), world.server("api.example", serve))]);
    let policy = policy(Mode::Restricted, rules, &[]);
    Site::with_trust(policy, names, vec![], Trust::File(world.file()))
}

fn connect(site: &Site, guest: &mut Guest) -> Client {
    let pem = site.network.authority().expect("a rule opens TLS");
    Client::connect(guest, "api.example", 443, &pem).unwrap()
}

const OPENED: &[&str] = &["api.example,private,inspect"];

#[test]
fn requests_of_a_connection_are_forwarded_in_order() {
    let world = World::new();
    let (site, mut guest) = site(&world, OPENED, mirror);
    let mut client = connect(&site, &mut guest);
    assert_eq!(client.protocol(), Some(&b"http/1.1"[..]), "h2 is offered but not accepted");
    for number in 0..3 {
        let body = format!("body {number}");
        let request = format!(
            "POST /{number}?x HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive\r\nX-Mine: 1\r\nContent-Length: 6\r\n\r\n{body}"
        );
        client.write(&mut guest, request.as_bytes());
        let answer = client.read_until(&mut guest, &body);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains(&format!("POST /{number}?x HTTP/1.1\nHost: api.example\nX-Mine: 1")),
            "{answer}"
        );
        assert!(!answer.contains("Alt-Svc") && !answer.contains("keep-alive"), "{answer}");
    }
    assert!(site.network.log().denials.is_empty());
}

#[test]
fn every_request_must_be_for_the_name_of_its_connection() {
    let world = World::new();
    let (site, mut guest) = site(&world, OPENED, mirror);
    let mut client = connect(&site, &mut guest);
    let good = "GET / HTTP/1.1\r\nHost: api.example\r\n\r\n";
    let fronted = "GET /secret HTTP/1.1\r\nHost: other.example\r\n\r\n";
    client.write(&mut guest, format!("{good}{fronted}").as_bytes());
    let (answer, is_complete) = client.read_all(&mut guest);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && is_complete, "{answer}");
    assert!(answer.contains("HTTP/1.1 421 Misdirected Request\r\n"), "{answer}");
    assert!(!answer.contains("/secret"), "{answer}");
    assert!(site.denial().rule.contains("another host, \"other.example\""));
}

#[test]
fn ambiguous_requests_never_reach_a_server() {
    let world = World::new();
    let (site, mut guest) = site(&world, OPENED, mirror);
    for (request, status) in [
        (
            "POST / HTTP/1.1\r\nHost: api.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: xchunked\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: api.example\r\nHost: api.example\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: api.example\r\nA: b\r\n c\r\n\r\n", "400"),
        ("GET https://other.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "421"),
        ("GET http://api.example/ HTTP/1.1\r\nHost: api.example\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n",
            "403",
        ),
        ("GET / HTTP/1.1\r\nHost: api.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "403"),
        ("CONNECT other.example:443 HTTP/1.1\r\nHost: api.example\r\n\r\n", "403"),
        ("PRI * HTTP/2.0\r\n\r\n", "400"),
    ] {
        let mut client = connect(&site, &mut guest);
        client.write(&mut guest, request.as_bytes());
        let (answer, is_complete) = client.read_all(&mut guest);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && is_complete, "{request}: {answer}");
    }
    let chunked = "POST / HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, why) in [("1;x\r\na\r\n", "plain size"), ("1\r\na\r\n0\r\nHost: b\r\n\r\n", "after its body")]
    {
        let mut client = connect(&site, &mut guest);
        client.write(&mut guest, format!("{chunked}{body}").as_bytes());
        let (answer, is_complete) = client.read_all(&mut guest);
        assert!(answer.starts_with("HTTP/1.1 400 ") && is_complete, "{body}: {answer}");
        assert!(site.denial().rule.contains(why), "{body}: {:?}", site.denial());
    }
    let mut client = connect(&site, &mut guest);
    client.write(&mut guest, format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(17_000)).as_bytes());
    assert!(client.read_all(&mut guest).0.starts_with("HTTP/1.1 400 "));
}

#[test]
fn chunks_and_expect_headers_are_forwarded() {
    let world = World::new();
    let serve = |stream: Stream| {
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream).join("\n");
        let body = read_head(&mut stream).join("|");
        let stream = stream.get_mut();
        let answer = format!("{head}\n{body}");
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x};x\r\n{answer}\r\n0\r\nT: u\r\n\r\n",
            answer.len()
        );
        let _ = stream.flush();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    };
    let (site, mut guest) = site(&world, OPENED, serve);
    let mut client = connect(&site, &mut guest);
    client.write(
        &mut guest,
        b"PUT /x HTTP/1.1\r\nHost: api.example\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert!(client.read_until(&mut guest, "\r\n\r\n").starts_with("HTTP/1.1 100 Continue\r\n\r\n"));
    client.write(&mut guest, b"3\r\nabc\r\n0\r\n\r\n");
    let answer = client.read_until(&mut guest, "T: u\r\n\r\n");
    assert!(answer.contains("3|abc|0") && !answer.to_lowercase().contains("expect"), "{answer}");
}

#[test]
fn a_truncated_body_is_not_taken_as_complete() {
    let world = World::new();
    let serve = |stream: Stream| {
        let mut stream = BufReader::new(stream);
        read_head(&mut stream);
        let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\npart");
        let _ = stream.get_mut().flush();
    };
    let (site, mut guest) = site(&world, OPENED, serve);
    let mut client = connect(&site, &mut guest);
    client.write(&mut guest, b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n");
    let (answer, is_complete) = client.read_all(&mut guest);
    assert!(answer.ends_with("part") && !is_complete, "{answer} {is_complete}");
}

#[test]
fn a_host_without_a_valid_certificate_is_not_reached() {
    let (world, other) = (World::new(), World::new());
    let wrong_name = world.server("other.example", mirror);
    for (address, why) in
        [(other.server("api.example", mirror), "BadSignature"), (wrong_name, "not valid for name")]
    {
        let names = Names::from([(("api.example", 443), address)]);
        let policy = policy(Mode::Restricted, OPENED, &[]);
        let (site, mut guest) = Site::with_trust(policy, names, vec![], Trust::File(world.file()));
        let mut client = connect(&site, &mut guest);
        client.write(&mut guest, b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n");
        let (answer, _) = client.read_all(&mut guest);
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{answer}");
        let denial = site.denial();
        assert_eq!(denial.kind, Kind::Tls);
        assert!(denial.rule.contains(why) && answer.contains(why), "{} {answer}", denial.rule);
    }
}

#[test]
fn the_authority_signs_only_opened_names_and_distrust_is_reported() {
    let (world, unrelated) = (World::new(), World::new());
    let (site, mut guest) = site(&world, OPENED, mirror);
    let strange = std::fs::read_to_string(unrelated.file()).unwrap();
    assert!(Client::connect(&mut guest, "api.example", 443, &strange).is_err());
    let refusal =
        guest.until(Duration::from_secs(20), |_| (!site.network.log().denials.is_empty()).then_some(()));
    assert!(refusal.is_some(), "the refusal is reported");
    assert!(site.denial().rule.contains("does not trust"), "{:?}", site.denial());

    // The old certificate is not valid for a name that was added later; the new one is valid for both.
    let before = site.network.authority().unwrap();
    let names = &["api.example,private,inspect", "new.example,private,inspect"];
    site.change(policy(Mode::Restricted, names, &[]));
    let after = site.network.authority().unwrap();
    assert_ne!(before, after);
    for pem in [&before, &after] {
        Client::connect(&mut guest, "api.example", 443, pem).unwrap();
    }
}

/// The group `npm` with this one host.
fn npm(rule: &str) -> Policy {
    let mut policy = policy(Mode::Restricted, &[rule], &[]);
    policy.groups.set(Group::Npm, [Origin::of_url("https://api.example/npm/", true).unwrap()]);
    policy
}

#[test]
fn a_group_is_read_only_unless_writing_is_allowed() {
    let world = World::new();
    let names = Names::from([(("api.example", 443), world.server("api.example", mirror))]);
    let (site, mut guest) = Site::with_trust(npm("npm"), names, vec![], Trust::File(world.file()));
    let mut client = connect(&site, &mut guest);
    client.write(&mut guest, b"GET /left-pad HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert!(client.read_until(&mut guest, "left-pad").starts_with("HTTP/1.1 200"));
    let publish = b"PUT /left-pad HTTP/1.1\r\nHost: api.example\r\nContent-Length: 2\r\n\r\n{}";
    client.write(&mut guest, publish);
    assert!(client.read_all(&mut guest).0.starts_with("HTTP/1.1 403 "));
    let denial = site.denial();
    assert_eq!(
        (denial.rule.as_str(), denial.allow.as_deref()),
        ("npm is read-only: a PUT request", Some("npm:write"))
    );

    site.change(npm("npm:write"));
    let mut client = connect(&site, &mut guest);
    client.write(&mut guest, publish);
    assert!(client.read_until(&mut guest, "{}").starts_with("HTTP/1.1 200"));
}
