//! What is allowed can be reached, by the protocol that it is allowed for.

use std::time::Duration;

use rave_net::{Kind, Mode};
use smoltcp::socket::tcp::State;

use crate::guest::Outcome;
use crate::hosts::{Names, Site, echo, greeter, policy};

const NAME_ERROR: u8 = 3;

/// A TLS hello for a server, as in RFC 8446, 4.1.2.
fn hello(name: &str) -> Vec<u8> {
    let vector = |length: usize, data: &[u8]| {
        let bytes = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&bytes[4 - length..], data].concat()
    };
    let names = vector(2, &[&[0][..], &vector(2, name.as_bytes())].concat());
    let extensions = vector(2, &[&[0, 0][..], &vector(2, &names)].concat());
    let body = [&[3, 3][..], &[7; 32], &[0], &[0, 2, 0x13, 1], &[1, 0], &extensions].concat();
    let message = [&[1][..], &vector(3, &body)].concat();
    [&[22, 3, 1][..], &vector(2, &message)].concat()
}

#[test]
fn an_allowed_port_passes_any_bytes_both_ways() {
    let names = Names::from([(("db.example", 5432), echo())]);
    let (site, mut guest) =
        Site::new(policy(Mode::Restricted, &["db.example:5432/tcp,private"], &[]), names, vec![]);
    let address = guest.address("db.example");
    let handle = guest.open(address, 5432);
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| ((number * 7) >> 3).to_le_bytes()[0]).collect();
    let (mut sent, mut got) = (0, Vec::new());
    guest
        .until(Duration::from_secs(60), |guest| {
            let socket = guest.socket(handle);
            if sent < bytes.len() && socket.can_send() {
                sent += socket.send_slice(&bytes[sent..]).unwrap();
                if sent == bytes.len() {
                    socket.close();
                }
            }
            while socket.can_recv() {
                let take = |bytes: &mut [u8]| (bytes.len(), bytes.to_vec());
                got.extend(socket.recv(take).unwrap());
            }
            (!socket.may_recv() && sent == bytes.len()).then_some(())
        })
        .expect("all bytes are echoed");
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
    assert!(site.network.log().denials.is_empty());
    // Another port of the same name is not covered by the rule.
    assert_eq!(guest.connect(address, 5433), Outcome::Refused);
    assert_eq!(site.denial().allow.as_deref(), Some("db.example:5433/tcp"));
}

#[test]
fn a_tls_client_hello_must_be_for_the_allowed_name() {
    let names = Names::from([(("api.example", 443), echo())]);
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &["api.example,private"], &[]), names, vec![]);
    let address = guest.address("api.example");
    let handle = guest.open(address, 443);
    let ours = hello("api.example");
    // Split over segments.
    guest.write(handle, &ours[..20]);
    guest.until(Duration::from_millis(50), |_| None::<()>);
    guest.write(handle, &ours[20..]);
    guest.close(handle);
    assert_eq!(guest.read_all(handle), ours);

    for (bytes, why) in [
        (hello("other.example"), "its TLS hello is for other.example"),
        (b"GET / HTTP/1.1\r\nHost: api.example\r\n\r\n".to_vec(), "it is not TLS"),
        (b"SSH-2.0-x\r\n".to_vec(), "it is not TLS"),
    ] {
        let handle = guest.open(address, 443);
        guest.write(handle, &bytes);
        assert_eq!(guest.read_all(handle), [21, 3, 3, 0, 2, 2, 49], "a fatal alert");
        let denial = site.denial();
        assert_eq!(
            (denial.kind, denial.to.as_str(), denial.rule.as_str()),
            (Kind::Tls, "api.example:443", why)
        );
    }
}

#[test]
fn every_http_request_must_be_for_the_allowed_name() {
    let names = Names::from([(("web.example", 80), echo())]);
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &["web.example,private"], &[]), names, vec![]);
    let address = guest.address("web.example");
    let ours = b"GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
    let handle = guest.open(address, 80);
    guest.write(handle, ours);
    guest.close(handle);
    assert_eq!(guest.read_all(handle), ours);

    let handle = guest.open(address, 80);
    guest.write(handle, b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
    let page = String::from_utf8(guest.read_all(handle)).unwrap();
    assert!(page.starts_with("HTTP/1.1 403 Forbidden\r\n") && page.contains("another host"), "{page}");
    assert!(site.denial().rule.contains("other.example"));

    // Nothing else gets through behind an allowed request.
    let handle = guest.open(address, 80);
    guest.write(handle, &[&ours[..], b"GET /secret HTTP/1.1\r\nHost: other.example\r\n\r\n"].concat());
    let got = guest.read_all(handle);
    assert!(!got.windows(6).any(|bytes| bytes == b"secret"), "{got:?}");
}

#[test]
fn a_denied_name_does_not_exist_until_it_is_allowed() {
    let names = Names::from([(("a.example", 7), greeter("hello"))]);
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &[], &[]), names, vec![]);
    for _ in 0..3 {
        assert_eq!(guest.lookup("a.example"), (NAME_ERROR, None));
    }
    let denial = site.denial();
    assert_eq!((denial.kind, denial.count, denial.to.as_str()), (Kind::Name, 3, "a.example"));
    assert_eq!(denial.rule, "mode restricted: no rule allows it");
    assert_eq!(denial.allow.as_deref(), Some("a.example"));

    site.change(policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]));
    let address =
        guest.until(Duration::from_secs(5), |guest| guest.lookup("a.example").1).expect("it is allowed");
    let handle = guest.open(address, 7);
    assert_eq!(guest.read_all(handle), b"hello");
}

#[test]
fn srv_queries_have_no_answer_and_a_denial_names_the_host() {
    const SRV: u8 = 33;
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &["a.example"], &[]), Names::new(), vec![]);
    assert_eq!(guest.ask("_http._tcp.a.example", SRV), (0, None));
    assert_eq!(guest.ask("_http._tcp.b.example", SRV), (NAME_ERROR, None));
    let denial = site.denial();
    assert_eq!((denial.to.as_str(), denial.allow.as_deref()), ("b.example", Some("b.example")));
}

#[test]
fn a_removed_rule_ends_its_connections() {
    let names = Names::from([(("a.example", 7), echo())]);
    let allowed = policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]);
    let (site, mut guest) = Site::new(allowed, names, vec![]);
    let address = guest.address("a.example");
    // The second keeps the name but no longer allows its private address.
    for rules in [&[][..], &["a.example:7/tcp"]] {
        site.change(policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]));
        let handle = guest.until(Duration::from_secs(5), |guest| match guest.connect(address, 7) {
            Outcome::Open(handle) => Some(handle),
            _ => None,
        });
        let handle = handle.expect("it is allowed");
        site.change(policy(Mode::Restricted, rules, &[]));
        let ended = guest.until(Duration::from_secs(5), |guest| {
            (guest.socket(handle).state() == State::Closed).then_some(())
        });
        assert!(ended.is_some(), "{rules:?}");
        assert_eq!(guest.connect(address, 7), Outcome::Refused);
    }
}

#[test]
fn learning_reports_the_required_rules() {
    let names = Names::from([(("a.example", 443), "127.0.0.1:1".parse().unwrap())]);
    let (site, mut guest) = Site::new(policy(Mode::Learn, &["b.example:7/tcp,private"], &[]), names, vec![]);
    let address = guest.address("a.example");
    // Its address is not on the internet, and learning opens as little of that as any mode does.
    assert_eq!(guest.connect(address, 443), Outcome::Refused);
    let log = site.network.log();
    assert_eq!(log.learned.into_iter().collect::<Vec<_>>(), ["a.example"]);
    assert!(log.denials[0].rule.contains("the host's loopback"), "{:?}", log.denials);
}

#[test]
fn a_closed_remote_port_refuses_as_on_any_network() {
    let names = Names::from([(("a.example", 7), "127.0.0.1:1".parse().unwrap())]);
    let (site, mut guest) =
        Site::new(policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]), names, vec![]);
    let address = guest.address("a.example");
    assert_eq!(guest.connect(address, 7), Outcome::Refused);
    assert!(site.network.log().denials.is_empty(), "it was allowed");
}
